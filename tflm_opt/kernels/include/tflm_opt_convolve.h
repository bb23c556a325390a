/*
 * Convolution window by window, without scratch: not part of the public interface.
 */
#ifndef TFLM_OPT_CONVOLVE_H
#define TFLM_OPT_CONVOLVE_H

#include "tflm_opt_dot.h"
#include "tflm_opt_lines.h"
#include "tflm_opt_types.h"

#include <stddef.h>

/* What is the same for all pixels of a span. */
typedef struct {
    const cmsis_nn_conv_params *params;
    const cmsis_nn_dims *input;
    const cmsis_nn_dims *filter;
    int32_t groups;
    int32_t group_channels; /* output channels of one group */
    tflm_opt_channels channels;
    tflm_opt_window_rows rows;
    tflm_opt_patch patch;
} tflm_opt_convolution;

/* `columns` taps of a row lie side by side or apart. */
TFLM_OPT_APART void tflm_opt_set_columns(tflm_opt_convolution *conv, int32_t columns)
{
    const int32_t depth = conv->filter->c;
    const int32_t input_column = conv->params->dilation.w * conv->input->c;
    tflm_opt_patch *patch = &conv->patch;
    patch->filter_row_skip = (conv->filter->w - columns) * depth;
    patch->row_length = columns * input_column;
    if (input_column == depth) {
        patch->columns = 1;
        patch->length = columns * depth;
        patch->input_column_skip = 0;
    } else {
        patch->columns = columns;
        patch->length = depth;
        patch->input_column_skip = input_column - depth;
    }
}

/* All channels of one output pixel; `pixel` and `taps` are the window's first inner tap. */
TFLM_OPT_APART void tflm_opt_convolve_pixel(tflm_opt_convolution *conv,
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

/* The span's pixels, one after the other; the windows' rows are set. */
TFLM_OPT_APART void tflm_opt_convolve_span(tflm_opt_convolution *conv,
                                           const int8_t *filter_data,
                                           const tflm_opt_span *span,
                                           int32_t channels,
                                           int8_t *output)
{
    static const tflm_opt_run nothing = {0, 0, 0};
    const cmsis_nn_conv_params *params = conv->params;
    const cmsis_nn_dims *input = conv->input;
    int32_t in_x = span->x * params->stride.w - params->padding.w;
    int32_t x;
    for (x = 0; x < span->count; x++) {
        const tflm_opt_taps columns =
            tflm_opt_window(in_x, conv->filter->w, params->dilation.w, input->w);
        const int8_t *pixel = conv->rows.origin;
        const int8_t *taps = filter_data;
        if (columns.last > columns.first) {
            const int32_t first_x = in_x + columns.first * params->dilation.w;
            tflm_opt_set_columns(conv, columns.last - columns.first);
            conv->patch.runs = conv->rows.runs;
            pixel += conv->rows.offset + first_x * input->c;
            taps += columns.first * conv->filter->c;
        } else {
            conv->patch.runs = &nothing;
        }
        tflm_opt_convolve_pixel(conv, pixel, taps, output);
        output += channels;
        in_x += params->stride.w;
    }
}

/* All but filter_size. */
TFLM_OPT_INLINE void tflm_opt_set_channels(tflm_opt_channels *channels,
                                           const cmsis_nn_conv_params *conv_params,
                                           const cmsis_nn_per_channel_quant_params *quant_params,
                                           const int32_t *bias_data)
{
    tflm_opt_set_bias(channels, bias_data);
    channels->input_offset = conv_params->input_offset;
    channels->multiplier = quant_params->multiplier;
    channels->shift = quant_params->shift;
    channels->quant_step = 1;
    channels->output_offset = conv_params->output_offset;
    channels->activation = conv_params->activation;
}

/* From the arguments of tflm_opt_convolve_lines_s8, all but the rows; the dims' channels are sound. */
TFLM_OPT_INLINE void tflm_opt_set_convolution(
    tflm_opt_convolution *conv,
    const cmsis_nn_conv_params *conv_params,
    const cmsis_nn_per_channel_quant_params *quant_params,
    const cmsis_nn_dims *input_dims,
    const cmsis_nn_dims *filter_dims,
    const int32_t *bias_data,
    const cmsis_nn_dims *output_dims)
{
    conv->params = conv_params;
    conv->input = input_dims;
    conv->filter = filter_dims;
    conv->groups = input_dims->c / filter_dims->c;
    conv->group_channels = output_dims->c / conv->groups;
    conv->channels.filter_size = filter_dims->h * filter_dims->w * filter_dims->c;
    tflm_opt_set_channels(&conv->channels, conv_params, quant_params, bias_data);
}

/* The part inside the image of the windows of output row y, which begins at column x; the taps. */
TFLM_OPT_INLINE tflm_opt_taps tflm_opt_convolution_rows(const cmsis_nn_conv_params *params,
                                                        const cmsis_nn_dims *input_dims,
                                                        const tflm_opt_lines *input,
                                                        const cmsis_nn_dims *filter_dims,
                                                        int32_t y,
                                                        int32_t x,
                                                        tflm_opt_window_rows *rows)
{
    const int32_t dilation = params->dilation.h;
    const int32_t in_y = y * params->stride.h - params->padding.h;
    const int32_t in_x = x * params->stride.w - params->padding.w;
    const tflm_opt_taps taps = tflm_opt_window(in_y, filter_dims->h, dilation, input_dims->h);
    tflm_opt_set_rows(input, in_y + taps.first * dilation, dilation, taps.last - taps.first,
                      tflm_opt_max(in_x, 0), input_dims->c, rows);
    return taps;
}

/* A span of output pixels, one by one; the dims' channels are sound. */
TFLM_OPT_INLINE void tflm_opt_convolve_windows(
    const cmsis_nn_conv_params *conv_params,
    const cmsis_nn_per_channel_quant_params *quant_params,
    const cmsis_nn_dims *input_dims,
    const tflm_opt_lines *input,
    const cmsis_nn_dims *filter_dims,
    const int8_t *filter_data,
    const int32_t *bias_data,
    const cmsis_nn_dims *output_dims,
    const tflm_opt_span *span,
    int8_t *output_data)
{
    tflm_opt_convolution conv;
    tflm_opt_taps taps;
    tflm_opt_set_convolution(&conv, conv_params, quant_params, input_dims, filter_dims, bias_data,
                             output_dims);
    taps = tflm_opt_convolution_rows(conv_params, input_dims, input, filter_dims, span->y, span->x,
                                     &conv.rows);
    tflm_opt_convolve_span(&conv, filter_data + taps.first * filter_dims->w * filter_dims->c, span,
                           output_dims->c, output_data);
}

/* Whether the channels of filter and output fit those of the input. */
TFLM_OPT_INLINE int tflm_opt_groups_fit(const cmsis_nn_dims *input_dims,
                                        const cmsis_nn_dims *filter_dims,
                                        const cmsis_nn_dims *output_dims)
{
    const int32_t groups = filter_dims->c > 0 ? input_dims->c / filter_dims->c : 0;
    return groups > 0 && input_dims->c == groups * filter_dims->c && output_dims->c % groups == 0;
}

#endif /* TFLM_OPT_CONVOLVE_H */
