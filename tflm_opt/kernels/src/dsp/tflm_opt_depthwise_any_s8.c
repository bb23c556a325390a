#include "tflm_opt_depthwise.h"
#include "tflm_opt_dot.h"
#include "tflm_opt_dsp.h"
#include "tflm_opt_lines.h"
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP && !TFLM_OPT_MVE

/* Whether along an axis every window has a tap that lies inside the input. */
TFLM_OPT_APART int32_t no_window_is_empty(
    int32_t padding, int32_t stride, int32_t dilation, int32_t taps, int32_t input, int32_t output)
{
    return padding <= (taps - 1) * dilation && (output - 1) * stride - padding < input &&
           dilation <= input;
}

/*
 * The long form takes sums below 2^30, and shifts right by 1 to 31; whether a channel has it not. In
 * words, only that channel is made otherwise, else all are.
 */
TFLM_OPT_APART int32_t has_odd(const tflm_opt_depthwise_call *call)
{
    const cmsis_nn_dims *filter = call->filter;
    const int32_t most = (1 << 30) - 1 -
                         128 * tflm_opt_reach(call->params->input_offset) * filter->h * filter->w;
    int32_t i;
    for (i = 0; i < call->input->c; i++) {
        const int32_t bias = call->bias != NULL ? call->bias[i] : 0;
        if (call->quant->shift[i] >= 0 || bias > most || bias < -most) {
            return 1;
        }
    }
    return 0;
}

void tflm_opt_depthwise_check(tflm_opt_depthwise_call *call, const cmsis_nn_dims *output)
{
    const cmsis_nn_dw_conv_params *params = call->params;
    const cmsis_nn_dims *input = call->input;
    const cmsis_nn_dims *filter = call->filter;
    call->is_plain =
        params->ch_mult == 1 && input->c >= 4 && filter->h <= TFLM_OPT_DEPTHWISE_DIRECT &&
        filter->w < 1024 &&
        no_window_is_empty(params->padding.h, params->stride.h, params->dilation.h, filter->h,
                           input->h, output->h) &&
        no_window_is_empty(params->padding.w, params->stride.w, params->dilation.w, filter->w,
                           input->w, output->w);
    call->directly = call->is_plain && !has_odd(call);
}

#define SUMS 16 /* outputs between two rounds of scaling */

/* The taps of a window that lie inside the input; steps are in elements. */
typedef struct {
    const tflm_opt_run *runs;
    int32_t columns;
    int32_t input_step; /* from one tap to the next of a row, of which */
    int32_t tap_step;   /* taps' own */
    int32_t tap_row;    /* from one row of taps to the next */
    int32_t offset;
} window;

/* All taps of a channel. Bounds are pointers and steps lie in registers: rows are short. */
TFLM_OPT_APART int32_t sum_one(const window *win, const int8_t *in, const int8_t *tap, int32_t sum)
{
    const int32_t input_step = win->input_step;
    const int32_t tap_step = win->tap_step;
    const int32_t offset = win->offset;
    const int32_t row_length = win->columns * input_step;
    const int32_t tap_skip = win->tap_row - win->columns * tap_step;
    const tflm_opt_run *run = win->runs;
    int32_t rows = win->columns > 0 ? run->rows : 0;
    while (rows > 0) {
        const int8_t *const end = in + row_length;
        do {
            sum += (*in + offset) * *tap;
            in += input_step;
            tap += tap_step;
        } while (in != end);
        in += run->step - row_length;
        tap += tap_skip;
        if (--rows == 0) {
            in += run->jump;
            run++;
            rows = run->rows;
        }
    }
    return sum;
}

/* The same where rows have three taps: of filters of 3x3, most. */
TFLM_OPT_APART int32_t sum_threes(const window *win,
                                  const int8_t *in,
                                  const int8_t *tap,
                                  int32_t sum)
{
    const int32_t input_step = win->input_step;
    const int32_t tap_step = win->tap_step;
    const int32_t tap_row = win->tap_row;
    const int32_t offset = win->offset;
    const tflm_opt_run *run = win->runs;
    int32_t rows = run->rows;
    while (rows > 0) {
        sum += (in[0] + offset) * tap[0];
        sum += (in[input_step] + offset) * tap[tap_step];
        sum += (in[2 * input_step] + offset) * tap[2 * tap_step];
        in += run->step;
        tap += tap_row;
        if (--rows == 0) {
            in += run->jump;
            run++;
            rows = run->rows;
        }
    }
    return sum;
}

/* All taps of four outputs of one input channel, whose values are loaded once. */
TFLM_OPT_APART void sum_four(const window *win, const int8_t *in, const int8_t *tap, int32_t *sums)
{
    const int32_t input_step = win->input_step;
    const int32_t tap_step = win->tap_step;
    const int32_t offset = win->offset;
    const int32_t row_length = win->columns * input_step;
    const tflm_opt_run *run = win->runs;
    int32_t a = sums[0];
    int32_t b = sums[1];
    int32_t c = sums[2];
    int32_t d = sums[3];
    int32_t rows = win->columns > 0 ? run->rows : 0;
    while (rows > 0) {
        const int8_t *const end = in + row_length;
        do {
            const int32_t value = *in + offset;
            a += value * tap[0];
            b += value * tap[1];
            c += value * tap[2];
            d += value * tap[3];
            in += input_step;
            tap += tap_step;
        } while (in != end);
        in += run->step - row_length;
        tap += win->tap_row - win->columns * tap_step;
        if (--rows == 0) {
            in += run->jump;
            run++;
            rows = run->rows;
        }
    }
    sums[0] = a;
    sums[1] = b;
    sums[2] = c;
    sums[3] = d;
}

