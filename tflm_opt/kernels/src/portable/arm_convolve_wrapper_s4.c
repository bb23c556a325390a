#include "tflm_opt_check.h"
#include "tflm_opt_kernels.h"
#include "tflm_opt_nibbles.h"
#include "tflm_opt_place.h"

/* sum + the products of one window with the filter whose weight at its first tap is `first`. */
static int32_t sum_window(const tflm_opt_inside *inside,
                          const cmsis_nn_dims *filter_dims,
                          const int8_t *pixel,
                          const int8_t *packed,
                          int32_t first,
                          int32_t offset,
                          int32_t sum)
{
    const int32_t depth = filter_dims->c;
    int32_t ky;
    int32_t kx;
    for (ky = 0; ky < inside->rows; ky++) {
        const int8_t *in = pixel + ky * inside->row_step;
        int32_t weight = first + ky * filter_dims->w * depth;
        for (kx = 0; kx < inside->columns; kx++) {
            sum = tflm_opt_dot_s4(sum, in, packed, weight, depth, offset);
            in += inside->column_step;
            weight += depth;
        }
    }
    return sum;
}

/* All channels of one output pixel; each group of them reads its own input channels. */
static void convolve_pixel(const tflm_opt_inside *inside,
                           const cmsis_nn_conv_params *params,
                           const cmsis_nn_per_channel_quant_params *quant,
                           const cmsis_nn_dims *filter_dims,
                           const int32_t *bias,
                           const int8_t *pixel,
                           const int8_t *packed,
                           int32_t channels,
                           int32_t group_channels,
                           int8_t *output)
{
    const int32_t filter_size = filter_dims->h * filter_dims->w * filter_dims->c;
    int32_t weight = inside->tap * filter_dims->c;
    int32_t left = group_channels;
    int32_t channel;
    for (channel = 0; channel < channels; channel++) {
        int32_t sum = bias != NULL ? bias[channel] : 0;
        if (left-- == 0) {
            pixel += filter_dims->c;
            left = group_channels - 1;
        }
        sum = sum_window(inside, filter_dims, pixel, packed, weight, params->input_offset, sum);
        output[channel] = tflm_opt_output_s8(sum, quant->multiplier[channel],
                                             quant->shift[channel], params->output_offset,
                                             params->activation);
        weight += filter_size;
    }
}

arm_cmsis_nn_status arm_convolve_wrapper_s4(const cmsis_nn_context *ctx,
                                            const cmsis_nn_conv_params *conv_params,
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
    int32_t group_channels;
    int32_t n;
    int32_t y;
    int32_t x;
    (void)ctx;
    (void)bias_dims;
    if (!tflm_opt_convolution_fits(conv_params, quant_params, input_dims, filter_dims,
                                   output_dims) ||
        input_data == NULL || filter_data == NULL || output_data == NULL) {
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
                convolve_pixel(&inside, conv_params, quant_params, filter_dims, bias_data,
                               input_data + inside.pixel, filter_data, output_dims->c,
                               group_channels, output_data);
                output_data += output_dims->c;
            }
        }
        input_data += input_dims->h * input_dims->w * input_dims->c;
    }
    return ARM_CMSIS_NN_SUCCESS;
}

int32_t arm_convolve_wrapper_s4_get_buffer_size(const cmsis_nn_conv_params *conv_params,
                                                const cmsis_nn_dims *input_dims,
                                                const cmsis_nn_dims *filter_dims,
                                                const cmsis_nn_dims *output_dims)
{
    (void)conv_params;
    (void)input_dims;
    (void)filter_dims;
    (void)output_dims;
    return 0;
}
