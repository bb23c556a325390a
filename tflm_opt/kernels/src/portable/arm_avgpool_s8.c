#include "tflm_opt_dot.h"
#include "tflm_opt_kernels.h"

static void average_window(const cmsis_nn_pool_params *params,
                           const int8_t *pixel,
                           const cmsis_nn_dims *input_dims,
                           int32_t rows,
                           int32_t columns,
                           int8_t *output)
{
    const int32_t row_step = input_dims->w * input_dims->c;
    int32_t channel;
    int32_t y;
    int32_t x;
    for (channel = 0; channel < input_dims->c; channel++) {
        const int8_t *row = pixel + channel;
        int32_t sum = 0;
        for (y = 0; y < rows; y++) {
            const int8_t *in = row;
            for (x = 0; x < columns; x++) {
                sum += *in;
                in += input_dims->c;
            }
            row += row_step;
        }
        output[channel] = (int8_t)tflm_opt_clamp(tflm_opt_rounded_mean(sum, rows * columns),
                                                 params->activation.min, params->activation.max);
    }
}

arm_cmsis_nn_status arm_avgpool_s8(const cmsis_nn_context *ctx,
                                   const cmsis_nn_pool_params *pool_params,
                                   const cmsis_nn_dims *input_dims,
                                   const int8_t *input_data,
                                   const cmsis_nn_dims *filter_dims,
                                   const cmsis_nn_dims *output_dims,
                                   int8_t *output_data)
{
    int32_t n;
    int32_t y;
    int32_t x;
    (void)ctx;
    for (n = 0; n < input_dims->n; n++) {
        int32_t in_y = -pool_params->padding.h;
        for (y = 0; y < output_dims->h; y++) {
            const tflm_opt_taps rows = tflm_opt_window(in_y, filter_dims->h, 1, input_dims->h);
            int32_t in_x = -pool_params->padding.w;
            for (x = 0; x < output_dims->w; x++) {
                const tflm_opt_taps columns =
                    tflm_opt_window(in_x, filter_dims->w, 1, input_dims->w);
                const int32_t first =
                    (in_y + rows.first) * input_dims->w + in_x + columns.first;
                if (rows.last <= rows.first || columns.last <= columns.first) {
                    return ARM_CMSIS_NN_ARG_ERROR; /* nothing to average */
                }
                average_window(pool_params, input_data + first * input_dims->c, input_dims,
                               rows.last - rows.first, columns.last - columns.first, output_data);
                output_data += output_dims->c;
                in_x += pool_params->stride.w;
            }
            in_y += pool_params->stride.h;
        }
        input_data += input_dims->h * input_dims->w * input_dims->c;
    }
    return ARM_CMSIS_NN_SUCCESS;
}

int32_t arm_avgpool_s8_get_buffer_size(const int output_x, const int ch_src)
{
    (void)output_x;
    (void)ch_src;
    return 0;
}
