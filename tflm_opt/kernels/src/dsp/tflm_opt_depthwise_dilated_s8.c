#include "tflm_opt_depthwise.h"
#include "tflm_opt_dot.h"
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP && !TFLM_OPT_MVE

/* A phase along an axis. */
typedef struct {
    int32_t first;   /* of its outputs, which lie in a band, */
    int32_t count;   /* and how many */
    int32_t place;   /* from the band's first output to that one */
    int32_t padding; /* before its inputs */
    int32_t origin;  /* its first input */
    int32_t size;    /* its inputs */
} axis;

/* Of outputs start to start + count those that are `apart` from each other, beginning with `phase`. */
static axis phase_of(
    int32_t phase, int32_t apart, int32_t padding, int32_t size, int32_t start, int32_t count)
{
    axis found;
    found.first = (start - phase + apart - 1) / apart;
    found.count = (start + count - phase + apart - 1) / apart - found.first;
    found.place = found.first * apart + phase - start;
    found.padding = (tflm_opt_max(padding - phase, 0) + apart - 1) / apart;
    found.origin = phase - padding + found.padding * apart;
    found.size = (size - found.origin + apart - 1) / apart;
    return found;
}

int32_t tflm_opt_depthwise_set_phases(const cmsis_nn_context *ctx,
                                      const tflm_opt_depthwise_call *call,
                                      int32_t columns,
                                      int32_t rows,
                                      tflm_opt_depthwise_phases *phases)
{
    const cmsis_nn_tile apart = call->params->dilation;
    tflm_opt_depthwise_call *part = &phases->call;
    if (!call->is_plain || call->params->stride.w != 1 || call->params->stride.h != 1 ||
        (apart.w == 1 && apart.h == 1)) {
        return 0;
    }
    phases->params = *call->params;
    phases->params.dilation.w = 1;
    phases->params.dilation.h = 1;
    phases->input = *call->input;
    *part = *call;
    part->params = &phases->params;
    part->input = &phases->input;
    phases->input.w = (phases->input.w + apart.w - 1) / apart.w;
    tflm_opt_depthwise_start_s8(ctx, (columns + apart.w - 1) / apart.w,
                                (rows + apart.h - 1) / apart.h, part);
    part->apart = apart;
    part->step = apart.w * call->input->c;
    return part->in_words;
}

/* Sizes and padding of a phase: where they are those of the last one, scratch remains set up. */
static void set_borders(tflm_opt_depthwise_phases *phases, const axis *down, const axis *across)
{
    cmsis_nn_tile *padding = &phases->params.padding;
    cmsis_nn_dims *input = &phases->input;
    if (padding->h != down->padding || padding->w != across->padding || input->h != down->size ||
        input->w != across->size) {
        phases->call.set[0] = 0;
    }
    padding->h = down->padding;
    padding->w = across->padding;
    input->h = down->size;
    input->w = across->size;
}

int32_t tflm_opt_depthwise_dilated_s8(const tflm_opt_depthwise_call *call,
                                      tflm_opt_depthwise_phases *phases,
                                      const tflm_opt_lines *lines,
                                      const tflm_opt_depthwise_band *band,
                                      int8_t *output,
                                      int32_t output_row)
{
    const cmsis_nn_dw_conv_params *params = call->params;
    tflm_opt_depthwise_call *part = &phases->call;
    const cmsis_nn_tile apart = part->apart;
    const int32_t rows = tflm_opt_min(part->rows * apart.h, band->rows);
    const int32_t channels = call->input->c;
    int32_t y;
    for (y = 0; y < apart.h; y++) {
        const axis down = phase_of(y, apart.h, params->padding.h, call->input->h, band->y, rows);
        int32_t x;
        for (x = 0; x < apart.w; x++) {
            const axis across =
                phase_of(x, apart.w, params->padding.w, call->input->w, band->x, band->columns);
            const tflm_opt_depthwise_band phase = {down.first, down.count, across.first,
                                                   across.count};
            if (down.count == 0 || across.count == 0) {
                continue;
            }
            part->origin.h = down.origin;
            part->origin.w = across.origin;
            set_borders(phases, &down, &across);
            tflm_opt_depthwise_band_s8(part, lines, &phase,
                                       output + down.place * output_row + across.place * channels,
                                       apart.h * output_row);
        }
    }
    for (y = 0; y < rows; y++) {
        tflm_opt_clamp_line(params->activation, output, band->columns * channels);
        output += output_row;
    }
    return rows;
}

#endif
