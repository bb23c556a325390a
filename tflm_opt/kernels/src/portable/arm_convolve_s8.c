#include "tflm_opt_dot.h"
#include "tflm_opt_kernels.h"

#include <stddef.h>

/* What is the same for all output pixels. */
typedef struct {
    const cmsis_nn_conv_params *params;
    const cmsis_nn_per_channel_quant_params *quant;
    const cmsis_nn_dims *input;
    const cmsis_nn_dims *filter;
    const int8_t *filter_data;
    const int32_t *bias;
    int32_t channels;       /* output channels */
    int32_t group_channels; /* output channels of one group */
} convolution;

/* One window of one output channel; `pixel` is the input at the window's first inner tap. */
static int32_t window_sum(const convolution *conv,
                          const int8_t *pixel,
                          const int8_t *taps,
                          int32_t rows,
                          int32_t columns,
                          int32_t sum)
{
    const int32_t depth = conv->filter->c;
    const int32_t input_row = conv->params->dilation.h * conv->input->w * conv->input->c;
    const int32_t input_column = conv->params->dilation.w * conv->input->c;
    const int32_t filter_row = conv->filter->w * depth;
    const int32_t offset = conv->params->input_offset;
    int32_t y;
    int32_t x;
    if (input_column == depth) { /* the columns of a row lie side by side */
        for (y = 0; y < rows; y++) {
            sum = tflm_opt_dot_s8(sum, pixel, taps, columns * depth, offset);
            pixel += input_row;
            taps += filter_row;
        }
        return sum;
    }
    for (y = 0; y < rows; y++) {
        for (x = 0; x < columns; x++) {
            sum = tflm_opt_dot_s8(sum, pixel + x * input_column, taps + x * depth, depth, offset);
        }
        pixel += input_row;
        taps += filter_row;
    }
    return sum;
}

/* All channels of one output pixel, whose window starts at (in_y, in_x) of the image. */
static int8_t *convolve_pixel(
    const convolution *conv, const int8_t *image, int32_t in_y, int32_t in_x, int8_t *output)
{
    const cmsis_nn_conv_params *params = conv->params;
    const cmsis_nn_dims *filter = conv->filter;
    const int32_t filter_size = filter->h * filter->w * filter->c;
    const tflm_opt_taps rows =
        tflm_opt_window(in_y, filter->h, params->dilation.h, conv->input->h);
    const tflm_opt_taps columns =
        tflm_opt_window(in_x, filter->w, params->dilation.w, conv->input->w);
    const int32_t inside = rows.last > rows.first && columns.last > columns.first;
    const int32_t first_y = in_y + rows.first * params->dilation.h;
    const int32_t first_x = in_x + columns.first * params->dilation.w;
    const int8_t *pixel = inside ? image + (first_y * conv->input->w + first_x) * conv->input->c
                                 : image;
    const int8_t *taps = conv->filter_data + (rows.first * filter->w + columns.first) * filter->c;
    int32_t left = conv->group_channels;
    int32_t channel;
    for (channel = 0; channel < conv->channels; channel++) {
        int32_t sum = conv->bias != NULL ? conv->bias[channel] : 0;
        if (inside) {
            sum = window_sum(conv, pixel, taps, rows.last - rows.first,
                             columns.last - columns.first, sum);
        }
        *output++ = tflm_opt_output_s8(sum, conv->quant->multiplier[channel],
                                       conv->quant->shift[channel], params->output_offset,
                                       params->activation);
        taps += filter_size;
        if (--left == 0) { /* the next group reads the next channels */
            left = conv->group_channels;
            pixel += filter->c;
        }
    }
    return output;
}

arm_cmsis_nn_status arm_convolve_s8(const cmsis_nn_context *ctx,
                                    const cmsis_nn_conv_params *conv_params,
                                    const cmsis_nn_per_channel_quant_params *quant_params,
                                    const cmsis_nn_dims *input_dims,
                                    const int8_t *input_data,
                                    const cmsis_nn_dims *filter_dims,
                                    const int8_t *filter_data,
                                    const cmsis_nn_dims *bias_dims,
                                    const int32_t *bias_data,
                                    const cmsis_nn_dims *upscale_dims,
                                    const cmsis_nn_dims *output_dims,
                                    int8_t *output_data)
{
    const int32_t groups = filter_dims->c > 0 ? input_dims->c / filter_dims->c : 0;
    const int32_t image_size = input_dims->h * input_dims->w * input_dims->c;
    convolution conv;
    int32_t n;
    int32_t y;
    int32_t x;
    (void)ctx;
    (void)bias_dims;
    if (upscale_dims != NULL) {
        return ARM_CMSIS_NN_NO_IMPL_ERROR;
    }
    if (groups <= 0 || input_dims->c != groups * filter_dims->c ||
        output_dims->c % groups != 0) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    conv.params = conv_params;
    conv.quant = quant_params;
    conv.input = input_dims;
    conv.filter = filter_dims;
    conv.filter_data = filter_data;
    conv.bias = bias_data;
    conv.channels = output_dims->c;
    conv.group_channels = output_dims->c / groups;
    for (n = 0; n < input_dims->n; n++) {
        int32_t in_y = -conv_params->padding.h;
        for (y = 0; y < output_dims->h; y++) {
            int32_t in_x = -conv_params->padding.w;
            for (x = 0; x < output_dims->w; x++) {
                output_data = convolve_pixel(&conv, input_data, in_y, in_x, output_data);
                in_x += conv_params->stride.w;
            }
            in_y += conv_params->stride.h;
        }
        input_data += image_size;
    }
    return ARM_CMSIS_NN_SUCCESS;
}

int32_t arm_convolve_s8_get_buffer_size(const cmsis_nn_dims *input_dims,
                                        const cmsis_nn_dims *filter_dims)
{
    (void)input_dims;
    (void)filter_dims;
    return 0;
}
