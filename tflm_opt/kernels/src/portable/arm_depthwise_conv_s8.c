#include "tflm_opt_dot.h"
#include "tflm_opt_kernels.h"

/* What is the same for all output pixels; steps are in elements. */
typedef struct {
    const cmsis_nn_dw_conv_params *params;
    const cmsis_nn_dims *input;
    const cmsis_nn_dims *filter;
    int32_t count;      /* output channels */
    int32_t input_row;  /* from one row of taps to the next, in the input */
    int32_t input_step; /* from one tap to the next */
    int32_t filter_row;
    tflm_opt_channels channels;
} depthwise;

/* The taps of one window that lie inside the input. */
typedef struct {
    const int8_t *pixel;
    const int8_t *taps;
    int32_t rows;
    int32_t columns;
} window;

/* A block of neighbouring channels: input and filter are both read in memory order. */
TFLM_OPT_APART void sum_block(
    const depthwise *conv,
    const window *win,
    const int8_t *in,
    const int8_t *tap,
    const int32_t *bias,
    int32_t *sums)
{
    const int32_t offset = conv->channels.input_offset;
    const int32_t input_step = conv->input_step;
    const int32_t tap_step = conv->count;
    const int32_t row_length = win->columns * input_step;
    const int8_t *end = in + row_length;
    int32_t sum0 = bias[0];
    int32_t sum1 = bias[1];
    int32_t sum2 = bias[2];
    int32_t sum3 = bias[3];
    int32_t rows = win->rows;
    for (; rows > 0; rows--) {
        do {
            sum0 += (in[0] + offset) * tap[0];
            sum1 += (in[1] + offset) * tap[1];
            sum2 += (in[2] + offset) * tap[2];
            sum3 += (in[3] + offset) * tap[3];
            in += input_step;
            tap += tap_step;
        } while (in != end);
        in += conv->input_row - row_length;
        end += conv->input_row;
        tap += conv->filter_row - win->columns * tap_step;
    }
    sums[0] = sum0;
    sums[1 * TFLM_OPT_SUM_STEP] = sum1;
    sums[2 * TFLM_OPT_SUM_STEP] = sum2;
    sums[3 * TFLM_OPT_SUM_STEP] = sum3;
}

TFLM_OPT_APART int32_t sum_one(
    const depthwise *conv, const window *win, const int8_t *in, const int8_t *tap, int32_t sum)
{
    const int32_t offset = conv->params->input_offset;
    const int32_t input_step = conv->input_step;
    const int32_t tap_step = conv->count;
    int32_t y;
    int32_t x;
    for (y = win->rows; y > 0; y--) {
        for (x = win->columns; x > 0; x--) {
            sum += (*in + offset) * *tap;
            in += input_step;
            tap += tap_step;
        }
        in += conv->input_row - win->columns * input_step;
        tap += conv->filter_row - win->columns * tap_step;
    }
    return sum;
}

/* All channels of one output pixel; each input channel makes ch_mult of them. */
TFLM_OPT_APART void depthwise_pixel(const depthwise *conv, const window *win, int8_t *output)
{
    const tflm_opt_channels *channels = &conv->channels;
    const int32_t ch_mult = conv->params->ch_mult;
    const int8_t *in = win->pixel;
    const int8_t *tap = win->taps;
    const int32_t *bias = channels->bias;
    const int32_t *multiplier = channels->multiplier;
    const int32_t *shift = channels->shift;
    int32_t left = conv->count;
    int32_t done = 0; /* of the outputs of one input channel */
    while (left > 0) {
        const int32_t block = tflm_opt_min(left, TFLM_OPT_BLOCK);
        int32_t sums[TFLM_OPT_SUMS];
        int32_t i;
        if (block == TFLM_OPT_BLOCK && ch_mult == 1) {
            sum_block(conv, win, in, tap, bias, sums);
            in += TFLM_OPT_BLOCK;
        } else {
            for (i = 0; i < block; i++) {
                sums[i * TFLM_OPT_SUM_STEP] = sum_one(conv, win, in, tap + i, bias[i]);
                if (++done == ch_mult) {
                    done = 0;
                    in++;
                }
            }
        }
        output = tflm_opt_write_some(channels, multiplier, shift, sums, block, output);
        bias += TFLM_OPT_BLOCK * channels->bias_step;
        multiplier += TFLM_OPT_BLOCK;
        shift += TFLM_OPT_BLOCK;
        tap += TFLM_OPT_BLOCK;
        left -= block;
    }
}