/* The same of two. */
TFLM_OPT_APART void sum_two(const window *win, const int8_t *in, const int8_t *tap, int32_t *sums)
{
    const int32_t input_step = win->input_step;
    const int32_t tap_step = win->tap_step;
    const int32_t offset = win->offset;
    const int32_t row_length = win->columns * input_step;
    const int32_t tap_skip = win->tap_row - win->columns * tap_step;
    const tflm_opt_run *run = win->runs;
    int32_t a = sums[0];
    int32_t b = sums[1];
    int32_t rows = win->columns > 0 ? run->rows : 0;
    while (rows > 0) {
        const int8_t *const end = in + row_length;
        do {
            const int32_t value = *in + offset;
            a += value * tap[0];
            b += value * tap[1];
            in += input_step;
            tap += tap_step;
        } while (in != end);
        in += run->step - row_length;
        tap += tap_skip;
        if (--rows == 0) {
            in += run->jump;
            run++;
            rows = run->rows;
        }
    }
    sums[0] = a;
    sums[1] = b;
}

/* Up to four sums of one input channel's outputs, of which there are `most`; how many. */
static int32_t sum_some(
    const window *win, const int8_t *in, const int8_t *tap, int32_t most, int32_t *sums)
{
    if (most >= 4) {
        sum_four(win, in, tap, sums);
        return 4;
    }
    if (most >= 2) {
        sum_two(win, in, tap, sums);
        return 2;
    }
    *sums = win->columns == 3 ? sum_threes(win, in, tap, *sums) : sum_one(win, in, tap, *sums);
    return 1;
}

/* All outputs of a pixel; each input channel makes ch_mult of them. */
static void make_pixel(const tflm_opt_depthwise_call *call,
                       const window *win,
                       const int8_t *in,
                       const int8_t *tap,
                       int8_t *output)
{
    const int32_t ch_mult = call->params->ch_mult;
    const int32_t outputs = call->input->c * ch_mult;
    const int32_t *bias = call->bias;
    int32_t left = ch_mult; /* of the outputs of one input channel */
    int32_t done;
    for (done = 0; done < outputs; done += SUMS) {
        const int32_t some = tflm_opt_min(outputs - done, SUMS);
        int32_t sums[SUMS];
        int32_t i;
        for (i = 0; i < some; i++) {
            sums[i] = bias != NULL ? *bias++ : 0;
        }
        i = 0;
        while (i < some) {
            const int32_t made = sum_some(win, in, tap, tflm_opt_min(left, some - i), sums + i);
            tap += made;
            i += made;
            left -= made;
            if (left == 0) {
                left = ch_mult;
                in++;
            }
        }
        tflm_opt_write_requantized(sums, some, call->quant->multiplier + done,
                                   call->quant->shift + done, 1, call->params->output_offset,
                                   output + done);
    }
    tflm_opt_clamp_line(call->params->activation, output, outputs);
}

void tflm_opt_depthwise_any_s8(const tflm_opt_depthwise_call *call,
                               const tflm_opt_lines *lines,
                               const tflm_opt_span *span,
                               int8_t *output)
{
    const cmsis_nn_dw_conv_params *params = call->params;
    const int32_t channels = call->input->c;
    const int32_t outputs = channels * params->ch_mult;
    const int32_t in_y = span->y * params->stride.h - params->padding.h;
    const int32_t last_x = call->input->w - 1 - (call->filter->w - 1) * params->dilation.w;
    int32_t in_x = span->x * params->stride.w - params->padding.w;
    const tflm_opt_taps down =
        tflm_opt_window(in_y, call->filter->h, params->dilation.h, call->input->h);
    tflm_opt_window_rows rows;
    window win;
    int32_t x;
    tflm_opt_set_rows(lines, in_y + down.first * params->dilation.h, params->dilation.h,
                      down.last - down.first, tflm_opt_max(in_x, 0), channels, &rows);
    win.runs = rows.runs;
    win.input_step = params->dilation.w * channels;
    win.tap_step = outputs;
    win.tap_row = call->filter->w * outputs;
    win.offset = params->input_offset;
    for (x = span->count; x > 0; x--) {
        tflm_opt_taps across = {0, call->filter->w};
        if (in_x < 0 || in_x > last_x) {
            across = tflm_opt_window(in_x, call->filter->w, params->dilation.w, call->input->w);
        }
        const int8_t *in = rows.origin + rows.offset;
        const int8_t *tap = call->filter_data;
        in += (in_x + across.first * params->dilation.w) * channels;
        tap += (down.first * call->filter->w + across.first) * outputs;
        win.columns = across.last - across.first;
        make_pixel(call, &win, in, tap, output);
        output += outputs;
        in_x += params->stride.w;
    }
}

#endif
