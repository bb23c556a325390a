#include "tflm_opt_kernels.h"
#include "tflm_opt_mve.h"
#include "tflm_opt_sum.h"

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

TFLM_OPT_INLINE int32x4_t scale(int32x4_t values, cmsis_nn_per_tensor_quant_params factor)
{
    values = vqrdmulhq_n_s32(values, factor.multiplier);
    if (factor.shift < 0) {
        values = vrshlq_n_s32(vaddq_s32(values, vshrq_n_s32(values, 31)), factor.shift);
    }
    return values;
}

TFLM_OPT_INLINE int32x4_t term(const int8_t *input,
                               int32_t offset,
                               int32_t left_shift,
                               cmsis_nn_per_tensor_quant_params factor,
                               mve_pred16_t some)
{
    const int32x4_t values = vaddq_n_s32(vldrbq_z_s32(input, some), offset);
    return scale(vshlq_r_s32(values, left_shift), factor);
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

void tflm_opt_add_s8(const tflm_opt_sum_params *params,
                     const int8_t *input1_data,
                     const int8_t *input2_data,
                     int32_t count,
                     int8_t *output_data)
{
    const cmsis_nn_per_tensor_quant_params out = params->output_quant;
    const int32x4_t low = vdupq_n_s32(params->activation.min);
    const int32x4_t high = vdupq_n_s32(params->activation.max);
    const int first = tflm_opt_is_half(&params->input1_quant);
    const cmsis_nn_per_tensor_quant_params *other =
        first ? &params->input2_quant : &params->input1_quant;
    if (params->left_shift == LEFT_SHIFT && out.shift < 0 && count > 0 &&
        (first || tflm_opt_is_half(&params->input2_quant))) {
        sum s;
        s.whole = first ? input1_data : input2_data;
        s.scaled = first ? input2_data : input1_data;
        s.whole_offset = first ? params->input1_offset : params->input2_offset;
        s.scaled_offset = first ? params->input2_offset : params->input1_offset;
        s.multiplier = other->multiplier;
        s.shift = other->shift;
        s.out_multiplier = out.multiplier;
        s.out_shift = out.shift;
        s.out_offset = params->output_offset;
        s.low = low;
        s.high = high;
        if (s.shift == 0 || s.scaled_offset >= -INT8_MIN) {
            add_plain(&s, output_data, count);
        } else {
            add_signed(&s, output_data, count);
        }
        return;
    }
    for (; count > 0; count -= 4) {
        const mve_pred16_t some = vctp32q((uint32_t)count);
        const int32x4_t x = term(input1_data, params->input1_offset, params->left_shift,
                                 params->input1_quant, some);
        const int32x4_t y = term(input2_data, params->input2_offset, params->left_shift,
                                 params->input2_quant, some);
        const int32x4_t total = scale(vaddq_s32(x, y), out);
        vstrbq_p_s32(output_data, tflm_opt_clamp_x4(total, params->output_offset, low, high),
                     some);
        input1_data += 4;
        input2_data += 4;
        output_data += 4;
    }
}

#endif
