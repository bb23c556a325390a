/*
 * With scratch: the windows of three pixels are copied side by side, what lies outside of the image
 * as the inputs' zero point, and then they are three lines for tflm_opt_dot_lines_s8. Pixels of a
 * filter of one tap are lines where they are. A span may go on from row to row here. Scratch holds,
 * from its start,
 *
 *     three windows, 3 * ((length + 3) & ~3) bytes, length = filter rows * columns * channels;
 *     biases with what an input offset adds, 4 bytes an output channel, if there is room.
 *
 * Order: a block is three pixels. Without scratch, and with groups, it is an element, but with a
 * filter of one tap three pixels.
 */
#include "tflm_opt_kernels.h"
#include "tflm_opt_mve.h"

#if TFLM_OPT_MVE

#include "tflm_opt_convolve.h"

/* Where the next pixel is, and the windows of its row. */
typedef struct {
    const cmsis_nn_conv_params *params;
    const cmsis_nn_dims *input;
    const tflm_opt_lines *lines;
    const cmsis_nn_dims *filter;
    tflm_opt_channels channels;
    tflm_opt_window_rows rows; /* of the input, for output row y */
    tflm_opt_taps taps;
    int32_t width; /* of the output */
    int32_t inner; /* columns inner <= x < outer have windows that hang over no border */
    int32_t outer;
    int32_t y;
    int32_t x;
} convolver;

/* Where the row of the next pixel has its windows. */
static void set_row(convolver *conv)
{
    const cmsis_nn_conv_params *params = conv->params;
    const int32_t dilation = params->dilation.h;
    const int32_t in_y = conv->y * params->stride.h - params->padding.h;
    const int32_t in_x = conv->x * params->stride.w - params->padding.w;
    conv->taps = tflm_opt_window(in_y, conv->filter->h, dilation, conv->input->h);
    tflm_opt_set_rows(conv->lines, in_y + conv->taps.first * dilation, dilation,
                      conv->taps.last - conv->taps.first, tflm_opt_max(in_x, 0), conv->input->c,
                      &conv->rows);
}

TFLM_OPT_INLINE void copy(int8_t *target, const int8_t *source, int32_t count)
{
    __asm__ volatile("dlstp.8 lr, %[count]\n"
                     "1:\n\t"
                     "vldrb.8 q0, [%[source]], #16\n\t"
                     "vstrb.8 q0, [%[target]], #16\n\t"
                     "letp lr, 1b"
                     : [source] "+r"(source), [target] "+r"(target)
                     : [count] "r"(count)
                     : "lr", "q0", "memory");
}

static void fill(int8_t *target, int8_t value, int32_t count)
{
    const int8x16_t values = vdupq_n_s8(value);
    for (; count > 0; count -= 16) {
        vstrbq_p_s8(target, values, vctp8q((uint32_t)count));
        target += 16;
    }
}

/* The taps of a window that lie inside the image. */
TFLM_OPT_INLINE void copy_window(
    const convolver *conv, const tflm_opt_taps *columns, const int8_t *source, int8_t *target)
{
    const int32_t depth = conv->input->c;
    const int32_t step = conv->params->dilation.w * depth;
    const int32_t row = conv->filter->w * depth;
    const int32_t count = columns->last - columns->first;
    const tflm_opt_run *run;
    target += (conv->taps.first * conv->filter->w + columns->first) * depth;
    for (run = conv->rows.runs; run->rows > 0; run++) {
        int32_t left;
        for (left = run->rows; left > 0; left--) {
            if (step == depth) {
                copy(target, source, count * depth);
            } else {
                int32_t i;
                for (i = 0; i < count; i++) {
                    copy(target + i * depth, source + i * step, depth);
                }
            }
            source += run->step;
            target += row;
        }
        source += run->jump;
    }
}

