/*
 * The loop of int16 pools: not part of the public interface.
 */
#ifndef TFLM_OPT_POOL_S16_H
#define TFLM_OPT_POOL_S16_H

#include "tflm_opt_check.h"
#include "tflm_opt_dot.h"

/* One channel of a window: `in` is its first element, rows * columns elements are inside. */
typedef int32_t (*tflm_opt_fold_s16)(const int16_t *in,
                                     const cmsis_nn_dims *input_dims,
                                     int32_t rows,
                                     int32_t columns);

/* What `fold` makes of each window; it is known where this is called, and so inlined. */
TFLM_OPT_INLINE arm_cmsis_nn_status tflm_opt_pool_s16(const cmsis_nn_pool_params *params,
                                                      const cmsis_nn_dims *input_dims,
                                                      const int16_t *input,
                                                      const cmsis_nn_dims *filter_dims,
                                                      const cmsis_nn_dims *output_dims,
                                                      int16_t *output,
                                                      tflm_opt_fold_s16 fold)
{
    int32_t n;
    int32_t y;
    int32_t x;
    int32_t channel;
    if (!tflm_opt_pool_fits(params, input_dims, filter_dims, output_dims) || input == NULL ||
        output == NULL) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    for (n = 0; n < output_dims->n; n++) {
        for (y = 0; y < output_dims->h; y++) {
            const int32_t in_y = y * params->stride.h - params->padding.h;
            const tflm_opt_taps rows = tflm_opt_window(in_y, filter_dims->h, 1, input_dims->h);
            for (x = 0; x < output_dims->w; x++) {
                const int32_t in_x = x * params->stride.w - params->padding.w;
                const tflm_opt_taps columns =
                    tflm_opt_window(in_x, filter_dims->w, 1, input_dims->w);
                const int32_t pixel =
                    (in_y + rows.first) * input_dims->w + in_x + columns.first;
                for (channel = 0; channel < output_dims->c; channel++) {
                    const int32_t value =
                        fold(input + pixel * input_dims->c + channel, input_dims,
                             rows.last - rows.first, columns.last - columns.first);
                    *output++ = (int16_t)tflm_opt_clamp(value, params->activation.min,
                                                        params->activation.max);
                }
            }
        }
        input += input_dims->h * input_dims->w * input_dims->c;
    }
    return ARM_CMSIS_NN_SUCCESS;
}

#endif /* TFLM_OPT_POOL_S16_H */
