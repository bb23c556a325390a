/*
 * The terms of a quantized sum, and loops over two inputs of different shapes: not part of the
 * public interface.
 */
#ifndef TFLM_OPT_SUM_H
#define TFLM_OPT_SUM_H

#include "tflm_opt_math.h"
#include "tflm_opt_tier.h"
#include "tflm_opt_types.h"

/*
 * x times a factor below one, rounded twice: -31 < shift <= 0 and |x| < 2^30, which 9 bits times
 * 2^20 and the sum of two such terms keep. That leaves room to add the half before the shift;
 * one less for negative numbers rounds their halves away from zero.
 */
TFLM_OPT_INLINE int32_t tflm_opt_scale_down(int32_t x, int32_t multiplier, int32_t shift)
{
    const int32_t half = (int32_t)(((uint32_t)1 << -shift) >> 1);
    const int32_t one_less = shift < 0 ? -1 : 0;
    const int32_t product = tflm_opt_high_mul(x, multiplier);
    return (product + half + ((product >> 31) & one_less)) >> -shift;
}

/* An input on the scale that both terms share. */
TFLM_OPT_INLINE int32_t tflm_opt_term(
    int32_t x, int32_t left_shift, int32_t multiplier, int32_t shift)
{
    return tflm_opt_scale_down(tflm_opt_shift_left(x, left_shift), multiplier, shift);
}

/* The sum of two inputs, their offsets not yet added. */
TFLM_OPT_INLINE int8_t tflm_opt_sum_of(const tflm_opt_sum_params *params, int32_t x, int32_t y)
{
    const cmsis_nn_per_tensor_quant_params *out = &params->output_quant;
    const int32_t first =
        tflm_opt_term(x + params->input1_offset, params->left_shift,
                      params->input1_quant.multiplier, params->input1_quant.shift);
    const int32_t second =
        tflm_opt_term(y + params->input2_offset, params->left_shift,
                      params->input2_quant.multiplier, params->input2_quant.shift);
    const int32_t sum = tflm_opt_scale_down(first + second, out->multiplier, out->shift);
    return (int8_t)tflm_opt_clamp(sum + params->output_offset, params->activation.min,
                                  params->activation.max);
}

TFLM_OPT_APART TFLM_OPT_SMALL int32_t tflm_opt_scale_rarely(
    int32_t x, const cmsis_nn_per_tensor_quant_params *factor)
{
    return tflm_opt_scale_down(x, factor->multiplier, factor->shift);
}

/* Sums of any factors and offsets, one by one: what faster loops leave. */
TFLM_OPT_APART TFLM_OPT_SMALL void tflm_opt_add_any(const tflm_opt_sum_params *params,
                                                    const int8_t *input1,
                                                    const int8_t *input2,
                                                    int32_t count,
                                                    int8_t *output)
{
    for (; count > 0; count--) {
        const int32_t x = tflm_opt_shift_left(*input1++ + params->input1_offset, params->left_shift);
        const int32_t y = tflm_opt_shift_left(*input2++ + params->input2_offset, params->left_shift);
        const int32_t sum =
            tflm_opt_scale_rarely(tflm_opt_scale_rarely(x, &params->input1_quant) +
                                      tflm_opt_scale_rarely(y, &params->input2_quant),
                                  &params->output_quant);
        *output++ = (int8_t)tflm_opt_clamp(sum + params->output_offset, params->activation.min,
                                           params->activation.max);
    }
}

/* Whether a factor is 1/2: of the coarser of two inputs it always is. */
TFLM_OPT_INLINE int tflm_opt_is_half(const cmsis_nn_per_tensor_quant_params *factor)
{
    return factor->multiplier == (int32_t)1 << 30 && factor->shift == 0;
}

/* Clamped to an int8. Most are inside, so there is one comparison. */
TFLM_OPT_INLINE int8_t tflm_opt_saturated(int32_t x)
{
    if ((uint32_t)x + 128U > 255U) {
        x = (x >> 31) ^ INT8_MAX;
    }
    return (int8_t)x;
}

/*
 * x * multiplier / 2^32 to nearest, halves up, for |x| <= 2^30 and multiplier >= 0.
 *
 * Cores whose products have 32 bits take it in parts of 16, both factors' lower ones signed: with
 * x = a * 2^16 + b and multiplier = c * 2^16 + d it is a * c and, of the rest, what is above 2^16;
 * |a * d + b * c| is below 2^30 + 2^29, and of b * d the part below 2^16 can't carry.
 */
TFLM_OPT_INLINE int32_t tflm_opt_upper_half(int32_t x, int32_t multiplier)
{
#if TFLM_OPT_THUMB1
    const int32_t b = (int16_t)x;
    const int32_t a = (x - b) >> 16;
    const int32_t d = (int16_t)multiplier;
    const int32_t c = (int32_t)(((uint32_t)multiplier + 0x8000U) >> 16);
    return a * c + ((((b * d) >> 16) + a * d + b * c + 0x8000) >> 16);
#else
    return (int32_t)(((int64_t)x * multiplier + ((int64_t)1 << 31)) >> 32);
#endif
}

/*
 * An output of twice a sum, 1 <= right <= 22: times multiplier / 2^32 to nearest, which is TFLM's
 * first rounding, by 2^right to nearest with halves away from zero, plus the offset, saturated.
 * `half` is from below; with |twice| < 2^30 nothing overflows.
 */
TFLM_OPT_INLINE int8_t tflm_opt_output_of_twice(
    int32_t twice, int32_t multiplier, int32_t half, int32_t right)
{
    const int32_t high = tflm_opt_upper_half(twice, multiplier);
    return tflm_opt_saturated((high + (high >> 31) + half) >> right);
}

/* Half an output step and the offset, on the scale of what is shifted. */
TFLM_OPT_INLINE int32_t tflm_opt_half_and_offset(int32_t right, int32_t offset)
{
    return ((int32_t)1 << (right - 1)) + offset * ((int32_t)1 << right);
}

#define TFLM_OPT_TWICE_MOST 22

/*
 * One line of a broadcast: how far to go along the innermost axis, and what to add to the two
 * input pointers afterwards. A loop over lines needs no multiplication:
 *
 *     tflm_opt_odometer at = {{0}};
 *     do { line; } while (tflm_opt_next_line(shape, &at, &input1, &input2));
 */
typedef struct {
    int32_t index[TFLM_OPT_BROADCAST_AXES];
} tflm_opt_odometer;

/* To the start of the next line, in memory order of the output; 0 after the last one. */
TFLM_OPT_INLINE int tflm_opt_next_line(const tflm_opt_broadcast *shape,
                                       tflm_opt_odometer *at,
                                       const int8_t **input1,
                                       const int8_t **input2)
{
    int32_t axis;
    for (axis = TFLM_OPT_BROADCAST_AXES - 2; axis >= 0; axis--) {
        *input1 += shape->stride1[axis];
        *input2 += shape->stride2[axis];
        at->index[axis]++;
        if (at->index[axis] < shape->size[axis]) {
            return 1;
        }
        at->index[axis] = 0;
        *input1 -= shape->size[axis] * shape->stride1[axis];
        *input2 -= shape->size[axis] * shape->stride2[axis];
    }
    return 0;
}

#endif /* TFLM_OPT_SUM_H */
