/*
 * Sums as TFLM makes them, in 9 to 13 instructions an output, element by element.
 *
 * The common scale of both inputs is twice that of the coarser one, so that one factor is 1/2 or
 * both are: that term is x * 2^19, exactly. The other is made by smmulr and a shift right with the
 * carry as its half; one less for negative numbers rounds halves away from zero. Twice the sum then
 * goes the way of tflm_opt_scale.h. No term is 2^28 or more, so nothing saturates on the way.
 */
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP

#include "tflm_opt_check.h"
#include "tflm_opt_kernels.h"
#include "tflm_opt_scale.h"
#include "tflm_opt_sum.h"

#define LEFT_SHIFT 20 /* TFLM's for 8 bits */

/* A sum of x * 2^19 and a scaled term. Of the scaled term, `multiplier` and `shift` right. */
typedef struct {
    const int8_t *whole;
    const int8_t *scaled;
    int32_t whole_offset;  /* times 2^20 */
    int32_t scaled_offset; /* times 2^21 */
    int32_t multiplier;
    int32_t shift;
    tflm_opt_scale out;
} sum;

/* What the inputs make twice their sum of: both whole, or one scaled that may be negative or not. */
#define BOTH_WHOLE                                                                                 \
    "add %[y], %[y_offset], %[y], lsl #20\n\t"                                                     \
    "add %[y], %[y], %[x], lsl #20\n\t"
#define SCALED_(away)                                                                              \
    "add %[y], %[y_offset], %[y], lsl #21\n\t"                                                     \
    "smmulr %[y], %[y], %[factor]\n\t" away "asrs %[y], %[y], %[shift]\n\t"                        \
    "adc %[y], %[y], %[x], lsl #19\n\t"                                                            \
    "add %[y], %[x_offset], %[y], lsl #1\n\t"
#define SCALED SCALED_("add %[y], %[y], %[y], asr #31\n\t")
#define POSITIVE SCALED_("")

#define ELEMENT(terms)                                                                             \
    "ldrsb %[x], [%[xs]], #1\n\t"                                                                  \
    "ldrsb %[y], [%[ys]], #1\n\t" terms "smmulr %[y], %[y], %[multiplier]\n\t"                     \
    "add %[y], %[y], %[y], asr #31\n\t"                                                            \
    "smmlar %[y], %[y], %[unit], %[offset]\n\t"                                                    \
    "ssat %[y], #8, %[y]\n\t"                                                                      \
    "strb %[y], [%[to]], #1\n\t"

/* All outputs but the last 0 to 3: TERMS is one of the three above. */
#define LOOP(name, terms)                                                                          \
    TFLM_OPT_APART int8_t *name(const sum *s, int8_t *output, const int8_t *end)                   \
    {                                                                                              \
        const int8_t *xs = s->whole;                                                               \
        const int8_t *ys = s->scaled;                                                              \
        const int32_t x_offset = s->whole_offset;                                                  \
        const int32_t y_offset = s->scaled_offset;                                                 \
        const int32_t factor = s->multiplier;                                                      \
        const int32_t shift = s->shift;                                                            \
        const tflm_opt_scale out = s->out;                                                         \
        while (output != end) {                                                                    \
            int32_t x;                                                                             \
            int32_t y;                                                                             \
            __asm__ volatile(ELEMENT(terms) ELEMENT(terms) ELEMENT(terms) ELEMENT(terms)           \
                             : [xs] "+r"(xs), [ys] "+r"(ys), [to] "+r"(output), [x] "=&r"(x),      \
                               [y] "=&r"(y)                                                        \
                             : [x_offset] "r"(x_offset), [y_offset] "r"(y_offset),                 \
                               [factor] "r"(factor), [shift] "r"(shift),                           \
                               [multiplier] "r"(out.multiplier), [unit] "r"(out.unit),             \
                               [offset] "r"(out.offset)                                            \
                             : "cc", "memory");                                                    \
        }                                                                                          \
        return output;                                                                             \
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
    const int8_t *end = output + (count & ~3);
    sum s;
    s.whole = whole;
    s.scaled = scaled;
    s.whole_offset = whole_offset * ((int32_t)1 << 20);
    s.scaled_offset = scaled_offset * ((int32_t)1 << 21);
    s.multiplier = multiplier;
    s.shift = -shift;
    s.out = *out;
    if (is_half(multiplier, shift)) {
        s.scaled_offset = (whole_offset + scaled_offset) * ((int32_t)1 << 20);
        add_whole(&s, output, end);
    } else if (scaled_offset == -INT8_MIN) {
        add_positive(&s, output, end);
    } else {
        add_scaled(&s, output, end);
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
