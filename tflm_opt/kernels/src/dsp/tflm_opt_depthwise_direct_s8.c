#include "tflm_opt_depthwise.h"
#include "tflm_opt_dot.h"
#include "tflm_opt_dsp.h"

#if TFLM_OPT_DSP

/* Distances from the first row of a window to the others, and a 0. */
static void set_distances(const tflm_opt_window_rows *rows, int32_t *distances)
{
    const tflm_opt_run *run = rows->runs;
    int32_t distance = 0;
    int32_t left = run->rows;
    while (left > 0) {
        distance += run->step;
        left--;
        if (left == 0) {
            distance += (int32_t)run->jump;
            run++;
            left = run->rows;
        }
        *distances++ = left > 0 ? distance : 0;
    }
}

/* Whether a channel has the short form that tflm_opt_depthwise_taps_s8 uses, and all its sums. */
static int is_short(const tflm_opt_depthwise_call *call, int32_t channel)
{
    const int32_t taps = call->filter->h * call->filter->w;
    const int32_t reach = 128 * tflm_opt_reach(call->params->input_offset) * taps;
    const int32_t most = TFLM_OPT_SHORT_SUM - 1 - reach;
    const int32_t bias = call->bias != NULL ? call->bias[channel] : 0;
    return (uint32_t)-call->quant->shift[channel] - 1U < TFLM_OPT_DEPTHWISE_RIGHT &&
           bias <= most && bias >= -most;
}

TFLM_OPT_APART int32_t find_all_short(const tflm_opt_depthwise_call *call)
{
    int32_t i;
    for (i = 0; i < call->input->c; i++) {
        if (!is_short(call, i)) {
            return -1;
        }
    }
    return 1;
}

/* `groups` fours of a pixel's channels from `first` on. */
static void make_groups(const tflm_opt_depthwise_pixel *pixel,
                        int32_t first,
                        int32_t groups,
                        int8_t *output)
{
    tflm_opt_depthwise_pixel job = *pixel;
    job.source += first;
    job.taps += first;
    job.bias += job.bias_step != 0 ? first : 0;
    job.multiplier += first;
    job.shift += first;
    job.output = output;
    job.groups = groups;
    tflm_opt_depthwise_taps_s8(&job);
}

/*
 * Channels first to first + count, four or fewer, by way of the four that end with them. Those
 * without a short form are made one by one, before any is written.
 */
static void make_four(const tflm_opt_depthwise_call *call,
                      const tflm_opt_lines *lines,
                      const tflm_opt_span *at,
                      const tflm_opt_depthwise_pixel *pixel,
                      int32_t first,
                      int32_t count,
                      int8_t *output)
{
    int8_t four[4];
    int32_t i;
    make_groups(pixel, first + count - 4, 1, four);
    for (i = 4 - count; i < 4; i++) {
        const int32_t channel = first + count - 4 + i;
        if (call->all_short < 0 && !is_short(call, channel)) {
            tflm_opt_depthwise_any_s8(call, lines, at, channel, 1, four + i);
        }
    }
    for (i = 0; i < count; i++) {
        output[first + i] = four[4 - count + i];
    }
}

/* All channels of a pixel. */
static void make_pixel(const tflm_opt_depthwise_call *call,
                       const tflm_opt_lines *lines,
                       const tflm_opt_span *at,
                       const tflm_opt_depthwise_pixel *pixel,
                       int8_t *output)
{
    const int32_t channels = call->input->c;
    int32_t done = 0;
    if (call->all_short > 0) {
        make_groups(pixel, 0, channels / 4, output);
        done = channels & ~3;
    }
    while (done < channels) {
        const int32_t count = tflm_opt_min(channels - done, 4);
        make_four(call, lines, at, pixel, done, count, output);
        done += count;
    }
}

int32_t tflm_opt_depthwise_direct_s8(tflm_opt_depthwise_call *call,
                                     const tflm_opt_lines *lines,
                                     const tflm_opt_span *span,
                                     int8_t *output)
{
    static const int32_t no_bias[4] = {0, 0, 0, 0};
    const cmsis_nn_dw_conv_params *params = call->params;
    const cmsis_nn_dims *filter = call->filter;
    const int32_t channels = call->input->c;
    const int32_t in_y = span->y * params->stride.h - params->padding.h;
    const tflm_opt_taps down = tflm_opt_window(in_y, filter->h, 1, call->input->h);
    int32_t in_x = span->x * params->stride.w - params->padding.w;
    int32_t distances[TFLM_OPT_DEPTHWISE_DIRECT];
    tflm_opt_window_rows rows;
    tflm_opt_depthwise_pixel pixel;
    int32_t x;
    if (down.first == down.last || in_x + filter->w <= 0 ||
        in_x + (span->count - 1) * params->stride.w >= call->input->w) {
        return 0;
    }
    if (call->all_short == 0) {
        call->all_short = find_all_short(call);
    }
    tflm_opt_depthwise_find_rows(call, lines, in_y + down.first, down.last - down.first,
                                 tflm_opt_max(in_x, 0), &rows);
    set_distances(&rows, distances);
    pixel.bias = call->bias != NULL ? call->bias : no_bias;
    pixel.multiplier = call->quant->multiplier;
    pixel.shift = call->quant->shift;
    pixel.input_offset = ((uint32_t)params->input_offset & 0xFFFFU) * 0x10001U;
    pixel.channels = channels;
    pixel.distances = distances;
    pixel.taps_row = filter->w * channels;
    pixel.output_factor = 2 * params->output_offset + 1;
    pixel.kink = tflm_opt_has_kink(params->output_offset, params->activation) ? -128 : 0;
    pixel.bias_step = call->bias != NULL ? 16 : 0;
    for (x = 0; x < span->count; x++) {
        const tflm_opt_span at = {span->y, span->x + x, 1};
        const tflm_opt_taps across = tflm_opt_window(in_x, filter->w, 1, call->input->w);
        const int8_t *source = rows.origin + rows.offset;
        pixel.columns = across.last - across.first;
        pixel.source = source + (in_x + across.first) * channels;
        pixel.taps = call->filter_data + (down.first * filter->w + across.first) * channels;
        make_pixel(call, lines, &at, &pixel, output);
        if (params->activation.min > -128 || params->activation.max < 127) {
            int32_t i;
            for (i = 0; i < channels; i++) {
                output[i] = (int8_t)tflm_opt_clamp(output[i], params->activation.min,
                                                   params->activation.max);
            }
        }
        output += channels;
        in_x += params->stride.w;
    }
    return 1;
}

#endif
