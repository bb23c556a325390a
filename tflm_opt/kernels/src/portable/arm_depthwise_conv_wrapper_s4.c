#include "tflm_opt_check.h"
#include "tflm_opt_kernels.h"
#include "tflm_opt_nibbles.h"
#include "tflm_opt_place.h"

/* sum + one channel of one window; `weight` is the number of its first tap's weight. */
static int32_t sum_window(const tflm_opt_inside *inside,
                          const int8_t *pixel,
                          const int8_t *packed,
                          int32_t weight,
                          int32_t tap_step,
                          int32_t filter_row,
                          int32_t offset,
                          int32_t sum)
{
    int32_t ky;
    int32_t kx;
    for (ky = 0; ky < inside->rows; ky++) {
        const int8_t *in = pixel + ky * inside->row_step;
        int32_t tap = weight + ky * filter_row;
        for (kx = 0; kx < inside->columns; kx++) {
            sum += (*in + offset) * tflm_opt_nibble(packed, tap);
            in += inside->column_step;
            tap += tap_step;
        }
    }
    return sum;
}

/* All channels of one output pixel; each input channel makes ch_mult of them. */
static void depthwise_pixel(const tflm_opt_inside *inside,
                            const cmsis_nn_dw_conv_params *params,
                            const cmsis_nn_per_channel_quant_params *quant,
                            const int32_t *bias,
                            const int8_t *pixel,
                            const int8_t *packed,
                            int32_t channels,
                            int32_t filter_row,
                            int8_t *output)
{
    int32_t left = params->ch_mult;
    int32_t channel;
    for (channel = 0; channel < channels; channel++) {
        int32_t sum = bias != NULL ? bias[channel] : 0;
        if (left-- == 0) {
            pixel++;
            left = params->ch_mult - 1;
        }
        sum = sum_window(inside, pixel, packed, inside->tap * channels + channel, channels,
                         filter_row, params->input_offset, sum);
        output[channel] = tflm_opt_output_s8(sum, quant->multiplier[channel],
                                             quant->shift[channel], params->output_offset,
                                             params->activation);
    }
}

arm_cmsis_nn_status arm_depthwise_conv_wrapper_s4(
    const cmsis_nn_context *ctx,
    const cmsis_nn_dw_conv_params *dw_conv_params,
    const cmsis_nn_per_channel_quant_params *quant_params,
    const cmsis_nn_dims *input_dims,
    const int8_t *input_data,
    const cmsis_nn_dims *filter_dims,
    const int8_t *filter_data,
    const cmsis_nn_dims *bias_dims,
    const int32_t *bias_data,
    const cmsis_nn_dims *output_dims,
    int8_t *output_data)
{
    tflm_opt_windows windows;
    int32_t n;
    int32_t y;
    int32_t x;
    (void)ctx;
    (void)bias_dims;
    if (!tflm_opt_depthwise_fits(dw_conv_params, quant_params, input_dims, filter_dims,
                                 output_dims) ||
        input_data == NULL || filter_data == NULL || output_data == NULL) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    windows.stride = &dw_conv_params->stride;
    windows.padding = &dw_conv_params->padding;
    windows.dilation = &dw_conv_params->dilation;
    windows.input = input_dims;
    windows.filter = filter_dims;
    for (n = 0; n < output_dims->n; n++) {
        for (y = 0; y < output_dims->h; y++) {
            for (x = 0; x < output_dims->w; x++) {
                const tflm_opt_inside inside = tflm_opt_place(&windows, y, x);
                depthwise_pixel(&inside, dw_conv_params, quant_params, bias_data,
                                input_data + inside.pixel, filter_data, output_dims->c,
                                filter_dims->w * output_dims->c, output_data);
                output_data += output_dims->c;
            }
        }
        input_data += input_dims->h * input_dims->w * input_dims->c;
    }
    return ARM_CMSIS_NN_SUCCESS;
}

int32_t arm_depthwise_conv_wrapper_s4_get_buffer_size(
    const cmsis_nn_dw_conv_params *dw_conv_params,
    const cmsis_nn_dims *input_dims,
    const cmsis_nn_dims *filter_dims,
    const cmsis_nn_dims *output_dims)
{
    (void)dw_conv_params;
    (void)input_dims;
    (void)filter_dims;
    (void)output_dims;
    return 0;
}
