#include "tflm_opt_dot.h"
#include "tflm_opt_kernels.h"

static void average_window(const cmsis_nn_pool_params *params,
                           const int8_t *pixel,
                           const tflm_opt_run *runs,
                           int32_t channels,
                           int32_t columns,
                           int32_t count,
                           int8_t *output)
{
    int32_t channel;
    int32_t x;
    for (channel = 0; channel < channels; channel++) {
        const int8_t *row = pixel + channel;
        const tflm_opt_run *run = runs;
        int32_t rows = run->rows;
        int32_t sum = 0;
        while (rows > 0) {
            const int8_t *in = row;
            for (x = 0; x < columns; x++) {
                sum += *in;
                in += channels;
            }
            row += run->step;
            if (--rows == 0) {
                row += run->jump;
                run++;
                rows = run->rows;
            }
        }
        output[channel] = (int8_t)tflm_opt_clamp(tflm_opt_rounded_mean(sum, count),
                                                 params->activation.min, params->activation.max);
    }
}

arm_cmsis_nn_status tflm_opt_avgpool_lines_s8(const cmsis_nn_context *ctx,
                                              const cmsis_nn_pool_params *pool_params,
                                              const cmsis_nn_dims *input_dims,
                                              const tflm_opt_lines *input,
                                              const cmsis_nn_dims *filter_dims,
                                              const cmsis_nn_dims *output_dims,
                                              const tflm_opt_span *span,
                                              int8_t *output_data)
{
    const int32_t in_y = span->y * pool_params->stride.h - pool_params->padding.h;
    int32_t in_x = span->x * pool_params->stride.w - pool_params->padding.w;
    const tflm_opt_taps taps = tflm_opt_window(in_y, filter_dims->h, 1, input_dims->h);
    tflm_opt_window_rows rows;
    int32_t x;
    (void)ctx;
    tflm_opt_set_rows(input, in_y + taps.first, 1, taps.last - taps.first, tflm_opt_max(in_x, 0),
                      input_dims->c, &rows);
    for (x = 0; x < span->count; x++) {
        const tflm_opt_taps columns = tflm_opt_window(in_x, filter_dims->w, 1, input_dims->w);
        const int8_t *pixel = rows.origin + rows.offset + (in_x + columns.first) * input_dims->c;
        if (taps.last <= taps.first || columns.last <= columns.first) {
            return ARM_CMSIS_NN_ARG_ERROR; /* nothing to average */
        }
        average_window(pool_params, pixel, rows.runs, input_dims->c, columns.last - columns.first,
                       (taps.last - taps.first) * (columns.last - columns.first), output_data);
        output_data += output_dims->c;
        in_x += pool_params->stride.w;
    }
    return ARM_CMSIS_NN_SUCCESS;
}