/* Three neighbouring taps of one channel; `step` is from one to the next in both. */
TFLM_OPT_INLINE int32_t sum_three(
    int32_t sum, const int8_t *in, const int8_t *tap, int32_t step, int32_t offset)
{
    sum += (in[0] + offset) * tap[0];
    sum += (in[step] + offset) * tap[step];
    sum += (in[2 * step] + offset) * tap[2 * step];
    return sum;
}

/* As above for a whole 3x3 window, undilated, with a multiplier of 1: the commonest by far. */
TFLM_OPT_APART void whole_3x3(const depthwise *conv, const window *win, int8_t *output)
{
    const tflm_opt_channels *channels = &conv->channels;
    const int32_t offset = channels->input_offset;
    const int32_t step = conv->count;
    const int8_t *in0 = win->pixel;
    const int8_t *in1 = in0 + conv->input_row;
    const int8_t *in2 = in1 + conv->input_row;
    const int8_t *tap0 = win->taps;
    const int8_t *tap1 = tap0 + 3 * step;
    const int8_t *tap2 = tap1 + 3 * step;
    const int32_t *bias = channels->bias;
    const int32_t *multiplier = channels->multiplier;
    const int32_t *shift = channels->shift;
    const int32_t output_offset = channels->output_offset;
    const cmsis_nn_activation activation = channels->activation;
    const int8_t *end = output + conv->count;
    while (output != end) {
        int32_t sum = *bias;
        sum = sum_three(sum, in0++, tap0++, step, offset);
        sum = sum_three(sum, in1++, tap1++, step, offset);
        sum = sum_three(sum, in2++, tap2++, step, offset);
        *output++ = tflm_opt_output_s8(sum, *multiplier++, *shift++, output_offset, activation);
        bias += channels->bias_step;
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
    if (win.columns <= 0) {
        win.rows = 0;
    }
    if (win.rows > 0) {
        win.pixel += (first_y * conv->input->w + first_x) * conv->input->c;
        win.taps += (rows.first * conv->filter->w + columns.first) * conv->count;
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
    const int plain = params->ch_mult == 1 && params->dilation.w == 1 && conv->filter->w == 3;
    int32_t in_y = -params->padding.h;
    int32_t y;
    int32_t x;
    for (y = 0; y < output_dims->h; y++) {
        const tflm_opt_taps rows =
            tflm_opt_window(in_y, conv->filter->h, params->dilation.h, conv->input->h);
        int32_t in_x = -params->padding.w;
        for (x = 0; x < output_dims->w; x++) {
            const window win = inner_window(conv, image, filter_data, rows, in_y, in_x);
            if (win.rows == 3 && win.columns == 3 && plain) {
                whole_3x3(conv, &win, output);
            } else {
                depthwise_pixel(conv, &win, output);
            }
            output += conv->count;
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
    conv.input = input_dims;
    conv.filter = filter_dims;
    conv.count = output_dims->c;
    conv.input_row = dw_conv_params->dilation.h * input_dims->w * input_dims->c;
    conv.input_step = dw_conv_params->dilation.w * input_dims->c;
    conv.filter_row = filter_dims->w * output_dims->c;
    tflm_opt_set_bias(&conv.channels, bias_data);
    conv.channels.multiplier = quant_params->multiplier;
    conv.channels.shift = quant_params->shift;
    conv.channels.input_offset = dw_conv_params->input_offset;
    conv.channels.quant_step = 1;
    conv.channels.output_offset = dw_conv_params->output_offset;
    conv.channels.activation = dw_conv_params->activation;
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