/* The same of a window that lies inside, in evenly spaced rows. */
TFLM_OPT_INLINE void copy_inside(const convolver *conv, const int8_t *source, int8_t *target)
{
    const int32_t row = conv->filter->w * conv->filter->c;
    const int32_t step = conv->rows.runs->step;
    int32_t left;
    if (row > 16) {
        for (left = conv->filter->h; left > 0; left--) {
            copy(target, source, row);
            source += step;
            target += row;
        }
        return;
    }
    __asm__ volatile("vctp.8 %[row]\n\t"
                     "dls lr, %[rows]\n"
                     "1:\n\t"
                     "vpst\n\t"
                     "vldrbt.u8 q0, [%[source]]\n\t"
                     "add %[source], %[step]\n\t"
                     "vpst\n\t"
                     "vstrbt.8 q0, [%[target]]\n\t"
                     "add %[target], %[row]\n\t"
                     "le lr, 1b"
                     : [source] "+r"(source), [target] "+r"(target)
                     : [row] "r"(row), [step] "r"(step), [rows] "r"(conv->filter->h)
                     : "lr", "q0", "memory", "cc", "p0");
}

/* A window that hangs over the border, or has taps or rows apart. */
TFLM_OPT_APART void gather_apart(const convolver *conv, int32_t in_x, int8_t *target)
{
    const cmsis_nn_conv_params *params = conv->params;
    const cmsis_nn_dims *filter = conv->filter;
    const tflm_opt_taps columns =
        tflm_opt_window(in_x, filter->w, params->dilation.w, conv->input->w);
    const int32_t inside =
        (columns.last - columns.first) * (conv->taps.last - conv->taps.first);
    if (inside != filter->w * filter->h) {
        fill(target, (int8_t)-params->input_offset, conv->channels.filter_size);
    }
    if (inside > 0) {
        const int32_t first_x = in_x + columns.first * params->dilation.w;
        copy_window(conv, &columns, conv->rows.origin + conv->rows.offset + first_x * filter->c,
                    target);
    }
}

/* The window of the next pixel. */
TFLM_OPT_INLINE void gather(convolver *conv, int8_t *target)
{
    const int32_t in_x = conv->x * conv->params->stride.w - conv->params->padding.w;
    if (conv->x >= conv->inner && conv->x < conv->outer &&
        conv->rows.runs->rows == conv->filter->h) {
        copy_inside(conv, conv->rows.origin + conv->rows.offset + in_x * conv->filter->c, target);
    } else {
        gather_apart(conv, in_x, target);
    }
    if (++conv->x == conv->width) {
        conv->x = 0;
        conv->y++;
        set_row(conv);
    }
}

/* Which columns' windows hang over no border; none where taps lie apart. */
static void set_columns(convolver *conv)
{
    const cmsis_nn_conv_params *params = conv->params;
    const int32_t last = conv->input->w - conv->filter->w + params->padding.w;
    conv->inner = 0;
    conv->outer = 0;
    if (params->dilation.w == 1 && last >= 0) {
        while (conv->inner * params->stride.w < params->padding.w) {
            conv->inner++;
        }
        conv->outer = conv->inner;
        while (conv->outer < conv->width && conv->outer * params->stride.w <= last) {
            conv->outer++;
        }
    }
}

/* `folded` gets the biases with what the input offset adds. */
static void fold(convolver *conv, const int8_t *filter, int32_t count, int32_t *folded)
{
    tflm_opt_channels *channels = &conv->channels;
    int32_t i;
    for (i = 0; i < count; i++) {
        folded[i] = channels->bias[i * channels->bias_step] +
                    channels->input_offset * tflm_opt_weight_sum(filter, channels->filter_size);
        filter += channels->filter_size;
    }
    channels->bias = folded;
    channels->bias_step = 1;
    channels->input_offset = 0;
}

