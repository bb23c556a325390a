/*
 * Sums as TFLM makes them, in 12 or 13 instructions an output, element by element.
 *
 * The common scale of both inputs is twice that of the coarser one, so that one factor is 1/2 or
 * both are: that term is x * 2^19, exactly. The other is made by smmulr and a shift right with the
 * carry as its half; one less for negative numbers rounds halves away from zero. Twice the sum then
 * goes the way of tflm_opt_scale.h. No term is 2^28 or more, so nothing saturates on the way.
 */
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP && !TFLM_OPT_MVE

#include "tflm_opt_kernels.h"
#include "tflm_opt_scale.h"
#include "tflm_opt_sum.h"

#define LEFT_SHIFT 20 /* TFLM's for 8 bits */

/* A sum of x * 2^19 and a scaled term. Assembly loads all of it at once. */
typedef struct {
    const int8_t *whole;
    const int8_t *scaled;
    int8_t *output;
    const int8_t *end;
    int32_t whole_offset;  /* times 2^20 */
    int32_t scaled_offset; /* times 2^21 */
    int32_t factor;        /* the scaled term's, with a shift right */
    int32_t shift;
    tflm_opt_scale out;
} sum;

/*
 * What r12 and lr, the inputs, make twice their sum of: one of them is whole, the other scaled and
 * may be negative or not. Shifts by 0 round nothing: they leave the carry clear, as comparisons at
 * the loop's start and end do, and take the second form for any sign.
 */
#define SCALED_(away)                                                                              \
    "add lr, r5, lr, lsl #21\n\t"                                                                  \
    "smmulr lr, lr, r6\n\t" away "asrs lr, lr, r8\n\t"                                             \
    "adc lr, lr, r12, lsl #19\n\t"                                                                 \
    "add lr, r4, lr, lsl #1\n\t"
#define SCALED SCALED_("add lr, lr, lr, asr #31\n\t")
#define POSITIVE SCALED_("")

#define ELEMENT(terms)                                                                             \
    "ldrsb r12, [r0], #1\n\t"                                                                      \
    "ldrsb lr, [r1], #1\n\t" terms "smmulr lr, lr, r9\n\t"                                         \
    "add lr, lr, lr, asr #31\n\t"                                                                  \
    "smmlar lr, lr, r10, r11\n\t"                                                                  \
    "ssat lr, #8, lr\n\t"                                                                          \
    "strb lr, [r2], #1\n\t"

/* Four outputs or more, a multiple of that. r7 is left to the compiler. */
#define LOOP(name, terms)                                                                          \
    TFLM_OPT_APART void name(const sum *s)                                                         \
    {                                                                                              \
        register const sum *r0 __asm__("r0") = s;                                                  \
        __asm__ volatile("ldm r0, {r0, r1, r2, r3, r4, r5, r6, r8, r9, r10, r11}\n\t"              \
                         "cmp r2, r3\n"                                                            \
                         "1:\n\t" ELEMENT(terms) ELEMENT(terms) ELEMENT(terms) ELEMENT(terms)      \
                         "cmp r2, r3\n\t"                                                          \
                         "bne 1b"                                                                  \
                         : "+r"(r0)                                                                \
                         :                                                                         \
                         : "r1", "r2", "r3", "r4", "r5", "r6", "r8", "r9", "r10", "r11", "r12",    \
                           "lr", "cc", "memory");                                                  \
    }

LOOP(add_scaled, SCALED)
LOOP(add_positive, POSITIVE)

/* The first outputs, a multiple of four of them: how many. */
TFLM_OPT_INLINE int32_t blocks(const tflm_opt_sum_params *params,
                               const int8_t *input1,
                               const int8_t *input2,
                               int32_t count,
                               int8_t *output)
{
    const cmsis_nn_per_tensor_quant_params *out = &params->output_quant;
    const int first = tflm_opt_is_half(&params->input1_quant);
    const cmsis_nn_per_tensor_quant_params *other =
        first ? &params->input2_quant : &params->input1_quant;
    const int32_t whole_offset = first ? params->input1_offset : params->input2_offset;
    const int32_t scaled_offset = first ? params->input2_offset : params->input1_offset;
    sum s;
    if (count < 4 || params->left_shift != LEFT_SHIFT ||
        !(first || tflm_opt_is_half(&params->input2_quant)) ||
        !(other->shift < 0 || tflm_opt_is_half(other)) ||
        !tflm_opt_is_offset(whole_offset) || !tflm_opt_is_offset(scaled_offset) ||
        !tflm_opt_set_scale(out->multiplier, out->shift, params->output_offset,
                            TFLM_OPT_SCALE_SMALL, &s.out)) {
        return 0;
    }
    s.whole = first ? input1 : input2;
    s.scaled = first ? input2 : input1;
    s.output = output;
    s.end = output + (count & ~3);
    s.whole_offset = whole_offset * ((int32_t)1 << 20);
    s.scaled_offset = scaled_offset * ((int32_t)1 << 21);
    s.factor = other->multiplier;
    s.shift = -other->shift;
    if (s.shift == 0 || scaled_offset == -INT8_MIN) {
        add_positive(&s);
    } else {
        add_scaled(&s);
    }
    return count & ~3;
}

TFLM_OPT_SMALL
void tflm_opt_add_s8(const tflm_opt_sum_params *params,
                     const int8_t *input1_data,
                     const int8_t *input2_data,
                     int32_t count,
                     int8_t *output_data)
{
    const int32_t low = params->activation.min;
    const int32_t high = params->activation.max;
    const int32_t made = blocks(params, input1_data, input2_data, count, output_data);
    if (tflm_opt_is_narrow(low, high)) {
        tflm_opt_clamp_outputs(output_data, made, low, high);
    }
    tflm_opt_add_any(params, input1_data + made, input2_data + made, count - made,
                     output_data + made);
}

#endif /* TFLM_OPT_DSP */
