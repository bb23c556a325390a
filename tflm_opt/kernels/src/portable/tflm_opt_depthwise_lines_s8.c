#include "tflm_opt_dot.h"
#include "tflm_opt_kernels.h"
#include "tflm_opt_thumb_taps.h"
#include "tflm_opt_tier.h"

#if !TFLM_OPT_DSP

#define SUMS 16 /* channels between two rounds of scaling */

/* What is the same for all output pixels; steps are in elements. */
typedef struct {
    const cmsis_nn_dw_conv_params *params;
    const cmsis_nn_dims *input;
    const cmsis_nn_dims *filter;
    int32_t count;      /* output channels */
    int32_t input_step; /* from one tap of a row to the next */
    int32_t filter_row;
    int32_t row_count; /* rows of taps inside the input, and where they are */
    tflm_opt_window_rows rows;
    tflm_opt_channels channels;
} depthwise;

/* The taps of one window that lie inside the input. */
typedef struct {
    const int8_t *pixel;
    const int8_t *taps;
    const tflm_opt_run *runs;
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
    const tflm_opt_run *run = win->runs;
    int32_t rows = run->rows;
    while (rows > 0) {
        do {
            sum0 += (in[0] + offset) * tap[0];
            sum1 += (in[1] + offset) * tap[1];
            sum2 += (in[2] + offset) * tap[2];
            sum3 += (in[3] + offset) * tap[3];
            in += input_step;
            tap += tap_step;
        } while (in != end);
        in = end + (run->step - row_length);
        tap += conv->filter_row - win->columns * tap_step;
        if (--rows == 0) {
            in += run->jump;
            run++;
            rows = run->rows;
        }
        end = in + row_length;
    }
    sums[0] = sum0;
    sums[1] = sum1;
    sums[2] = sum2;
    sums[3] = sum3;
}

