/*
 * Convolution without scratch, of spans that may go on from row to row: one window meets four
 * channels, whose weights and inputs are unpacked as they come. An output is written when all that
 * its own window holds was read.
 */
#include "tflm_opt_kernels.h"
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP && !TFLM_OPT_MVE

#include "tflm_opt_convolve.h"
#include "tflm_opt_dsp.h"

/* Rows of a window and of four filters; assembly knows the order. */
typedef struct {
    const int8_t *input;
    const int8_t *filter;
    int32_t size; /* from a filter to the next */
    int32_t thrice;
    uint32_t offsets;   /* what inputs get added, twice */
    int32_t words;      /* of a row */
    int32_t rest;       /* bytes of a row, behind its words */
    int32_t rows;       /* of the first run */
    int32_t input_skip; /* from a row's end to the next row */
    int32_t filter_skip;
    int32_t sums[TFLM_OPT_BLOCK];
    int32_t left;            /* rows */
    const tflm_opt_run *run; /* the one whose rows they are, where there are several; else NULL */
    int32_t length;          /* bytes of a row */
    const tflm_opt_run *first_run;
    int32_t first_skip; /* the first run's input_skip */
    int32_t columns;    /* of a window */
    int32_t apart;      /* whether a window is none, or its taps lie apart */
} dots;

/* What is the same for all pixels of a row. */
typedef struct {
    const cmsis_nn_conv_params *params;
    const cmsis_nn_dims *input;
    const cmsis_nn_dims *filter;
    int32_t count; /* output channels of one group */
    tflm_opt_channels channels;
    tflm_opt_window_rows rows;
} convolution;

#define WORD_OF(load, sum)                                                                         \
    "ldr r9, " load "\n\t"                                                                         \
    "sxtb16 r8, r9\n\t"                                                                            \
    "sxtb16 r9, r9, ror #8\n\t"                                                                    \
    "smlad " sum ", r8, r6, " sum "\n\t"                                                           \
    "smlad " sum ", r9, r7, " sum "\n\t"

#define BYTE_OF(load, sum)                                                                         \
    "ldrsb r9, " load "\n\t"                                                                       \
    "smlabb " sum ", r9, r6, " sum "\n\t"

/* Adds the products to the sums. All assembly: it needs all fourteen registers. */
__attribute__((naked, noinline, used)) static void add_dots(dots *all __attribute__((unused)))
{
    __asm__(".syntax unified\n\t"
            "push.w {r0, r4, r5, r6, r7, r8, r9, r10, r11, lr}\n\t"
            "add.w r5, r0, #40\n\t"
            "ldmia.w r5, {r10, r11, r12, r14}\n\t"
            "ldr.w r6, [r0, #28]\n\t"
            "str.w r6, [r0, #56]\n\t"
            "ldmia.w r0, {r0, r1, r2, r3, r4}\n"
            "1:\n\t"
            "ldr.w r5, [sp]\n\t"
            "ldr.w r5, [r5, #20]\n\t"
            "cmp.w r5, #0\n\t"
            "beq.w 3f\n"
            "2:\n\t"
            "ldr r6, [r0], #4\n\t"
            "sxtab16 r7, r4, r6, ror #8\n\t"
            "sxtab16 r6, r4, r6\n\t"
            WORD_OF("[r1, r2]", "r11")
            WORD_OF("[r1, r2, lsl #1]", "r12")
            WORD_OF("[r1, r3]", "r14")
            WORD_OF("[r1], #4", "r10")
            "subs.w r5, r5, #1\n\t"
            "bne.w 2b\n"
            "3:\n\t"
            "ldr.w r5, [sp]\n\t"
            "ldr.w r5, [r5, #24]\n\t"
            "cmp.w r5, #0\n\t"
            "beq.w 5f\n"
            "4:\n\t"
            "ldrb r6, [r0], #1\n\t"
            "sxtab16 r6, r4, r6\n\t"
            BYTE_OF("[r1, r2]", "r11")
            BYTE_OF("[r1, r2, lsl #1]", "r12")
            BYTE_OF("[r1, r3]", "r14")
            BYTE_OF("[r1], #1", "r10")
            "subs.w r5, r5, #1\n\t"
            "bne.w 4b\n"
            "5:\n\t"
            "ldr.w r5, [sp]\n\t"
            "ldr.w r6, [r5, #56]\n\t"
            "subs.w r6, r6, #1\n\t"
            "str.w r6, [r5, #56]\n\t"
            "ldrd r6, r7, [r5, #32]\n\t"
            "add.w r0, r0, r6\n\t"
            "add.w r1, r1, r7\n\t"
            "bne.w 1b\n\t"
            "ldr.w r7, [r5, #60]\n\t"
            "cbz r7, 6f\n\t"
            "ldr.w r8, [r7, #8]\n\t" /* on to the next run's rows */
            "ldr.w r6, [r7, #12]!\n\t"
            "cbz r6, 7f\n\t"
            "add.w r0, r0, r8\n\t"
            "str.w r7, [r5, #60]\n\t"
            "str.w r6, [r5, #56]\n\t"
            "ldr.w r7, [r7, #4]\n\t"
            "ldr.w r8, [r5, #64]\n\t"
            "sub.w r7, r7, r8\n\t"
            "str.w r7, [r5, #32]\n\t"
            "b.w 1b\n"
            "7:\n\t"
            "ldrd r6, r7, [r5, #68]\n\t"
            "str.w r6, [r5, #60]\n\t"
            "str.w r7, [r5, #32]\n"
            "6:\n\t"
            "add.w r5, r5, #40\n\t"
            "stmia.w r5, {r10, r11, r12, r14}\n\t"
            "pop.w {r0, r4, r5, r6, r7, r8, r9, r10, r11, pc}\n\t");
}

