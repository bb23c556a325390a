/*
 * Sums as TFLM makes them, in 9 to 13 instructions an output, element by element.
 *
 * The common scale of both inputs is twice that of the coarser one, so that one factor is 1/2 or
 * both are: that term is x * 2^19, exactly. The other is made by smmulr and a shift right with the
 * carry as its half; one less for negative numbers rounds halves away from zero. Twice the sum then
 * goes the way of tflm_opt_scale.h. No term is 2^28 or more, so nothing saturates on the way.
 */
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP && !TFLM_OPT_MVE

#include "tflm_opt_check.h"
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
    int32_t scaled_offset; /* times 2^21, or the sum of both times 2^20 */
    int32_t factor;        /* the scaled term's, with a shift right */
    int32_t shift;
    tflm_opt_scale out;
} sum;

/*
 * What r12 and lr, the inputs, make twice their sum of: both whole, or one scaled that may be
 * negative or not.
 */
#define BOTH_WHOLE                                                                                 \
    "add lr, r5, lr, lsl #20\n\t"                                                                  \
    "add lr, lr, r12, lsl #20\n\t"
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
        __asm__ volatile("ldm r0, {r0, r1, r2, r3, r4, r5, r6, r8, r9, r10, r11}\n"                \
                         "1:\n\t" ELEMENT(terms) ELEMENT(terms) ELEMENT(terms) ELEMENT(terms)      \
                         "cmp r2, r3\n\t"                                                          \
                         "bne 1b"                                                                  \
                         : "+r"(r0)                                                                \
                         :                                                                         \
                         : "r1", "r2", "r3", "r4", "r5", "r6", "r8", "r9", "r10", "r11", "r12",    \
                           "lr", "cc", "memory");                                                  \
    }

LOOP(add_whole, BOTH_WHOLE)
LOOP(add_scaled, SCALED)
LOOP(add_positive, POSITIVE)

/* Whether a factor is 1/2. */
TFLM_OPT_INLINE int is_half(int32_t multiplier, int32_t shift)
{
    return multiplier == (int32_t)1 << 30 && shift == 0;
}

/* The first outputs, a multiple of four of them: how many. The first input is the whole one. */
static int32_t blocks(const int8_t *whole,
                      int32_t whole_offset,
                      const int8_t *scaled,
                      int32_t scaled_offset,
                      int32_t multiplier,
                      int32_t shift,
                      const tflm_opt_scale *out,
                      int32_t count,
                      int8_t *output)
{
    sum s;
    s.whole = whole;
    s.scaled = scaled;
    s.output = output;
    s.end = output + (count & ~3);
    s.whole_offset = whole_offset * ((int32_t)1 << 20);
    s.scaled_offset = scaled_offset * ((int32_t)1 << 21);
    s.factor = multiplier;
    s.shift = -shift;
    s.out = *out;
    if (count < 4) {
        return 0;
    }
    if (is_half(multiplier, shift)) {
        s.scaled_offset = (whole_offset + scaled_offset) * ((int32_t)1 << 20);
        add_whole(&s);
    } else if (scaled_offset == -INT8_MIN) {
        add_positive(&s);
    } else {
        add_scaled(&s);
    }
    return count & ~3;
}

arm_cmsis_nn_status arm_elementwise_add_s8(const int8_t *input_1_vect,
                                           const int8_t *input_2_vect,
                                           const int32_t input_1_offset,
                                           const int32_t input_1_mult,
                                           const int32_t input_1_shift,
                                           const int32_t input_2_offset,
                                           const int32_t input_2_mult,
                                           const int32_t input_2_shift,
                                           const int32_t left_shift,
                                           int8_t *output,
                                           const int32_t out_offset,
                                           const int32_t out_mult,
                                           const int32_t out_shift,
                                           const int32_t out_activation_min,
                                           const int32_t out_activation_max,
                                           const int32_t block_size)
{
    tflm_opt_scale out;
    int32_t i = 0;
    if (!tflm_opt_pair_fits(input_1_vect, input_2_vect, output, block_size, out_activation_min,
                            out_activation_max) ||
        !tflm_opt_are_down(input_1_shift, input_2_shift, out_shift) || left_shift < 0 ||
        left_shift > 20) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    if (left_shift == LEFT_SHIFT && tflm_opt_is_offset(input_1_offset) &&
        tflm_opt_is_offset(input_2_offset) &&
        tflm_opt_set_scale(out_mult, out_shift, out_offset, TFLM_OPT_SCALE_SMALL, &out)) {
        const int half = is_half(input_2_mult, input_2_shift);
        if (is_half(input_1_mult, input_1_shift) && (half || input_2_shift < 0)) {
            i = blocks(input_1_vect, input_1_offset, input_2_vect, input_2_offset, input_2_mult,
                       input_2_shift, &out, block_size, output);
        } else if (half && input_1_shift < 0) {
            i = blocks(input_2_vect, input_2_offset, input_1_vect, input_1_offset, input_1_mult,
                       input_1_shift, &out, block_size, output);
        }
        if (tflm_opt_is_narrow(out_activation_min, out_activation_max)) {
            tflm_opt_clamp_outputs(output, i, out_activation_min, out_activation_max);
        }
    }
    for (; i < block_size; i++) {
        const int32_t first = tflm_opt_term(input_1_vect[i] + input_1_offset, left_shift,
                                            input_1_mult, input_1_shift);
        const int32_t second = tflm_opt_term(input_2_vect[i] + input_2_offset, left_shift,
                                             input_2_mult, input_2_shift);
        const int32_t total =
            tflm_opt_scale_down(first + second, out_mult, out_shift) + out_offset;
        output[i] = (int8_t)tflm_opt_clamp(total, out_activation_min, out_activation_max);
    }
    return ARM_CMSIS_NN_SUCCESS;
}

#endif /* TFLM_OPT_DSP */