TFLM_OPT_APART int32_t sum_one(
    const depthwise *conv, const window *win, const int8_t *in, const int8_t *tap, int32_t sum)
{
    const int32_t offset = conv->params->input_offset;
    const int32_t input_step = conv->input_step;
    const int32_t tap_step = conv->count;
    const int32_t row_length = win->columns * input_step;
    const tflm_opt_run *run;
    int32_t y;
    int32_t x;
    for (run = win->runs; run->rows > 0; run++) {
        for (y = run->rows; y > 0; y--) {
            for (x = win->columns; x > 0; x--) {
                sum += (*in + offset) * *tap;
                in += input_step;
                tap += tap_step;
            }
            in += run->step - row_length;
            tap += conv->filter_row - win->columns * tap_step;
        }
        in += run->jump;
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
    int32_t done;
    int32_t made = 0; /* of the outputs of one input channel */
    for (done = 0; done < conv->count; done += SUMS) {
        const int32_t some = tflm_opt_min(conv->count - done, SUMS);
        int32_t sums[SUMS];
        int32_t i = 0;
        while (i < some) {
            if (ch_mult == 1 && some - i >= TFLM_OPT_BLOCK) {
                sum_block(conv, win, in, tap, bias, sums + i);
                in += TFLM_OPT_BLOCK;
                tap += TFLM_OPT_BLOCK;
                bias += TFLM_OPT_BLOCK * channels->bias_step;
                i += TFLM_OPT_BLOCK;
                continue;
            }
            sums[i++] = sum_one(conv, win, in, tap++, *bias);
            bias += channels->bias_step;
            if (++made == ch_mult) {
                made = 0;
                in++;
            }
        }
        tflm_opt_write_requantized(sums, some, channels->multiplier + done, channels->shift + done,
                                   1, channels->output_offset, output + done);
    }
    tflm_opt_clamp_line(channels->activation, output, conv->count);
}

#if !TFLM_OPT_THUMB1

/* Three neighbouring taps of one channel; `step` is from one to the next in both. */
TFLM_OPT_INLINE int32_t sum_three(
    int32_t sum, const int8_t *in, const int8_t *tap, int32_t step, int32_t offset)
{
    sum += (in[0] + offset) * tap[0];
    sum += (in[step] + offset) * tap[step];
    sum += (in[2 * step] + offset) * tap[2 * step];
    return sum;
}

/* The row below `row`, which is number `number` of a window's. */
TFLM_OPT_INLINE const int8_t *row_below(const tflm_opt_run *runs,
                                        int32_t number,
                                        const int8_t *row)
{
    while (number >= runs->rows) {
        number -= runs->rows;
        runs++;
    }
    row += runs->step;
    return number + 1 == runs->rows ? row + runs->jump : row;
}

/* The sums of `count` channels of a whole 3x3 window, undilated. */
TFLM_OPT_APART void sum_3x3(const int8_t *const *rows,
                            const int8_t *tap0,
                            int32_t step,
                            int32_t offset,
                            const int32_t *bias,
                            int32_t bias_step,
                            int32_t *sums,
                            int32_t count)
{
    const int8_t *in0 = rows[0];
    const int8_t *in1 = rows[1];
    const int8_t *in2 = rows[2];
    const int8_t *tap1 = tap0 + 3 * step;
    const int8_t *tap2 = tap1 + 3 * step;
    const int32_t *end = sums + count;
    while (sums != end) {
        int32_t sum = *bias;
        sum = sum_three(sum, in0++, tap0++, step, offset);
        TFLM_OPT_THEN();
        sum = sum_three(sum, in1++, tap1++, step, offset);
        TFLM_OPT_THEN();
        sum = sum_three(sum, in2++, tap2++, step, offset);
        *sums++ = sum;
        bias += bias_step;
    }
}

/* As above for a whole 3x3 window, undilated, with a multiplier of 1: the commonest by far. */
TFLM_OPT_APART void whole_3x3(const depthwise *conv, const window *win, int8_t *output)
{
    const tflm_opt_channels *channels = &conv->channels;
    const int8_t *rows[3];
    int32_t done;
    rows[0] = win->pixel;
    rows[1] = row_below(win->runs, 0, rows[0]);
    rows[2] = row_below(win->runs, 1, rows[1]);
    for (done = 0; done < conv->count; done += SUMS) {
        const int32_t some = tflm_opt_min(conv->count - done, SUMS);
        int32_t sums[SUMS];
        sum_3x3(rows, win->taps + done, conv->count, channels->input_offset,
                channels->bias + done * channels->bias_step, channels->bias_step, sums, some);
        tflm_opt_write_requantized(sums, some, channels->multiplier + done, channels->shift + done,
                                   1, channels->output_offset, output + done);
        rows[0] += SUMS;
        rows[1] += SUMS;
        rows[2] += SUMS;
    }
    tflm_opt_clamp_line(channels->activation, output, conv->count);
}

#endif

/* The span's pixels, one after the other; the windows' rows are set. */
static void depthwise_span(const depthwise *conv,
                           const int8_t *filter_data,
                           const tflm_opt_span *span,
                           int8_t *output)
{
    static const tflm_opt_run nothing = {0, 0, 0};
    const cmsis_nn_dw_conv_params *params = conv->params;
#if !TFLM_OPT_THUMB1
    const int plain = params->ch_mult == 1 && params->dilation.w == 1 &&
                      conv->filter->w == 3 && conv->row_count == 3;
#endif
    int32_t in_x = span->x * params->stride.w - params->padding.w;
    int32_t x;
    for (x = 0; x < span->count; x++) {
        const tflm_opt_taps columns =
            tflm_opt_window(in_x, conv->filter->w, params->dilation.w, conv->input->w);
        window win;
        win.pixel = conv->rows.origin;
        win.taps = filter_data;
        win.columns = columns.last - columns.first;
        win.runs = &nothing;
        if (win.columns > 0) {
            const int32_t first_x = in_x + columns.first * params->dilation.w;
            win.runs = conv->rows.runs;
            win.pixel += conv->rows.offset + first_x * conv->input->c;
            win.taps += columns.first * conv->count;
        }
#if !TFLM_OPT_THUMB1
        if (win.columns == 3 && plain) {
            whole_3x3(conv, &win, output);
            output += conv->count;
            in_x += params->stride.w;
            continue;
        }
#endif
        depthwise_pixel(conv, &win, output);
        output += conv->count;
        in_x += params->stride.w;
    }
}

arm_cmsis_nn_status tflm_opt_depthwise_lines_s8(
    const cmsis_nn_context *ctx,
    const cmsis_nn_dw_conv_params *dw_conv_params,
    const cmsis_nn_per_channel_quant_params *quant_params,
    const cmsis_nn_dims *input_dims,
    const tflm_opt_lines *input,
    const cmsis_nn_dims *filter_dims,
    const int8_t *filter_data,
    const cmsis_nn_dims *bias_dims,
    const int32_t *bias_data,
    const cmsis_nn_dims *output_dims,
    const tflm_opt_span *span,
    int8_t *output_data)
{
    const int32_t in_y = span->y * dw_conv_params->stride.h - dw_conv_params->padding.h;
    const int32_t in_x = span->x * dw_conv_params->stride.w - dw_conv_params->padding.w;
    const tflm_opt_taps rows =
        tflm_opt_window(in_y, filter_dims->h, dw_conv_params->dilation.h, input_dims->h);
    depthwise conv;
    (void)ctx;
    (void)bias_dims;
    if (output_dims->c != input_dims->c * dw_conv_params->ch_mult) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    conv.params = dw_conv_params;
    conv.input = input_dims;
    conv.filter = filter_dims;
    conv.count = output_dims->c;
    conv.input_step = dw_conv_params->dilation.w * input_dims->c;
    conv.filter_row = filter_dims->w * output_dims->c;
    conv.row_count = rows.last - rows.first;
    tflm_opt_set_bias(&conv.channels, bias_data);
    conv.channels.multiplier = quant_params->multiplier;
    conv.channels.shift = quant_params->shift;
    conv.channels.input_offset = dw_conv_params->input_offset;
    conv.channels.quant_step = 1;
    conv.channels.output_offset = dw_conv_params->output_offset;
    conv.channels.activation = dw_conv_params->activation;
    tflm_opt_set_rows(input, in_y + rows.first * dw_conv_params->dilation.h,
                      dw_conv_params->dilation.h, conv.row_count, tflm_opt_max(in_x, 0),
                      input_dims->c, &conv.rows);
    filter_data += rows.first * conv.filter_row;
#if TFLM_OPT_THUMB1
    if (tflm_opt_is_plain(dw_conv_params, filter_dims, conv.count, conv.row_count)) {
        tflm_opt_plain plain;
        plain.channels = &conv.channels;
        plain.count = conv.count;
        plain.width = filter_dims->w;
        plain.input_width = input_dims->w;
        tflm_opt_plain_span(&plain, &conv.rows, filter_data, in_x, dw_conv_params->stride.w,
                            span->count, output_data);
        return ARM_CMSIS_NN_SUCCESS;
    }
#endif
    depthwise_span(&conv, filter_data, span, output_data);
    return ARM_CMSIS_NN_SUCCESS;
}

#endif