/* `rows` pieces of `length` bytes, which begin so many bytes apart. */
static void set_rows(
    dots *all, int32_t length, int32_t rows, int32_t input_step, int32_t filter_step)
{
    all->words = length >> 2;
    all->rest = length & 3;
    all->rows = rows;
    all->input_skip = input_step - length;
    all->filter_skip = filter_step - length;
}

/* What is the same for all windows: of groups of less than four channels, one meets a window. */
static void set_filters(const convolution *conv, dots *all)
{
    const uint32_t offset = (uint32_t)conv->channels.input_offset;
    all->size = conv->count < TFLM_OPT_BLOCK ? 0 : conv->channels.filter_size;
    all->thrice = 3 * all->size;
    all->offsets = (offset & 0xFFFFU) | (offset << 16);
}

/* Windows of so many columns, in the rows that are set. */
static void set_window(const convolution *conv, int32_t columns, dots *all)
{
    const int32_t depth = conv->filter->c;
    const tflm_opt_run *runs = conv->rows.runs;
    set_rows(all, columns * depth, runs->rows, runs->step, conv->filter->w * depth);
    all->length = columns * depth;
    all->first_run = runs->rows != 0 && runs[1].rows != 0 ? runs : NULL;
    all->first_skip = all->input_skip;
    all->columns = columns;
    all->apart = columns <= 0 || runs->rows == 0 ||
                 conv->params->dilation.w * conv->input->c != depth;
    all->run = all->apart ? NULL : all->first_run;
}

/* All of a window, tap by tap, since they lie apart. */
TFLM_OPT_APART void add_pieces(const convolution *conv, const int8_t *filter, dots *all)
{
    const int32_t depth = conv->filter->c;
    const int32_t column = conv->params->dilation.w * conv->input->c;
    const int8_t *const start = all->input;
    const int8_t *input = start;
    const tflm_opt_run *run = conv->rows.runs;
    for (; all->columns > 0 && run->rows > 0; run++) {
        int32_t y;
        for (y = 0; y < run->rows; y++) {
            set_rows(all, depth, all->columns, column, depth);
            all->input = input;
            all->filter = filter;
            add_dots(all);
            input += run->step;
            filter += conv->filter->w * depth;
        }
        input += run->jump;
    }
    all->input = start;
}

/* Output channels `first` to `end` of one window; `filter` is that of the first channel of all. */
static void make_outputs(const convolution *conv,
                         dots *all,
                         const int8_t *filter,
                         int32_t first,
                         int32_t end,
                         int8_t *output)
{
    const tflm_opt_channels *channels = &conv->channels;
    const int32_t block = end - first < TFLM_OPT_BLOCK ? 1 : TFLM_OPT_BLOCK;
    int32_t i;
    for (; first < end; first += block) {
        /* a last block that is not full begins among the channels of the one before */
        const int32_t now = tflm_opt_min(first, end - block);
        const int32_t *bias = channels->bias + now * channels->bias_step;
        const int32_t *multiplier = channels->multiplier + now;
        const int32_t *shift = channels->shift + now;
        const int8_t *weights = filter + now * channels->filter_size;
        all->sums[0] = bias[0];
        if (block > 1) {
            all->sums[1] = bias[1];
            all->sums[2] = bias[2];
            all->sums[3] = bias[3];
        }
        if (all->apart) {
            add_pieces(conv, weights, all);
        } else {
            all->filter = weights;
            add_dots(all);
        }
        for (i = 0; i < block; i++) {
            output[now + i] = tflm_opt_output_s8(all->sums[i], multiplier[i], shift[i],
                                                 channels->output_offset, channels->activation);
        }
    }
}

