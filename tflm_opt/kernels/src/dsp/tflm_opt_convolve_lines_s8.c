/*
 * Convolution as products of windows and channels: see tflm_opt_gemm.h. Spans may go on from row to
 * row here. Windows inside the image are spread out right from there, pair by pair; those that hang
 * over the border, and pairs of different rows, are gathered first.
 */
#include "tflm_opt_kernels.h"
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP && !TFLM_OPT_MVE

#include "tflm_opt_convolve.h"
#include "tflm_opt_gemm.h"

/* Where the next pixel is, and the windows of its row. */
typedef struct {
    const cmsis_nn_conv_params *params;
    const cmsis_nn_dims *input_dims;
    const tflm_opt_lines *input;
    const cmsis_nn_dims *filter;
    tflm_opt_gemm_problem problem;
    tflm_opt_gemm gemm;
    tflm_opt_window_rows rows; /* of the input, for output row y */
    tflm_opt_taps taps;
    int32_t row_words; /* bytes of a window's row that come first */
    int32_t row_rest;
    int32_t width; /* of the output */
    int32_t inner; /* windows of columns inner <= x < outer hang over no border */
    int32_t outer;
    int32_t limit; /* `outer` of this row: 0 where its windows hang over the upper or lower one */
    int32_t y;
    int32_t x;
} convolver;

/* Where the row of the next pixel has its windows. */
TFLM_OPT_APART void set_row(convolver *conv)
{
    conv->taps = tflm_opt_convolution_rows(conv->params, conv->input_dims, conv->input,
                                           conv->filter, conv->y, conv->x, &conv->rows);
    conv->limit = conv->outer;
    if (conv->taps.last - conv->taps.first < conv->filter->h && (conv->problem.length & 3) != 0) {
        conv->limit = 0; /* only whole words can be padded in scratch */
    }
}

/* Which columns' windows hang over no border; none where taps lie apart. */
static void set_columns(convolver *conv)
{
    const cmsis_nn_conv_params *params = conv->params;
    const int32_t stride = params->stride.w;
    const int32_t last = conv->input_dims->w - conv->filter->w + params->padding.w;
    conv->inner = (params->padding.w + stride - 1) / stride;
    conv->outer = 0;
    if (last >= 0 && conv->problem.rows == conv->filter->h && params->dilation.w == 1) {
        conv->outer = tflm_opt_min(last / stride + 1, conv->width);
    }
}

/*
 * `rows` pieces of `length` bytes, which begin so many bytes apart, to and from any addresses. All
 * assembly: the loops are short, and the compiler's need twice the instructions.
 */
__attribute__((naked, noinline, used)) static void copy_rows(
    int8_t *target __attribute__((unused)),
    const int8_t *source __attribute__((unused)),
    int32_t length __attribute__((unused)),
    int32_t rows __attribute__((unused)),
    int32_t target_step __attribute__((unused)),
    int32_t source_step __attribute__((unused)))
{
    __asm__(".syntax unified\n\t"
            "push.w {r4, r5, r6, r7, r8, lr}\n\t"
            "ldrd r6, r7, [sp, #24]\n\t"
            "sub.w r6, r6, r2\n\t"
            "sub.w r7, r7, r2\n"
            "1:\n\t"
            "subs.w r12, r2, #16\n\t"
            "blo.w 3f\n"
            "2:\n\t"
            "ldr r4, [r1], #4\n\t"
            "ldr r5, [r1], #4\n\t"
            "ldr r8, [r1], #4\n\t"
            "ldr lr, [r1], #4\n\t"
            "str r4, [r0], #4\n\t"
            "str r5, [r0], #4\n\t"
            "str r8, [r0], #4\n\t"
            "str lr, [r0], #4\n\t"
            "subs.w r12, r12, #16\n\t"
            "bhs.w 2b\n"
            "3:\n\t"
            "adds.w r12, r12, #12\n\t"
            "bmi.w 5f\n"
            "4:\n\t"
            "ldr r4, [r1], #4\n\t"
            "str r4, [r0], #4\n\t"
            "subs.w r12, r12, #4\n\t"
            "bpl.w 4b\n"
            "5:\n\t"
            "lsls.w r12, r12, #31\n\t"
            "bcc.w 6f\n\t"
            "ldrh r4, [r1], #2\n\t"
            "strh r4, [r0], #2\n"
            "6:\n\t"
            "bpl.w 7f\n\t"
            "ldrb r4, [r1], #1\n\t"
            "strb r4, [r0], #1\n"
            "7:\n\t"
            "add.w r0, r0, r6\n\t"
            "add.w r1, r1, r7\n\t"
            "subs.w r3, r3, #1\n\t"
            "bne.w 1b\n\t"
            "pop.w {r4, r5, r6, r7, r8, pc}\n\t");
}

