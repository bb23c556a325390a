#include "tflm_opt_kernels.h"
#include "tflm_opt_tier.h"

#if !TFLM_OPT_DSP

#include "tflm_opt_convolve.h"

#include <string.h>

/*
 * Without scratch: pixel by pixel, a block is one element. With 4 bytes for each value of a group's
 * windows: in groups, a block is their channels. Cores with few registers (TFLM_OPT_THUMB1) are
 * content with one byte for each value of one window: pixel by pixel, a block is one element.
 */

/* What is the same for all pixels of a span whose windows are gathered. */
typedef struct {
    const cmsis_nn_conv_params *params;
    const cmsis_nn_dims *input;
    const cmsis_nn_dims *filter;
    int32_t count;     /* output channels */
    int32_t first_row; /* of the filter's, inside the input; and how many are */
    int32_t inner_rows;
    tflm_opt_channels channels;
    tflm_opt_window_rows rows;
} gathered;

/* `count` places of nothing, or of neighbouring elements. */
TFLM_OPT_INLINE int32_t *set_zeros(int32_t *place, int32_t count)
{
    for (; count > 0; count--) {
        *place = 0;
        place += TFLM_OPT_GROUP;
    }
    return place;
}

TFLM_OPT_INLINE int32_t *set_places(
    int32_t *place, const int8_t *input, int32_t count, int32_t offset)
{
    for (; count > 0; count--) {
        *place = *input++ + offset;
        place += TFLM_OPT_GROUP;
    }
    return place;
}

/* One row of taps of one window. */
static int32_t *gather_row(
    const gathered *conv, tflm_opt_taps columns, const int8_t *input, int32_t *place)
{
    const int32_t depth = conv->filter->c;
    const int32_t step = conv->params->dilation.w * depth;
    int32_t x;
    place = set_zeros(place, columns.first * depth);
    for (x = columns.first; x < columns.last; x++) {
        place = set_places(place, input, depth, conv->params->input_offset);
        input += step;
    }
    return set_zeros(place, (conv->filter->w - columns.last) * depth);
}

/* A window that may reach out of the input. */
static void gather_some(const gathered *conv, int32_t in_x, int32_t *place)
{
    const int32_t row = conv->filter->w * conv->filter->c;
    const int32_t dilation = conv->params->dilation.w;
    const tflm_opt_taps columns =
        tflm_opt_window(in_x, conv->filter->w, dilation, conv->input->w);
    const int8_t *input = conv->rows.origin;
    const tflm_opt_run *run;
    int32_t rows = conv->filter->h - conv->first_row;
    int32_t y;
    if (columns.last > columns.first) {
        input += conv->rows.offset + (in_x + columns.first * dilation) * conv->input->c;
    }
    place = set_zeros(place, conv->first_row * row);
    for (run = conv->rows.runs; run->rows > 0; run++) {
        for (y = 0; y < run->rows; y++) {
            place = gather_row(conv, columns, input, place);
            input += run->step;
        }
        input += run->jump;
        rows -= run->rows;
    }
    set_zeros(place, rows * row);
}

/* Whole windows of a group. */
static void gather_whole(const gathered *conv, int32_t in_x, tflm_opt_group_place *window)
{
    const int32_t row = conv->filter->w * conv->filter->c;
    const int32_t next = conv->params->stride.w * conv->input->c;
    const int8_t *input = conv->rows.origin + conv->rows.offset + in_x * conv->input->c;
    const tflm_opt_run *run;
    int32_t y;
    for (run = conv->rows.runs; run->rows > 0; run++) {
        for (y = 0; y < run->rows; y++) {
            tflm_opt_set_places(input, next, row, conv->params->input_offset, window);
            window += row;
            input += run->step;
        }
        input += run->jump;
    }
}

/* Pixels in groups, as far as those are whole, if there is enough scratch; how many. */
static int32_t convolve_groups(const gathered *conv,
                               const cmsis_nn_context *ctx,
                               const int8_t *filter_data,
                               const tflm_opt_span *span,
                               int8_t *output)
{
    const cmsis_nn_conv_params *params = conv->params;
    tflm_opt_group_place *const window =
        tflm_opt_group(ctx, conv->channels.filter_size, conv->count);
    const int32_t reach = (TFLM_OPT_GROUP - 1) * params->stride.w + conv->filter->w;
    const int whole = params->dilation.w == 1 && conv->inner_rows == conv->filter->h;
    int32_t in_x = span->x * params->stride.w - params->padding.w;
    int32_t done = 0;
    int32_t i;
    for (; window != NULL && done + TFLM_OPT_GROUP <= span->count; done += TFLM_OPT_GROUP) {
        if (whole && in_x >= 0 && in_x + reach <= conv->input->w) {
            gather_whole(conv, in_x, window);
        } else {
            for (i = 0; i < TFLM_OPT_GROUP; i++) {
                gather_some(conv, in_x + i * params->stride.w, &window->of[i]);
            }
        }
        tflm_opt_dot_group_s8(&conv->channels, window, filter_data, conv->count, output);
        output += TFLM_OPT_GROUP * conv->count;
        in_x += TFLM_OPT_GROUP * params->stride.w;
    }
    return done;
}

