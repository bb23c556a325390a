#include "tflm_opt_dot.h"
#include "tflm_opt_kernels.h"

/* What is the same for all pixels of a span. */
typedef struct {
    const cmsis_nn_conv_params *params;
    const cmsis_nn_dims *input;
    const cmsis_nn_dims *filter;
    int32_t groups;
    int32_t group_channels; /* output channels of one group */
    int32_t first_row;      /* of the filter's, inside the input; and how many are */
    int32_t inner_rows;
    tflm_opt_channels channels;
    tflm_opt_window_rows rows;
    tflm_opt_patch patch;
} convolution;

/* `columns` taps of a row lie side by side or apart. */
static void set_columns(convolution *conv, int32_t columns)
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
static void convolve_pixel(convolution *conv,
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

/* `count` places of nothing, or of neighbouring elements. */
TFLM_OPT_INLINE int32_t *set_zeros(int32_t *place, int32_t count)
{
    for (; count > 0; count--) {
        *place = 0;
        place += 2;
    }
    return place;
}

TFLM_OPT_INLINE int32_t *set_places(
    int32_t *place, const int8_t *input, int32_t count, int32_t offset)
{
    for (; count > 0; count--) {
        *place = *input++ + offset;
        place += 2;
    }
    return place;
}

/* One row of taps of one window. */
static int32_t *gather_row(
    const convolution *conv, tflm_opt_taps columns, const int8_t *input, int32_t *place)
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
static void gather_some(const convolution *conv, int32_t in_x, int32_t *place)
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

/* Two whole windows with neighbouring columns. */
static void gather_whole(const convolution *conv, int32_t in_x, tflm_opt_pair *window)
{
    const int32_t row = conv->filter->w * conv->filter->c;
    const int32_t next = conv->params->stride.w * conv->input->c;
    const int8_t *input = conv->rows.origin + conv->rows.offset + in_x * conv->input->c;
    const tflm_opt_run *run;
    int32_t y;
    for (run = conv->rows.runs; run->rows > 0; run++) {
        for (y = 0; y < run->rows; y++) {
            tflm_opt_set_pairs(input, input + next, row, conv->params->input_offset, window);
            window += row;
            input += run->step;
        }
        input += run->jump;
    }
}

/* Pixels two by two, as far as there are two; how many. */
static int32_t convolve_pairs(const convolution *conv,
                              tflm_opt_pair *window,
                              const int8_t *filter_data,
                              const tflm_opt_span *span,
                              int8_t *output)
{
    const cmsis_nn_conv_params *params = conv->params;
    const int32_t width = conv->filter->w;
    const int whole = params->dilation.w == 1 && conv->inner_rows == conv->filter->h;
    int32_t in_x = span->x * params->stride.w - params->padding.w;
    int32_t done;
    for (done = 0; done + 2 <= span->count; done += 2) {
        const int32_t next_x = in_x + params->stride.w;
        if (whole && in_x >= 0 && next_x + width <= conv->input->w) {
            gather_whole(conv, in_x, window);
        } else {
            gather_some(conv, in_x, &window->first);
            gather_some(conv, next_x, &window->second);
        }
        tflm_opt_dot_pair_s8(&conv->channels, window, filter_data, conv->group_channels, output);
        output += 2 * conv->group_channels;
        in_x = next_x + params->stride.w;
    }
    return done;
}

/* The span's pixels, one after the other; the windows' rows are set. */
static void convolve_span(convolution *conv,
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
            set_columns(conv, columns.last - columns.first);
            conv->patch.runs = conv->rows.runs;
            pixel += conv->rows.offset + first_x * input->c;
            taps += columns.first * conv->filter->c;
        } else {
            conv->patch.runs = &nothing;
        }
        convolve_pixel(conv, pixel, taps, output);
        output += channels;
        in_x += params->stride.w;
    }
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
    const int32_t groups = filter_dims->c > 0 ? input_dims->c / filter_dims->c : 0;
    const int32_t in_y = span->y * conv_params->stride.h - conv_params->padding.h;
    const int32_t in_x = span->x * conv_params->stride.w - conv_params->padding.w;
    const tflm_opt_taps rows =
        tflm_opt_window(in_y, filter_dims->h, conv_params->dilation.h, input_dims->h);
    convolution conv;
    tflm_opt_span rest = *span;
    tflm_opt_pair *window;
    (void)bias_dims;
    if (groups <= 0 || input_dims->c != groups * filter_dims->c ||
        output_dims->c % groups != 0) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    conv.params = conv_params;
    conv.input = input_dims;
    conv.filter = filter_dims;
    conv.groups = groups;
    conv.group_channels = output_dims->c / groups;
    conv.channels.filter_size = filter_dims->h * filter_dims->w * filter_dims->c;
    conv.channels.input_offset = conv_params->input_offset;
    tflm_opt_set_bias(&conv.channels, bias_data);
    conv.channels.multiplier = quant_params->multiplier;
    conv.channels.shift = quant_params->shift;
    conv.channels.quant_step = 1;
    conv.channels.output_offset = conv_params->output_offset;
    conv.channels.activation = conv_params->activation;
    conv.first_row = rows.first;
    conv.inner_rows = rows.last - rows.first;
    tflm_opt_set_rows(input, in_y + rows.first * conv_params->dilation.h,
                      conv_params->dilation.h, conv.inner_rows, tflm_opt_max(in_x, 0),
                      input_dims->c, &conv.rows);
    window = groups == 1 ? tflm_opt_pairs(ctx, conv.channels.filter_size) : NULL;
    if (window != NULL) {
        const int32_t done = convolve_pairs(&conv, window, filter_data, span, output_data);
        rest.x += done;
        rest.count -= done;
        output_data += done * output_dims->c;
    }
    convolve_span(&conv, filter_data + rows.first * filter_dims->w * filter_dims->c, &rest,
                  output_dims->c, output_data);
    return ARM_CMSIS_NN_SUCCESS;
}