/* At least `count` bytes of the inputs' zero point, at an aligned address; whole words. */
TFLM_OPT_INLINE void fill(const convolver *conv, int8_t *target, int32_t count)
{
    const uint32_t zero = ((uint32_t)-conv->params->input_offset & 0xFFU) * 0x01010101U;
    uint32_t *word = (uint32_t *)(void *)target;
    for (; count >= 16; count -= 16) {
        word[0] = zero;
        word[1] = zero;
        word[2] = zero;
        word[3] = zero;
        word += 4;
    }
    for (; count > 0; count -= 4) {
        *word++ = zero;
    }
}

/* Where the window of the next pixel begins, or a column of it. */
TFLM_OPT_INLINE const int8_t *window(const convolver *conv, int32_t column)
{
    const cmsis_nn_conv_params *params = conv->params;
    const int32_t in_x = conv->x * params->stride.w - params->padding.w + column;
    return conv->rows.origin + conv->rows.offset + in_x * conv->input_dims->c;
}

/*
 * The window of the next pixel; what lies outside of the image is the inputs' zero point. The whole
 * words of all rows come first, then the rest. Of a row, `pieces` pieces of neighbouring bytes are
 * there, which begin with byte `first`.
 */
TFLM_OPT_APART void gather(const convolver *conv, int8_t *target)
{
    const int32_t depth = conv->input_dims->c;
    const int32_t dilation = conv->params->dilation.w;
    const int32_t in_x = conv->x * conv->params->stride.w - conv->params->padding.w;
    const tflm_opt_taps columns =
        tflm_opt_window(in_x, conv->filter->w, dilation, conv->input_dims->w);
    const int32_t count = columns.last - columns.first;
    const int32_t pieces = dilation == 1 ? 1 : count;
    const int32_t length = dilation == 1 ? count * depth : depth;
    const int32_t words = conv->row_words;
    const int32_t rest = conv->row_rest;
    const int32_t first = columns.first * depth;
    const int32_t whole = tflm_opt_max(tflm_opt_min(length, words - first), 0);
    const int8_t *source = window(conv, columns.first * dilation);
    const tflm_opt_run *run = conv->rows.runs;
    int8_t *row = target + conv->taps.first * words + first;
    int8_t *rests = target + conv->filter->h * words + conv->taps.first * rest +
                    tflm_opt_max(first - words, 0);
    if (count < conv->filter->w || conv->taps.last - conv->taps.first < conv->filter->h) {
        fill(conv, target, conv->gemm.words);
    }
    for (; count > 0 && run->rows > 0; run++) {
        int32_t i;
        for (i = 0; i < pieces && whole > 0; i++) {
            copy_rows(row + i * depth, source + i * dilation * depth, whole, run->rows, words,
                      run->step);
        }
        if (length > whole) {
            copy_rows(rests, source + whole, length - whole, run->rows, rest, run->step);
        }
        row += run->rows * words;
        rests += run->rows * rest;
        source += run->rows * run->step + run->jump;
    }
}

TFLM_OPT_APART void advance(convolver *conv, int32_t pixels)
{
    conv->x += pixels;
    if (conv->x == conv->width) {
        conv->x = 0;
        conv->y++;
        set_row(conv);
    }
}

/* The next pair of windows, or one window twice. */
static void gather_pair(convolver *conv, int32_t pair, int32_t count)
{
    tflm_opt_gemm *gemm = &conv->gemm;
    int8_t *first = tflm_opt_gemm_place(gemm, 0);
    int8_t *second = first;
    gather(conv, first);
    if (count > 1) {
        second = tflm_opt_gemm_place(gemm, 1);
        advance(conv, 1);
        gather(conv, second);
    }
    tflm_opt_gemm_gathered(gemm, pair, first, second - first);
}

/* How many of the next `pixels` windows are neighbours that hang over no border. */
TFLM_OPT_INLINE int32_t inside(const convolver *conv, int32_t pixels)
{
    return conv->x < conv->inner ? 0 : tflm_opt_min(conv->limit - conv->x, pixels);
}

/* The windows of a block. */
static void spread_block(convolver *conv, int32_t pixels)
{
    const int32_t step = conv->params->stride.w * conv->input_dims->c;
    int32_t pair;
    for (pair = 0; pixels > 0; pair++, pixels -= 2) {
        const int32_t count = tflm_opt_min(pixels, 2);
        if (inside(conv, count) == count) {
            tflm_opt_gemm_inputs(&conv->gemm, pair, window(conv, 0), count > 1 ? step : 0,
                                 conv->rows.runs, conv->taps.first);
            advance(conv, count);
        } else {
            gather_pair(conv, pair, count);
            advance(conv, 1);
        }
    }
}

