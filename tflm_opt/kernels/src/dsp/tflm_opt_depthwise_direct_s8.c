#include "tflm_opt_depthwise.h"
#include "tflm_opt_dot.h"
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP && !TFLM_OPT_MVE

/* Distances from the first row of a window to the others, and a 0; where the first one is. */
static const int8_t *set_distances(const tflm_opt_depthwise_call *call,
                                   const tflm_opt_lines *lines,
                                   int32_t y,
                                   int32_t x,
                                   int32_t count,
                                   int32_t *distances)
{
    const int32_t channels = call->input->c;
    const int8_t *first = NULL;
    for (; count > 0; count--) {
        const int8_t *row = tflm_opt_pixel(lines, y, x, channels);
        if (first == NULL) {
            first = row;
        } else {
            *distances++ = (int32_t)(row - first);
        }
        y += call->params->dilation.h;
    }
    *distances = 0;
    return first;
}

/* `groups` fours of a pixel's channels from `first` on. */
TFLM_OPT_APART TFLM_OPT_SMALL void make_groups(tflm_opt_depthwise_pixel *pixel,
                                               int32_t first,
                                               int32_t groups,
                                               int8_t *output)
{
    const int8_t *source = pixel->source;
    const int8_t *taps = pixel->taps;
    const int32_t *bias = pixel->bias;
    const int32_t *multiplier = pixel->multiplier;
    const int32_t *shift = pixel->shift;
    pixel->source = source + first;
    pixel->taps = taps + first;
    pixel->bias = bias + (pixel->bias_step != 0 ? first : 0);
    pixel->multiplier = multiplier + first;
    pixel->shift = shift + first;
    pixel->output = output;
    pixel->groups = groups;
    tflm_opt_depthwise_taps_s8(pixel);
    pixel->source = source; /* which it moved on */
    pixel->taps = taps;
    pixel->bias = bias;
    pixel->multiplier = multiplier;
    pixel->shift = shift;
}

/* All channels of a pixel; the last ones by way of the four that end with them. */
static void make_pixel(const tflm_opt_depthwise_call *call,
                       tflm_opt_depthwise_pixel *pixel,
                       int8_t *output)
{
    const cmsis_nn_activation activation = call->params->activation;
    const int32_t channels = call->input->c;
    int32_t done = channels & ~3;
    int8_t four[4];
    make_groups(pixel, 0, done / 4, output);
    if (done < channels) {
        make_groups(pixel, channels - 4, 1, four);
        for (; done < channels; done++) {
            output[done] = four[done - channels + 4];
            TFLM_OPT_KEEP(done); /* not as a call of memcpy */
        }
    }
    if (activation.min > -128 || activation.max < 127) {
        while (done > 0) {
            done--;
            output[done] = (int8_t)tflm_opt_clamp(output[done], activation.min, activation.max);
        }
    }
}

void tflm_opt_depthwise_direct_s8(const tflm_opt_depthwise_call *call,
                                  const tflm_opt_lines *lines,
                                  const tflm_opt_span *span,
                                  int8_t *output)
{
    static const int32_t no_bias[4] = {0, 0, 0, 0};
    const cmsis_nn_dw_conv_params *params = call->params;
    const cmsis_nn_dims *filter = call->filter;
    const int32_t channels = call->input->c;
    const int32_t in_y = span->y * params->stride.h - params->padding.h;
    const tflm_opt_taps down =
        tflm_opt_window(in_y, filter->h, params->dilation.h, call->input->h);
    int32_t in_x = span->x * params->stride.w - params->padding.w;
    const int32_t start_x = tflm_opt_max(in_x, 0);
    int32_t distances[TFLM_OPT_DEPTHWISE_DIRECT];
    const int8_t *start = set_distances(call, lines, in_y + down.first * params->dilation.h,
                                        start_x, down.last - down.first, distances);
    tflm_opt_depthwise_pixel pixel;
    int32_t x;
    pixel.bias = call->bias != NULL ? call->bias : no_bias;
    pixel.multiplier = call->quant->multiplier;
    pixel.shift = call->quant->shift;
    pixel.input_offset = ((uint32_t)params->input_offset & 0xFFFFU) * 0x10001U;
    pixel.input_step = params->dilation.w * channels;
    pixel.distances = distances;
    pixel.taps_row = filter->w * channels;
    pixel.output_offset = params->output_offset;
    pixel.bias_step = call->bias != NULL ? 16 : 0;
    pixel.tap_step = channels;
    for (x = 0; x < span->count; x++) {
        const tflm_opt_taps across =
            tflm_opt_window(in_x, filter->w, params->dilation.w, call->input->w);
        pixel.columns = across.last - across.first;
        pixel.few = 0;
        if (params->dilation.w == 1 && (pixel.columns == 3 || pixel.columns == 2)) {
            pixel.few = 6 - pixel.columns;
        }
        pixel.source = start + (in_x + across.first * params->dilation.w - start_x) * channels;
        pixel.taps = call->filter_data + (down.first * filter->w + across.first) * channels;
        make_pixel(call, &pixel, output);
        output += channels;
        in_x += params->stride.w;
    }
}

#endif
