/*
 * Convolution without scratch, of spans that may go on from row to row: one window meets four channels, whose weights and inputs are unpacked
 * as they come. An output is written when all that its own window holds was read.
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
    uint32_t offsets; /* what inputs get added, twice */
    int32_t words;    /* of a row */
    int32_t rest;     /* bytes of a row, behind its words */
    int32_t rows;
    int32_t input_skip; /* from a row's end to the next row */
    int32_t filter_skip;
    int32_t sums[TFLM_OPT_BLOCK];
    int32_t left; /* rows */
} dots;

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

/* All of a window of so many columns, in pieces: rows of several runs, or taps that lie apart. */
TFLM_OPT_APART void add_pieces(const tflm_opt_convolution *conv,
                               int32_t columns,
                               const int8_t *input,
                               const int8_t *filter,
                               dots *all)
{
    const int32_t depth = conv->filter->c;
    const int32_t column = conv->params->dilation.w * conv->input->c;
    const tflm_opt_run *run = conv->rows.runs;
    for (; columns > 0 && run->rows > 0; run++) {
        int32_t y;
        for (y = 0; y < run->rows; y++) {
            set_rows(all, depth, columns, column, depth);
            all->input = input;
            all->filter = filter;
            add_dots(all);
            input += run->step;
            filter += conv->filter->w * depth;
        }
        input += run->jump;
    }
}

/*
 * Output channels `first` to `first` + `count` of one window. With less than four, all filters are
 * the first one's.
 */
static void make_outputs(const tflm_opt_convolution *conv,
                         int32_t columns,
                         const int8_t *input,
                         const int8_t *filter,
                         int32_t count,
                         int8_t *output)
{
    const tflm_opt_channels *channels = &conv->channels;
    const tflm_opt_run *run = conv->rows.runs;
    const int32_t depth = conv->filter->c;
    const uint32_t offset = (uint32_t)channels->input_offset;
    const int32_t block = count < TFLM_OPT_BLOCK ? 1 : TFLM_OPT_BLOCK;
    const int32_t simple = columns > 0 && run[0].rows > 0 && run[1].rows == 0 &&
                           conv->params->dilation.w * conv->input->c == depth;
    dots all;
    int32_t first;
    int32_t i;
    all.size = block > 1 ? channels->filter_size : 0;
    all.thrice = 3 * all.size;
    all.offsets = (offset & 0xFFFFU) | (offset << 16);
    set_rows(&all, columns * depth, run->rows, run->step, conv->filter->w * depth);
    for (first = 0; first < count; first += block) {
        /* a last block that is not full begins among the channels of the one before */
        const int32_t now = tflm_opt_min(first, count - block);
        const int32_t *bias = channels->bias + now * channels->bias_step;
        const int32_t *multiplier = channels->multiplier + now;
        const int32_t *shift = channels->shift + now;
        const int8_t *weights = filter + now * channels->filter_size;
        all.sums[0] = bias[0];
        if (block > 1) {
            all.sums[1] = bias[1];
            all.sums[2] = bias[2];
            all.sums[3] = bias[3];
        }
        if (simple) {
            all.input = input;
            all.filter = weights;
            add_dots(&all);
        } else {
            add_pieces(conv, columns, input, weights, &all);
        }
        for (i = 0; i < block; i++) {
            output[now + i] = tflm_opt_output_s8(all.sums[i], multiplier[i], shift[i],
                                                 channels->output_offset, channels->activation);
        }
    }
}

/* The span's pixels, one after the other; filter_data is that of the windows' first row. */
static void convolve_row(tflm_opt_convolution *conv,
                         const int8_t *filter_data,
                         const tflm_opt_span *span,
                         int8_t *output)
{
    const cmsis_nn_conv_params *params = conv->params;
    tflm_opt_channels *channels = &conv->channels;
    const int32_t count = conv->group_channels;
    const int32_t all = count * conv->groups;
    int32_t in_x = span->x * params->stride.w - params->padding.w;
    int32_t x;
    for (x = 0; x < span->count; x++) {
        const tflm_opt_taps columns =
            tflm_opt_window(in_x, conv->filter->w, params->dilation.w, conv->input->w);
        const int8_t *pixel = conv->rows.origin + conv->rows.offset +
                              (in_x + columns.first * params->dilation.w) * conv->input->c;
        const int8_t *taps = filter_data + columns.first * conv->filter->c;
        int32_t done;
        for (done = 0; done < all; done += count) { /* each group reads its own input channels */
            make_outputs(conv, columns.last - columns.first, pixel, taps, count, output);
            pixel += conv->filter->c;
            taps += count * channels->filter_size;
            output += count;
            channels->bias += count * channels->bias_step;
            channels->multiplier += count;
            channels->shift += count;
        }
        channels->bias -= all * channels->bias_step;
        channels->multiplier -= all;
        channels->shift -= all;
        in_x += params->stride.w;
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
    tflm_opt_convolution conv;
    (void)ctx;
    (void)bias_dims;
    if (!tflm_opt_groups_fit(input_dims, filter_dims, output_dims)) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    tflm_opt_set_convolution(&conv, conv_params, quant_params, input_dims, filter_dims, bias_data,
                             output_dims);
    for (; left > 0; left -= now.count) {
        tflm_opt_taps taps;
        now.count = tflm_opt_min(left, output_dims->w - now.x);
        taps = tflm_opt_convolution_rows(conv_params, input_dims, input, filter_dims, now.y, now.x,
                                         &conv.rows);
        convolve_row(&conv, filter_data + taps.first * row, &now, output_data);
        output_data += now.count * output_dims->c;
        now.y++;
        now.x = 0;
    }
    return ARM_CMSIS_NN_SUCCESS;
}

#endif /* TFLM_OPT_DSP */
