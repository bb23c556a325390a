#include "tflm_opt_check.h"
#include "tflm_opt_kernels.h"
#include "tflm_opt_mve.h"

#if TFLM_OPT_MVE

/*
 * Four outputs at a time, as tflm_opt_term and tflm_opt_scale_down make one. Shifts are right ones
 * or 0 there; one less for a negative number, if it is shifted, rounds halves away from zero.
 *
 * The common scale of both inputs is twice that of the coarser one, so one factor is 1/2: that term
 * is x * 2^19, exactly, and VMLAS adds its offset as it multiplies.
 *
 * The block is four elements, of which both inputs are read before the outputs are written.
 */
#define LEFT_SHIFT 20 /* TFLM's for 8 bits */

TFLM_OPT_INLINE int32x4_t scale(int32x4_t values, int32_t multiplier, int32_t shift)
{
    values = vqrdmulhq_n_s32(values, multiplier);
    if (shift < 0) {
        values = vrshlq_n_s32(vaddq_s32(values, vshrq_n_s32(values, 31)), shift);
    }
    return values;
}

TFLM_OPT_INLINE int32x4_t term(const int8_t *input,
                               int32_t offset,
                               int32_t left_shift,
                               int32_t multiplier,
                               int32_t shift,
                               mve_pred16_t some)
{
    const int32x4_t values = vaddq_n_s32(vldrbq_z_s32(input, some), offset);
    return scale(vshlq_r_s32(values, left_shift), multiplier, shift);
}

/* A sum of x * 2^19 and a scaled term. Shifts are right ones or 0, `out_shift` is a right one. */
typedef struct {
    const int8_t *whole;
    const int8_t *scaled;
    int32_t whole_offset;
    int32_t scaled_offset;
    int32_t multiplier;
    int32_t shift;
    int32_t out_multiplier;
    int32_t out_shift;
    int32_t out_offset;
    int32x4_t low;
    int32x4_t high;
} sum;

#define AWAY(vector) "vshr.s32 q2, " vector ", #31\n\tvadd.i32 " vector ", " vector ", q2\n\t"

/* `away` is for terms that may be negative and get rounded. */
#define LOOP(name, away)                                                                           \
    TFLM_OPT_APART void name(const sum *s, int8_t *output, int32_t count)                          \
    {                                                                                              \
        const int8_t *whole = s->whole;                                                            \
        const int8_t *scaled = s->scaled;                                                          \
        const int32_t whole_offset = tflm_opt_shift_left(s->whole_offset, LEFT_SHIFT - 1);         \
        const int32_t scaled_offset = tflm_opt_shift_left(s->scaled_offset, LEFT_SHIFT);           \
        const int32x4_t half = vdupq_n_s32((int32_t)1 << (LEFT_SHIFT - 1));                        \
        const int32x4_t one = vdupq_n_s32((int32_t)1 << LEFT_SHIFT);                               \
        __asm__ volatile("dlstp.32 lr, %[count]\n"                                                 \
                         "1:\n\t"                                                                  \
                         "vldrb.s32 q1, [%[scaled]], #4\n\t"                                       \
                         "vmlas.s32 q1, %q[one], %[scaled_offset]\n\t"                             \
                         "vldrb.s32 q0, [%[whole]], #4\n\t"                                        \
                         "vqrdmulh.s32 q1, q1, %[multiplier]\n\t" away                             \
                         "vrshl.s32 q1, %[shift]\n\t"                                              \
                         "vmlas.s32 q0, %q[half], %[whole_offset]\n\t"                             \
                         "vadd.i32 q0, q0, q1\n\t"                                                 \
                         "vqrdmulh.s32 q0, q0, %[out_multiplier]\n\t" AWAY("q0")                   \
                         "vrshl.s32 q0, %[out_shift]\n\t"                                          \
                         "vadd.i32 q0, q0, %[out_offset]\n\t"                                      \
                         "vmax.s32 q0, q0, %q[low]\n\t"                                            \
                         "vmin.s32 q0, q0, %q[high]\n\t"                                           \
                         "vstrb.32 q0, [%[output]], #4\n\t"                                        \
                         "letp lr, 1b"                                                             \
                         : [whole] "+l"(whole), [scaled] "+l"(scaled), [output] "+l"(output)       \
                         : [count] "r"(count), [whole_offset] "r"(whole_offset),                   \
                           [scaled_offset] "r"(scaled_offset), [multiplier] "r"(s->multiplier),    \
                           [shift] "r"(s->shift), [out_multiplier] "r"(s->out_multiplier),         \
                           [out_shift] "r"(s->out_shift), [out_offset] "r"(s->out_offset),         \
                           [half] "w"(half), [one] "w"(one), [low] "w"(s->low),                    \
                           [high] "w"(s->high)                                                     \
                         : "lr", "q0", "q1", "q2", "memory");                                      \
    }

LOOP(add_signed, AWAY("q1"))
LOOP(add_plain, "")

/* Whether a factor is 1/2. */
TFLM_OPT_INLINE int is_half(int32_t multiplier, int32_t shift)
{
    return multiplier == (int32_t)1 << 30 && shift == 0;
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
    const int32x4_t low = vdupq_n_s32(out_activation_min);
    const int32x4_t high = vdupq_n_s32(out_activation_max);
    int32_t left;
    if (!tflm_opt_pair_fits(input_1_vect, input_2_vect, output, block_size, out_activation_min,
                            out_activation_max) ||
        !tflm_opt_are_down(input_1_shift, input_2_shift, out_shift) || left_shift < 0 ||
        left_shift > LEFT_SHIFT) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    if (left_shift == LEFT_SHIFT && out_shift < 0 && block_size > 0 &&
        (is_half(input_1_mult, input_1_shift) || is_half(input_2_mult, input_2_shift))) {
        const int first = is_half(input_1_mult, input_1_shift);
        sum s;
        s.whole = first ? input_1_vect : input_2_vect;
        s.scaled = first ? input_2_vect : input_1_vect;
        s.whole_offset = first ? input_1_offset : input_2_offset;
        s.scaled_offset = first ? input_2_offset : input_1_offset;
        s.multiplier = first ? input_2_mult : input_1_mult;
        s.shift = first ? input_2_shift : input_1_shift;
        s.out_multiplier = out_mult;
        s.out_shift = out_shift;
        s.out_offset = out_offset;
        s.low = low;
        s.high = high;
        if (s.shift == 0 || s.scaled_offset >= -INT8_MIN) {
            add_plain(&s, output, block_size);
        } else {
            add_signed(&s, output, block_size);
        }
        return ARM_CMSIS_NN_SUCCESS;
    }
    for (left = block_size; left > 0; left -= 4) {
        const mve_pred16_t some = vctp32q((uint32_t)left);
        const int32x4_t first =
            term(input_1_vect, input_1_offset, left_shift, input_1_mult, input_1_shift, some);
        const int32x4_t second =
            term(input_2_vect, input_2_offset, left_shift, input_2_mult, input_2_shift, some);
        const int32x4_t total = scale(vaddq_s32(first, second), out_mult, out_shift);
        vstrbq_p_s32(output, tflm_opt_clamp_x4(total, out_offset, low, high), some);
        input_1_vect += 4;
        input_2_vect += 4;
        output += 4;
    }
    return ARM_CMSIS_NN_SUCCESS;
}

#endif