static void convolve(convolver *conv,
                     const cmsis_nn_context *ctx,
                     int32_t size,
                     const int8_t *filter,
                     int32_t pixels,
                     int32_t count,
                     int8_t *output)
{
    const int32_t care = tflm_opt_care(&conv->channels, count);
    const int32_t step = tflm_opt_window_bytes(conv->filter);
    int8_t *windows = (int8_t *)ctx->buf;
    if (conv->channels.input_offset != 0 && size >= TFLM_OPT_LINES * step + 4 * count) {
        fold(conv, filter, count, (int32_t *)(void *)(windows + TFLM_OPT_LINES * step));
    }
    set_columns(conv);
    set_row(conv);
    while (pixels > 0) {
        const int32_t block = tflm_opt_min(pixels, TFLM_OPT_LINES);
        int32_t i;
        for (i = 0; i < block; i++) {
            gather(conv, windows + i * step);
        }
        tflm_opt_dot_lines_s8(&conv->channels, care, windows, step, block, filter, count, output,
                              count);
        output += block * count;
        pixels -= block;
    }
}

/* A filter of one tap: windows are pixels, and lie in the input as well as in scratch. */
static void convolve_pixels(convolver *conv,
                            const int8_t *filter,
                            int32_t pixels,
                            int32_t count,
                            int8_t *output)
{
    const int32_t care = tflm_opt_care(&conv->channels, count);
    const int32_t stride = conv->params->stride.w;
    const int32_t depth = conv->input->c;
    while (pixels > 0) {
        const int32_t block = tflm_opt_min(pixels, conv->width - conv->x);
        set_row(conv);
        tflm_opt_dot_lines_s8(&conv->channels, care,
                              conv->rows.origin + conv->rows.offset + conv->x * stride * depth,
                              stride * depth, block, filter, count, output, count);
        output += block * count;
        pixels -= block;
        conv->x = 0;
        conv->y++;
    }
}

/* Without scratch, and with groups: row by row. */
static void convolve_alone(const convolver *conv,
                           const cmsis_nn_per_channel_quant_params *quant_params,
                           const int8_t *filter_data,
                           const int32_t *bias_data,
                           const cmsis_nn_dims *output_dims,
                           int32_t pixels,
                           int8_t *output)
{
    tflm_opt_span span = {conv->y, conv->x, 0};
    for (; pixels > 0; pixels -= span.count) {
        span.count = tflm_opt_min(pixels, output_dims->w - span.x);
        tflm_opt_convolve_windows(conv->params, quant_params, conv->input, conv->lines,
                                  conv->filter, filter_data, bias_data, output_dims, &span,
                                  output);
        output += span.count * output_dims->c;
        span.y++;
        span.x = 0;
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
    const int32_t needed = TFLM_OPT_LINES * tflm_opt_window_bytes(filter_dims);
    int32_t size = ctx->size;
    convolver conv;
    (void)bias_dims;
    if (!tflm_opt_groups_fit(input_dims, filter_dims, output_dims) ||
        (ctx->buf == NULL && size != TFLM_OPT_WITHOUT_SCRATCH) || (size > 0 && size < needed)) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    conv.params = conv_params;
    conv.input = input_dims;
    conv.lines = input;
    conv.filter = filter_dims;
    conv.channels.filter_size = filter_dims->h * filter_dims->w * filter_dims->c;
    conv.channels.input_offset = conv_params->input_offset;
    tflm_opt_set_bias(&conv.channels, bias_data);
    conv.channels.multiplier = quant_params->multiplier;
    conv.channels.shift = quant_params->shift;
    conv.channels.quant_step = 1;
    conv.channels.output_offset = conv_params->output_offset;
    conv.channels.activation = conv_params->activation;
    conv.width = output_dims->w;
    conv.y = span->y;
    conv.x = span->x;
    if (size == 0) {
        size = arm_convolve_s8_get_buffer_size(input_dims, filter_dims);
    }
    if (filter_dims->h == 1 && filter_dims->w == 1 && filter_dims->c == input_dims->c &&
        conv_params->padding.h == 0 && conv_params->padding.w == 0) {
        convolve_pixels(&conv, filter_data, span->count, output_dims->c, output_data);
    } else if (size == TFLM_OPT_WITHOUT_SCRATCH || filter_dims->c != input_dims->c) {
        convolve_alone(&conv, quant_params, filter_data, bias_data, output_dims, span->count,
                       output_data);
    } else {
        convolve(&conv, ctx, size, filter_data, span->count, output_dims->c, output_data);
    }
    return ARM_CMSIS_NN_SUCCESS;
}

#endif