/* The span's pixels, one after the other; `filter_data` is that of the windows' first row. */
static TFLM_OPT_SMALL void convolve_row(const convolution *conv,
                         dots *all,
                         const int8_t *filter_data,
                         const tflm_opt_span *span,
                         int32_t channels,
                         int8_t *output)
{
    const int32_t step = conv->params->stride.w;
    const int32_t dilation = conv->params->dilation.w;
    const int32_t depth = conv->input->c;
    int32_t in_x = span->x * step - conv->params->padding.w;
    int32_t left;
    all->columns = -1; /* none are set */
    for (left = span->count; left > 0; left--) {
        const tflm_opt_taps taps =
            tflm_opt_window(in_x, conv->filter->w, dilation, conv->input->w);
        const int8_t *filter = filter_data + taps.first * conv->filter->c;
        int32_t done = 0;
        all->input = conv->rows.origin + conv->rows.offset + (in_x + taps.first * dilation) * depth;
        if (all->columns != taps.last - taps.first) {
            set_window(conv, taps.last - taps.first, all);
        }
        do { /* each group reads its own input channels */
            make_outputs(conv, all, filter, done, done + conv->count, output);
            all->input += conv->filter->c;
            done += conv->count;
        } while (done < channels);
        output += channels;
        in_x += step;
    }
}

arm_cmsis_nn_status tflm_opt_convolve_directly_lines_s8(
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
    const int32_t row = filter_dims->w * filter_dims->c;
    tflm_opt_span now = *span;
    int32_t left = span->count;
    convolution conv;
    dots all;
    (void)ctx;
    (void)bias_dims;
    conv.count = output_dims->c;
    if (input_dims->c != filter_dims->c) {
        if (!tflm_opt_groups_fit(input_dims, filter_dims, output_dims)) {
            return ARM_CMSIS_NN_ARG_ERROR;
        }
        conv.count /= input_dims->c / filter_dims->c;
    }
    conv.params = conv_params;
    conv.input = input_dims;
    conv.filter = filter_dims;
    tflm_opt_set_channels(&conv.channels, conv_params, quant_params, bias_data);
    conv.channels.filter_size = filter_dims->h * row;
    set_filters(&conv, &all);
    for (; left > 0; left -= now.count) {
        tflm_opt_taps taps;
        now.count = tflm_opt_min(left, output_dims->w - now.x);
        taps = tflm_opt_convolution_rows(conv_params, input_dims, input, filter_dims, now.y, now.x,
                                         &conv.rows);
        convolve_row(&conv, &all, filter_data + taps.first * row, &now, output_dims->c,
                     output_data);
        output_data += now.count * output_dims->c;
        now.y++;
        now.x = 0;
    }
    return ARM_CMSIS_NN_SUCCESS;
}

void tflm_opt_convolve_pixels_s8(const cmsis_nn_conv_params *conv_params,
                                 const cmsis_nn_per_channel_quant_params *quant_params,
                                 const cmsis_nn_dims *input_dims,
                                 const int8_t *input_data,
                                 const int8_t *filter_data,
                                 const int32_t *bias_data,
                                 int32_t channels,
                                 int8_t *output_data)
{
    const int32_t depth = input_dims->c;
    int32_t left = input_dims->n * input_dims->h * input_dims->w;
    convolution conv;
    dots all;
    tflm_opt_set_channels(&conv.channels, conv_params, quant_params, bias_data);
    conv.channels.filter_size = depth;
    conv.count = channels;
    set_filters(&conv, &all);
    set_rows(&all, depth, 1, 0, 0);
    all.run = NULL;
    all.apart = 0;
    all.input = input_data;
    for (; left > 0; left--) {
        make_outputs(&conv, &all, filter_data, 0, channels, output_data);
        all.input += depth;
        output_data += channels;
    }
}

#endif /* TFLM_OPT_DSP */
