#include "tflm_opt_dot.h"
#include "tflm_opt_kernels.h"

#include <stddef.h>

#define BLOCK 4

/* What is the same for all output pixels; steps are in elements. */
typedef struct {
    const cmsis_nn_dw_conv_params *params;
    const cmsis_nn_per_channel_quant_params *quant;
    const cmsis_nn_dims *input;
    const cmsis_nn_dims *filter;
    const int32_t *bias;
    int32_t channels;   /* output channels */
    int32_t input_row;  /* from one row of taps to the next, in the input */
    int32_t input_step; /* from one tap to the next */
    int32_t filter_row;
} depthwise;

/* The taps of one window that lie inside the input. */
typedef struct {
    const int8_t *pixel;
    const int8_t *taps;
    int32_t rows;
    int32_t columns;
} window;

static int8_t finish(const depthwise *conv, int32_t sum, int32_t channel)
{
    return tflm_opt_output_s8(sum, conv->quant->multiplier[channel], conv->quant->shift[channel],
                              conv->params->output_offset, conv->params->activation);
}

static int32_t first_sum(const depthwise *conv, int32_t channel)
{
    return conv->bias != NULL ? conv->bias[channel] : 0;
}

/* BLOCK neighbouring channels at once: input and filter are both read in memory order. */
static void sum_block(const depthwise *conv, const window *win, int32_t channel, int32_t *sums)
{
    const int8_t *row = win->pixel + channel;
    const int8_t *filter_row = win->taps + channel;
    const int32_t offset = conv->params->input_offset;
    int32_t y;
    int32_t x;
    int32_t i;
    for (y = 0; y < win->rows; y++) {
        const int8_t *in = row;
        const int8_t *tap = filter_row;
        for (x = 0; x < win->columns; x++) {
            for (i = 0; i < BLOCK; i++) {
                sums[i] += (in[i] + offset) * tap[i];
            }
            in += conv->input_step;
            tap += conv->channels;
        }
        row += conv->input_row;
        filter_row += conv->filter_row;
    }
}

static int32_t sum_one(
    const depthwise *conv, const window *win, int32_t in_channel, int32_t channel, int32_t sum)
{
    const int8_t *row = win->pixel + in_channel;
    const int8_t *filter_row = win->taps + channel;
    const int32_t offset = conv->params->input_offset;
    int32_t y;
    int32_t x;
    for (y = 0; y < win->rows; y++) {
        const int8_t *in = row;
        const int8_t *tap = filter_row;
        for (x = 0; x < win->columns; x++) {
            sum += (*in + offset) * *tap;
            in += conv->input_step;
            tap += conv->channels;
        }
        row += conv->input_row;
        filter_row += conv->filter_row;
    }
    return sum;
}

/* All channels of one output pixel of a multiplier of 1. */
static void pixel_plain(const depthwise *conv, const window *win, int8_t *output)
{
    int32_t channel = 0;
    for (; channel + BLOCK <= conv->channels; channel += BLOCK) {
        int32_t sums[BLOCK];
        int32_t i;
        for (i = 0; i < BLOCK; i++) {
            sums[i] = first_sum(conv, channel + i);
        }
        sum_block(conv, win, channel, sums);
        for (i = 0; i < BLOCK; i++) {
            output[channel + i] = finish(conv, sums[i], channel + i);
        }
    }
    for (; channel < conv->channels; channel++) {
        const int32_t sum = sum_one(conv, win, channel, channel, first_sum(conv, channel));
        output[channel] = finish(conv, sum, channel);
    }
}

/* The same of any multiplier: each input channel makes ch_mult output channels. */
static void pixel_multiplied(const depthwise *conv, const window *win, int8_t *output)
{
    int32_t channel = 0;
    int32_t in_channel;
    int32_t m;
    for (in_channel = 0; in_channel < conv->input->c; in_channel++) {
        for (m = 0; m < conv->params->ch_mult; m++) {
            const int32_t sum = sum_one(conv, win, in_channel, channel, first_sum(conv, channel));
            output[channel] = finish(conv, sum, channel);
            channel++;
        }
    }
}

/* The taps inside the image of a window that starts at (in_y, in_x). */
static window inner_window(const depthwise *conv,
                           const int8_t *image,
                           const int8_t *filter_data,
                           tflm_opt_taps rows,
                           int32_t in_y,
                           int32_t in_x)
{
    const cmsis_nn_tile dilation = conv->params->dilation;
    const tflm_opt_taps columns =
        tflm_opt_window(in_x, conv->filter->w, dilation.w, conv->input->w);
    const int32_t first_y = in_y + rows.first * dilation.h;
    const int32_t first_x = in_x + columns.first * dilation.w;
    window win;
    win.rows = rows.last - rows.first;
    win.columns = columns.last - columns.first;
    win.pixel = image;
    win.taps = filter_data;
    if (win.rows > 0 && win.columns > 0) {
        win.pixel += (first_y * conv->input->w + first_x) * conv->input->c;
        win.taps += (rows.first * conv->filter->w + columns.first) * conv->channels;
    }
    return win;
}

static int8_t *depthwise_image(const depthwise *conv,
                               const int8_t *image,
                               const int8_t *filter_data,
                               const cmsis_nn_dims *output_dims,
                               int8_t *output)
{
    const cmsis_nn_dw_conv_params *params = conv->params;
    int32_t in_y = -params->padding.h;
    int32_t y;
    int32_t x;
    for (y = 0; y < output_dims->h; y++) {
        const tflm_opt_taps rows =
            tflm_opt_window(in_y, conv->filter->h, params->dilation.h, conv->input->h);
        int32_t in_x = -params->padding.w;
        for (x = 0; x < output_dims->w; x++) {
            const window win = inner_window(conv, image, filter_data, rows, in_y, in_x);
            if (params->ch_mult == 1) {
                pixel_plain(conv, &win, output);
            } else {
                pixel_multiplied(conv, &win, output);
            }
            output += conv->channels;
            in_x += params->stride.w;
        }
        in_y += params->stride.h;
    }
    return output;
}

arm_cmsis_nn_status arm_depthwise_conv_s8(const cmsis_nn_context *ctx,
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
    depthwise conv;
    int32_t n;
    (void)ctx;
    (void)bias_dims;
    if (output_dims->c != input_dims->c * dw_conv_params->ch_mult) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    conv.params = dw_conv_params;
    conv.quant = quant_params;
    conv.input = input_dims;
    conv.filter = filter_dims;
    conv.bias = bias_data;
    conv.channels = output_dims->c;
    conv.input_row = dw_conv_params->dilation.h * input_dims->w * input_dims->c;
    conv.input_step = dw_conv_params->dilation.w * input_dims->c;
    conv.filter_row = filter_dims->w * output_dims->c;
    for (n = 0; n < input_dims->n; n++) {
        output_data = depthwise_image(&conv, input_data, filter_data, output_dims, output_data);
        input_data += input_dims->h * input_dims->w * input_dims->c;
    }
    return ARM_CMSIS_NN_SUCCESS;
}

int32_t arm_depthwise_conv_s8_get_buffer_size(const cmsis_nn_dims *input_dims,
                                              const cmsis_nn_dims *filter_dims)
{
    (void)input_dims;
    (void)filter_dims;
    return 0;
}