/* Rows that leave too much over are not spread out one by one: windows are gathered then. */
static void set_problem(convolver *conv,
                        const cmsis_nn_per_channel_quant_params *quant_params,
                        const int8_t *filter_data,
                        const int32_t *bias_data,
                        int32_t channels)
{
    const cmsis_nn_conv_params *params = conv->params;
    tflm_opt_gemm_problem *problem = &conv->problem;
    problem->filter = filter_data;
    problem->bias = bias_data;
    problem->multiplier = quant_params->multiplier;
    problem->shift = quant_params->shift;
    problem->channels = channels;
    problem->input_offset = params->input_offset;
    problem->output_offset = params->output_offset;
    problem->activation = params->activation;
    problem->rows = conv->filter->h;
    problem->length = conv->filter->w * conv->filter->c;
    if (params->dilation.w != 1 ||
        problem->rows * (problem->length & 3) > TFLM_OPT_GEMM_REST) {
        problem->length *= problem->rows;
        problem->rows = 1;
    }
    problem->staging = tflm_opt_gemm_round(problem->rows * problem->length);
    conv->row_rest = problem->rows == 1 ? 0 : problem->length & 3;
    conv->row_words = conv->filter->w * conv->filter->c - conv->row_rest;
}

/* Without scratch, and with groups: row by row. */
static void convolve_alone(convolver *conv,
                           tflm_opt_convolution *windows,
                           const int8_t *filter_data,
                           int32_t pixels,
                           int8_t *output)
{
    const int32_t row = conv->filter->w * conv->filter->c;
    const int32_t channels = windows->groups * windows->group_channels;
    while (pixels > 0) {
        tflm_opt_span span = {conv->y, conv->x, tflm_opt_min(pixels, conv->width - conv->x)};
        set_row(conv);
        windows->rows = conv->rows;
        tflm_opt_convolve_row_s8(windows, filter_data + conv->taps.first * row, &span, output);
        output += span.count * channels;
        pixels -= span.count;
        conv->y++;
        conv->x = 0;
    }
}

static void convolve_blocks(convolver *conv, int32_t pixels, int8_t *output)
{
    const int32_t step = conv->params->stride.w * conv->input_dims->c;
    set_columns(conv);
    set_row(conv);
    while (pixels > 0) {
        int32_t count = inside(conv, pixels);
        if (count > 1) {
            count = tflm_opt_gemm_windows(&conv->gemm, window(conv, 0), step, conv->rows.runs,
                                          count, output);
        }
        if (count > 1) {
            advance(conv, count);
        } else {
            count = tflm_opt_min(pixels, conv->gemm.plan.block);
            spread_block(conv, count);
            tflm_opt_gemm_s8(&conv->gemm, count, output);
        }
        output += count * conv->problem.channels;
        pixels -= count;
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
    int32_t size = ctx->size;
    convolver conv;
    (void)bias_dims;
    if (!tflm_opt_groups_fit(input_dims, filter_dims, output_dims) ||
        (ctx->buf == NULL && size != TFLM_OPT_WITHOUT_SCRATCH)) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    conv.params = conv_params;
    conv.input_dims = input_dims;
    conv.input = input;
    conv.filter = filter_dims;
    conv.width = output_dims->w;
    conv.y = span->y;
    conv.x = span->x;
    if (size == TFLM_OPT_WITHOUT_SCRATCH || filter_dims->c != input_dims->c) {
        tflm_opt_convolution windows;
        tflm_opt_set_convolution(&windows, conv_params, quant_params, input_dims, filter_dims,
                                 bias_data, output_dims);
        conv.outer = 0;
        conv.problem.length = 0;
        convolve_alone(&conv, &windows, filter_data, span->count, output_data);
        return ARM_CMSIS_NN_SUCCESS;
    }
    set_problem(&conv, quant_params, filter_data, bias_data, output_dims->c);
    if (size == 0) {
        size = arm_convolve_s8_get_buffer_size(input_dims, filter_dims);
    }
    if (tflm_opt_gemm_start(&conv.gemm, &conv.problem, ctx->buf, size) != ARM_CMSIS_NN_SUCCESS) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    convolve_blocks(&conv, span->count, output_data);
    return ARM_CMSIS_NN_SUCCESS;
}

#endif /* TFLM_OPT_DSP */
