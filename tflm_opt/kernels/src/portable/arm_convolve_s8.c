#include "tflm_opt_dot.h"
#include "tflm_opt_kernels.h"

#include <stddef.h>

/* What is the same for all output pixels. */
typedef struct {
    const cmsis_nn_conv_params *params;
    const cmsis_nn_dims *input;
    const cmsis_nn_dims *filter;
    const int8_t *filter_data;
    int32_t groups;
    int32_t group_channels; /* output channels of one group */
    tflm_opt_channels channels;
    tflm_opt_patch patch;
} convolution;

/* The part of a window inside the input; `columns` taps of a row lie side by side or apart. */
static void set_patch(convolution *conv, int32_t rows, int32_t columns)
{
    const int32_t depth = conv->filter->c;
    const int32_t input_row = conv->params->dilation.h * conv->input->w * conv->input->c;
    const int32_t input_column = conv->params->dilation.w * conv->input->c;
    tflm_opt_patch *patch = &conv->patch;
    patch->rows = rows;
    patch->filter_row_skip = (conv->filter->w - columns) * depth;
    if (input_column == depth) {
        patch->columns = 1;
        patch->length = columns * depth;
        patch->input_column_skip = 0;
    } else {
        patch->columns = columns;
        patch->length = depth;
        patch->input_column_skip = input_column - depth;
    }
    patch->input_row_skip = input_row - columns * input_column;
}

/* All channels of one output pixel; `pixel` and `taps` are the window's first inner tap. */
static void convolve_pixel(convolution *conv,
                           const int8_t *pixel,
                           const int8_t *taps,
                           int8_t *output)
{
    tflm_opt_channels *channels = &conv->channels;
    const int32_t count = conv->group_channels;
    const int32_t all = count * conv->groups;
    int32_t done;
    for (done = 0; done < all; done += count) { /* each group reads its own input channels */
        tflm_opt_dot_window_s8(channels, &conv->patch, pixel, taps, count, output);
        pixel += conv->filter->c;
        taps += count * channels->filter_size;
        output += count;
    }
    channels->bias -= all * channels->bias_step;
    channels->multiplier -= all;
    channels->shift -= all;
}

/* One row of output pixels, whose windows start at row in_y of the image. */
static int8_t *convolve_row(convolution *conv,
                            const int8_t *image,
                            int32_t in_y,
                            const cmsis_nn_dims *output_dims,
                            int8_t *output)
{
    const cmsis_nn_conv_params *params = conv->params;
    const cmsis_nn_dims *input = conv->input;
    const cmsis_nn_dims *filter = conv->filter;
    const tflm_opt_taps rows = tflm_opt_window(in_y, filter->h, params->dilation.h, input->h);
    const int32_t first_y = in_y + rows.first * params->dilation.h;
    int32_t in_x = -params->padding.w;
    int32_t x;
    for (x = 0; x < output_dims->w; x++) {
        const tflm_opt_taps columns =
            tflm_opt_window(in_x, filter->w, params->dilation.w, input->w);
        const int8_t *pixel = image;
        const int8_t *taps = conv->filter_data;
        if (rows.last > rows.first && columns.last > columns.first) {
            const int32_t first_x = in_x + columns.first * params->dilation.w;
            set_patch(conv, rows.last - rows.first, columns.last - columns.first);
            pixel += (first_y * input->w + first_x) * input->c;
            taps += (rows.first * filter->w + columns.first) * filter->c;
        } else {
            conv->patch.rows = 0;
        }
        convolve_pixel(conv, pixel, taps, output);
        output += output_dims->c;
        in_x += params->stride.w;
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
    conv.input = input_dims;
    conv.filter = filter_dims;
    conv.filter_data = filter_data;
    conv.groups = groups;
    conv.group_channels = output_dims->c / groups;
    conv.channels.filter_size = filter_dims->h * filter_dims->w * filter_dims->c;
    conv.channels.input_offset = conv_params->input_offset;
    tflm_opt_set_bias(&conv.channels, bias_data);
    conv.channels.multiplier = quant_params->multiplier;
    conv.channels.shift = quant_params->shift;
    conv.channels.quant_step = 1;
    conv.channels.output_offset = conv_params->output_offset;
    conv.channels.activation = conv_params->activation;
    for (n = 0; n < input_dims->n; n++) {
        int32_t in_y = -conv_params->padding.h;
        for (y = 0; y < output_dims->h; y++) {
            output_data = convolve_row(&conv, input_data, in_y, output_dims, output_data);
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
