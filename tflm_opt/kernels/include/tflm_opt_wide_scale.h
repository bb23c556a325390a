/*
 * Outputs of int16 convolutions from their sums: not part of the public interface.
 */
#ifndef TFLM_OPT_WIDE_SCALE_H
#define TFLM_OPT_WIDE_SCALE_H

#include "tflm_opt_check.h"
#include "tflm_opt_int16.h"
#include "tflm_opt_place.h"
#include "tflm_opt_wide.h"

/* The bias of 32 or 64 bits says how the sum is rounded. */
TFLM_OPT_INLINE int32_t tflm_opt_scale_wide(const cmsis_nn_per_channel_quant_params *quant,
                     const cmsis_nn_bias_data *bias,
                     int32_t channel,
                     int64_t sum)
{
    const int32_t multiplier = quant->multiplier[channel];
    const int32_t shift = quant->shift[channel];
    if (bias != NULL && bias->is_int32_bias) {
        const int32_t *values = (const int32_t *)bias->data;
        const uint32_t start = values != NULL ? (uint32_t)values[channel] : 0U;
        return tflm_opt_requantize((int32_t)((uint32_t)(uint64_t)sum + start), multiplier, shift);
    }
    if (bias != NULL && bias->data != NULL) {
        sum += ((const int64_t *)bias->data)[channel];
    }
    return tflm_opt_requantize_wide(sum, multiplier, shift);
}

TFLM_OPT_INLINE int tflm_opt_wide_shifts_fit(const int32_t *shifts, const cmsis_nn_bias_data *bias, int32_t count)
{
    int32_t i;
    if (bias == NULL || !bias->is_int32_bias) {
        return tflm_opt_are_wide_shifts(shifts, count);
    }
    for (i = 0; i < count; i++) {
        if (!tflm_opt_is_shift(shifts[i])) {
            return 0;
        }
    }
    return 1;
}

/* One channel of one window; tap_step is from one column of taps to the next. */
TFLM_OPT_INLINE int64_t tflm_opt_sum_taps_s16(const tflm_opt_inside *inside,
                          const int16_t *pixel,
                          const int8_t *taps,
                          int32_t tap_step,
                          int32_t filter_row)
{
    int64_t sum = 0;
    int32_t ky;
    int32_t kx;
    for (ky = 0; ky < inside->rows; ky++) {
        const int16_t *in = pixel;
        const int8_t *tap = taps;
        for (kx = 0; kx < inside->columns; kx++) {
            sum += *in * *tap;
            in += inside->column_step;
            tap += tap_step;
        }
        pixel += inside->row_step;
        taps += filter_row;
    }
    return sum;
}

#endif /* TFLM_OPT_WIDE_SCALE_H */
