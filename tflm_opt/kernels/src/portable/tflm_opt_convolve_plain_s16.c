#include "tflm_opt_check.h"
#include "tflm_opt_kernels.h"
#include "tflm_opt_place.h"
#include "tflm_opt_wide_scale.h"

static int64_t sum_window(const tflm_opt_inside *inside,
                          const int16_t *pixel,
                          const int8_t *filter,
                          int32_t depth,
                          int32_t filter_row)
{
    int64_t sum = 0;
    int32_t ky;
    int32_t kx;
    for (ky = 0; ky < inside->rows; ky++) {
        const int16_t *in = pixel;
        const int8_t *tap = filter;
        if (inside->column_step == depth) {
            sum += tflm_opt_dot_s16(in, tap, inside->columns * depth);
        } else {
            for (kx = 0; kx < inside->columns; kx++) {
                sum += tflm_opt_dot_s16(in, tap, depth);
                in += inside->column_step;
                tap += depth;
            }
        }
        pixel += inside->row_step;
        filter += filter_row;
    }
    return sum;
}

/* All channels of one output pixel; each group of them reads its own input channels. */
static void convolve_pixel(const tflm_opt_inside *inside,
                           const cmsis_nn_dims *filter_dims,
                           const cmsis_nn_per_channel_quant_params *quant,
                           const cmsis_nn_bias_data *bias,
                           const cmsis_nn_activation *activation,
                           const int16_t *pixel,
                           const int8_t *filter,
                           int32_t channels,
                           int32_t group_channels,
                           int16_t *output)
{
    const int32_t depth = filter_dims->c;
    const int32_t filter_row = filter_dims->w * depth;
    int32_t left = group_channels;
    int32_t channel;
    filter += inside->tap * depth;
    for (channel = 0; channel < channels; channel++) {
        int64_t sum;
        if (left-- == 0) {
            pixel += depth;
            left = group_channels - 1;
        }
        sum = sum_window(inside, pixel, filter, depth, filter_row);
        output[channel] = (int16_t)tflm_opt_clamp(tflm_opt_scale_wide(quant, bias, channel, sum),
                                                  activation->min, activation->max);
        filter += filter_dims->h * filter_row;
    }
}

arm_cmsis_nn_status tflm_opt_convolve_plain_s16(const cmsis_nn_context *ctx,
                                             const cmsis_nn_conv_params *conv_params,
                                             const cmsis_nn_per_channel_quant_params *quant_params,
                                             const cmsis_nn_dims *input_dims,
                                             const int16_t *input_data,
                                             const cmsis_nn_dims *filter_dims,
                                             const int8_t *filter_data,
                                             const cmsis_nn_dims *bias_dims,
                                             const cmsis_nn_bias_data *bias_data,
                                             const cmsis_nn_dims *output_dims,
                                             int16_t *output_data)
{
    tflm_opt_windows windows;
    int32_t group_channels;
    int32_t n;
    int32_t y;
    int32_t x;
    (void)ctx;
    (void)bias_dims;
    if (!tflm_opt_convolution_fits(conv_params, quant_params, input_dims, filter_dims,
                                   output_dims) ||
        input_data == NULL || filter_data == NULL || output_data == NULL ||
        !tflm_opt_wide_shifts_fit(quant_params->shift, bias_data, output_dims->c)) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    windows.stride = &conv_params->stride;
    windows.padding = &conv_params->padding;
    windows.dilation = &conv_params->dilation;
    windows.input = input_dims;
    windows.filter = filter_dims;
    group_channels = output_dims->c / (input_dims->c / filter_dims->c);
    for (n = 0; n < output_dims->n; n++) {
        for (y = 0; y < output_dims->h; y++) {
            for (x = 0; x < output_dims->w; x++) {
                const tflm_opt_inside inside = tflm_opt_place(&windows, y, x);
                convolve_pixel(&inside, filter_dims, quant_params, bias_data,
                               &conv_params->activation, input_data + inside.pixel, filter_data,
                               output_dims->c, group_channels, output_data);
                output_data += output_dims->c;
            }
        }
        input_data += input_dims->h * input_dims->w * input_dims->c;
    }
    return ARM_CMSIS_NN_SUCCESS;
}
