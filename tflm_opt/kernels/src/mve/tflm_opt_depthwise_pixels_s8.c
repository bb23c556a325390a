#include "tflm_opt_mve.h"

#if TFLM_OPT_MVE

#include <stddef.h>

/* The taps of one window that lie inside the input. */
typedef struct {
    const int8_t *pixel;
    const int8_t *taps;
    const tflm_opt_run *runs;
    int32_t columns;
    int32_t input_step; /* from one tap of a row to the next */
    int32_t tap_step;
    int32_t tap_row; /* from one row of taps to the next, less those of `columns` */
} window;

/* Sums of the channels in `some`; `from` says which input channel each of them reads. */
TFLM_OPT_INLINE int32x4_t sum_window(const window *win,
                                     const int8_t *in,
                                     const int8_t *taps,
                                     int32x4_t sums,
                                     int32_t offset,
                                     uint32x4_t from,
                                     mve_pred16_t some)
{
    const tflm_opt_run *run = win->runs;
    int32_t rows;
    for (; run->rows > 0; run++) {
        for (rows = run->rows; rows > 0; rows--) {
            const int8_t *x = in;
            int32_t left;
            for (left = win->columns; left > 0; left--) {
                const int32x4_t values = vldrbq_gather_offset_z_s32(x, from, some);
                const int32x4_t weights = vldrbq_z_s32(taps, some);
                sums = vaddq_s32(sums, vmulq_s32(vaddq_n_s32(values, offset), weights));
                x += win->input_step;
                taps += win->tap_step;
            }
            in += run->step;
            taps += win->tap_row;
        }
        in += run->jump;
    }
    return sums;
}

/* The input channels of outputs `done` to `done` + 3, counted from that of the first. */
TFLM_OPT_INLINE uint32x4_t sources(int32_t phase, int32_t ch_mult)
{
    uint32_t from[4];
    uint32_t channel = 0;
    int32_t i;
    for (i = 0; i < 4; i++) {
        from[i] = channel;
        if (++phase == ch_mult) {
            phase = 0;
            channel++;
        }
    }
    return vldrwq_u32(from);
}

/* All channels of one pixel. */
TFLM_OPT_APART void make_pixel(const window *win,
                               const tflm_opt_channels *channels,
                               int32_t count,
                               int32_t ch_mult,
                               int8_t *output)
{
    const int32x4_t low = vdupq_n_s32(channels->activation.min);
    const int32x4_t high = vdupq_n_s32(channels->activation.max);
    const int32_t *bias = channels->bias;
    const int8_t *in = win->pixel;
    int32_t phase = 0; /* of the outputs of one input channel */
    uint32x4_t from = vidupq_n_u32(0, 1);
    int32_t done;
    for (done = 0; done < count; done += 4) {
        const mve_pred16_t some = vctp32q((uint32_t)(count - done));
        int32x4_t sums = vldrwq_z_s32(bias, some);
        if (ch_mult != 1) {
            from = sources(phase, ch_mult);
        }
        sums = sum_window(win, in, win->taps + done, sums, channels->input_offset, from, some);
        sums = tflm_opt_scale_any_x4(sums, vldrwq_z_s32(channels->multiplier + done, some),
                                     vldrwq_z_s32(channels->shift + done, some));
        vstrbq_p_s32(output + done, tflm_opt_clamp_x4(sums, channels->output_offset, low, high),
                     some);
        bias += 4 * channels->bias_step;
        for (phase += 4; phase >= ch_mult; phase -= ch_mult) {
            in++;
        }
    }
}

void tflm_opt_depthwise_pixels_s8(const tflm_opt_depthwise_layer *layer,
                                  const tflm_opt_span *span,
                                  int8_t *output)
{
    const cmsis_nn_dw_conv_params *params = layer->params;
    const cmsis_nn_dims *input_dims = layer->input;
    const cmsis_nn_dims *filter_dims = layer->filter;
    const int8_t *filter_data = layer->filter_data;
    static const tflm_opt_run nothing = {0, 0, 0};
    const int32_t count = input_dims->c * params->ch_mult;
    const int32_t in_y = span->y * params->stride.h - params->padding.h;
    const tflm_opt_taps taps =
        tflm_opt_window(in_y, filter_dims->h, params->dilation.h, input_dims->h);
    int32_t in_x = span->x * params->stride.w - params->padding.w;
    tflm_opt_window_rows rows;
    window win;
    int32_t x;
    tflm_opt_set_rows(layer->lines, in_y + taps.first * params->dilation.h, params->dilation.h,
                      taps.last - taps.first, tflm_opt_max(in_x, 0), input_dims->c, &rows);
    filter_data += taps.first * filter_dims->w * count;
    win.input_step = params->dilation.w * input_dims->c;
    win.tap_step = count;
    for (x = 0; x < span->count; x++) {
        const tflm_opt_taps columns =
            tflm_opt_window(in_x, filter_dims->w, params->dilation.w, input_dims->w);
        win.columns = columns.last - columns.first;
        win.pixel = rows.origin;
        win.taps = filter_data;
        win.runs = &nothing;
        if (win.columns > 0) {
            win.runs = rows.runs;
            win.pixel += rows.offset + (in_x + columns.first * params->dilation.w) * input_dims->c;
            win.taps += columns.first * count;
        }
        win.tap_row = (filter_dims->w - win.columns) * count;
        make_pixel(&win, layer->channels, count, params->ch_mult, output);
        output += count;
        in_x += params->stride.w;
    }
}

#endif