#if TFLM_OPT_THUMB1

/* A window as bytes; what is outside the input is the zero point. */
static void gather(const gathered *conv, int32_t in_x, int8_t *window)
{
    const int32_t depth = conv->filter->c;
    const int32_t row = conv->filter->w * depth;
    const int32_t dilation = conv->params->dilation.w;
    const tflm_opt_taps columns =
        tflm_opt_window(in_x, conv->filter->w, dilation, conv->input->w);
    const int32_t inside = columns.last - columns.first;
    const int8_t *input = conv->rows.origin;
    const tflm_opt_run *run;
    int32_t y;
    int32_t x;
    if (inside < conv->filter->w || conv->inner_rows < conv->filter->h) {
        memset(window, -conv->params->input_offset, (size_t)conv->channels.filter_size);
    }
    if (inside == 0) {
        return;
    }
    input += conv->rows.offset + (in_x + columns.first * dilation) * depth;
    window += conv->first_row * row + columns.first * depth;
    for (run = conv->rows.runs; run->rows > 0; run++) {
        for (y = 0; y < run->rows; y++) {
            if (dilation == 1) {
                memcpy(window, input, (size_t)(inside * depth));
            } else {
                for (x = 0; x < inside; x++) {
                    memcpy(window + x * depth, input + x * dilation * depth, (size_t)depth);
                }
            }
            window += row;
            input += run->step;
        }
        input += run->jump;
    }
}

/* The span's pixels, from windows in scratch, if there is enough; how many. */
static int32_t convolve_gathered(const gathered *conv,
                                 const cmsis_nn_context *ctx,
                                 const int8_t *filter_data,
                                 const tflm_opt_span *span,
                                 int8_t *output)
{
    int32_t in_x = span->x * conv->params->stride.w - conv->params->padding.w;
    int32_t done;
    if (ctx->size < conv->channels.filter_size) {
        return 0;
    }
    for (done = 0; done < span->count; done++) {
        gather(conv, in_x, (int8_t *)ctx->buf);
        tflm_opt_dot_line_s8(&conv->channels, (const int8_t *)ctx->buf, filter_data, conv->count,
                             output);
        output += conv->count;
        in_x += conv->params->stride.w;
    }
    return done;
}

#endif

static void set_span(gathered *conv,
                     const cmsis_nn_per_channel_quant_params *quant_params,
                     const tflm_opt_lines *input,
                     const int32_t *bias_data,
                     const tflm_opt_span *span)
{
    const cmsis_nn_conv_params *params = conv->params;
    const int32_t in_y = span->y * params->stride.h - params->padding.h;
    const int32_t in_x = span->x * params->stride.w - params->padding.w;
    const tflm_opt_taps rows =
        tflm_opt_window(in_y, conv->filter->h, params->dilation.h, conv->input->h);
    conv->first_row = rows.first;
    conv->inner_rows = rows.last - rows.first;
    conv->channels.filter_size = conv->filter->h * conv->filter->w * conv->filter->c;
    conv->channels.input_offset = params->input_offset;
    tflm_opt_set_bias(&conv->channels, bias_data);
    conv->channels.multiplier = quant_params->multiplier;
    conv->channels.shift = quant_params->shift;
    conv->channels.quant_step = 1;
    conv->channels.output_offset = params->output_offset;
    conv->channels.activation = params->activation;
    tflm_opt_set_rows(input, in_y + rows.first * params->dilation.h, params->dilation.h,
                      conv->inner_rows, tflm_opt_max(in_x, 0), conv->input->c, &conv->rows);
}

arm_cmsis_nn_status tflm_opt_convolve_lines_s8(
    const cmsis_nn_context *ctx,
    const cmsis_nn_conv_params *conv_params,
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
    tflm_opt_span rest = *span;
    (void)bias_dims;
    if (!tflm_opt_groups_fit(input_dims, filter_dims, output_dims)) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    if (ctx != NULL && ctx->buf != NULL && filter_dims->c == input_dims->c) {
        gathered conv;
        int32_t done;
        conv.params = conv_params;
        conv.input = input_dims;
        conv.filter = filter_dims;
        conv.count = output_dims->c;
        set_span(&conv, quant_params, input, bias_data, span);
        done = convolve_groups(&conv, ctx, filter_data, &rest, output_data);
        rest.x += done;
        rest.count -= done;
        output_data += done * output_dims->c;
#if TFLM_OPT_THUMB1
        done = convolve_gathered(&conv, ctx, filter_data, &rest, output_data);
        rest.x += done;
        rest.count -= done;
        output_data += done * output_dims->c;
#endif
    }
    if (rest.count > 0) {
        tflm_opt_convolve_windows(conv_params, quant_params, input_dims, input, filter_dims,
                                  filter_data, bias_data, output_dims, &rest, output_data);
    }
    return ARM_CMSIS_NN_SUCCESS;
}

#endif /* !TFLM_OPT_DSP */
