/*
 * Depthwise convolutions on Armv6-M and Armv8-M Baseline: not part of the public interface, and
 * empty on other cores.
 *
 * Plain ones only: one output channel for each of the input, no dilation, small filters. Pixel by
 * pixel and four channels at a time, so outputs come in memory order: a block is one element.
 */
#ifndef TFLM_OPT_THUMB_TAPS_H
#define TFLM_OPT_THUMB_TAPS_H

#include "tflm_opt_dot.h"
#include "tflm_opt_lines.h"
#include "tflm_opt_thumb.h"

#if TFLM_OPT_THUMB1

/* The most taps of a row, and the bytes of code for each. */
#define TFLM_OPT_THUMB_TAPS 7
#define TFLM_OPT_THUMB_TAP_BYTES 44

/*
 * Depthwise: channels four by four from `channel` on, `blocks` of them, at least one. Taps and
 * pixels lie `step` apart.
 */
typedef struct {
    const int8_t *const *rows; /* where they begin in the input; NULL after the last one */
    const int8_t *taps;        /* of the first row */
    int32_t step;
    int32_t offset;
    int32_t row_bytes; /* of code: the taps of a row times TFLM_OPT_THUMB_TAP_BYTES */
    int32_t skip;      /* from a row's last tap to the next row's first */
    int32_t channel;
    const int32_t *bias;
    int32_t bias_bytes; /* from one block to the next */
    int32_t *sums;
    int32_t blocks;
} tflm_opt_taps_of_four;

#define TFLM_OPT_THUMB_PRODUCT(place, sum)   \
    "ldrsb r6, [r0, " place "]           \n" \
    "add r6, r6, lr                      \n" \
    "ldrsb r7, [r1, " place "]           \n" \
    "muls r7, r6, r7                     \n" \
    "add " sum ", " sum ", r7            \n"

#define TFLM_OPT_THUMB_TAP              \
    TFLM_OPT_THUMB_PRODUCT("r2", "r8")  \
    TFLM_OPT_THUMB_PRODUCT("r3", "r9")  \
    TFLM_OPT_THUMB_PRODUCT("r4", "r10") \
    TFLM_OPT_THUMB_PRODUCT("r5", "r11") \
    "add r0, r0, r12                \n" \
    "add r1, r1, r12                \n"

/* The sums of channels over the rows: 5.5 instructions a product. */
__attribute__((naked, noinline, unused)) static void tflm_opt_sum_taps(
    const tflm_opt_taps_of_four *job __attribute__((unused)))
{
    __asm__ volatile(TFLM_OPT_THUMB_START
                     "sub sp, sp, #36                 \n"
                     "ldmia r0!, {r1-r7}              \n"
                     "str r1, [sp]                    \n" /* rows */
                     "str r2, [sp, #4]                \n" /* taps */
                     "mov r12, r3                     \n"
                     "mov lr, r4                      \n"
                     "adr r3, 7f                      \n"
                     "subs r3, r3, r5                 \n"
                     "str r3, [sp, #8]                \n" /* where a row's code begins */
                     "str r6, [sp, #12]               \n" /* skip */
                     "movs r2, r7                     \n"
                     "adds r3, r2, #1                 \n"
                     "adds r4, r2, #2                 \n"
                     "adds r5, r2, #3                 \n"
                     "ldmia r0!, {r1, r6, r7}         \n"
                     "ldr r0, [r0]                    \n"
                     "str r1, [sp, #16]               \n" /* bias */
                     "str r6, [sp, #20]               \n" /* bias_bytes */
                     "str r7, [sp, #24]               \n" /* sums */
                     "str r0, [sp, #28]               \n" /* blocks */
                     "1:                              \n"
                     "ldr r6, [sp, #16]               \n"
                     "ldr r7, [sp, #20]               \n"
                     "adds r7, r7, r6                 \n"
                     "str r7, [sp, #16]               \n"
                     "ldmia r6!, {r0, r1, r7}         \n"
                     "mov r8, r0                      \n"
                     "mov r9, r1                      \n"
                     "mov r10, r7                     \n"
                     "ldr r6, [r6]                    \n"
                     "mov r11, r6                     \n"
                     "ldr r1, [sp, #4]                \n"
                     "ldr r6, [sp]                    \n"
                     "b 3f                            \n"
                     "2:                              \n" /* a block's last row is done */
                     "ldr r7, [sp, #24]               \n"
                     "mov r0, r8                      \n"
                     "mov r1, r9                      \n"
                     "stmia r7!, {r0, r1}             \n"
                     "mov r0, r10                     \n"
                     "mov r1, r11                     \n"
                     "stmia r7!, {r0, r1}             \n"
                     "str r7, [sp, #24]               \n"
                     "adds r2, r2, #4                 \n"
                     "adds r3, r3, #4                 \n"
                     "adds r4, r4, #4                 \n"
                     "adds r5, r5, #4                 \n"
                     "ldr r7, [sp, #28]               \n"
                     "subs r7, r7, #1                 \n"
                     "str r7, [sp, #28]               \n"
                     "bne 1b                          \n"
                     "add sp, sp, #36                 \n"
                     TFLM_OPT_THUMB_END
                     "3:                              \n"
                     "ldmia r6!, {r0}                 \n"
                     "str r6, [sp, #32]               \n" /* the next row */
                     "cmp r0, #0                      \n"
                     "beq 2b                          \n"
                     "ldr r7, [sp, #8]                \n"
                     "mov pc, r7                      \n"
                     ".balign 4                       \n"
                     TFLM_OPT_THUMB_TAP
                     TFLM_OPT_THUMB_TAP
                     TFLM_OPT_THUMB_TAP
                     TFLM_OPT_THUMB_TAP
                     TFLM_OPT_THUMB_TAP
                     TFLM_OPT_THUMB_TAP
                     TFLM_OPT_THUMB_TAP
                     "7:                              \n"
                     "ldr r6, [sp, #12]               \n"
                     "adds r1, r1, r6                 \n"
                     "ldr r6, [sp, #32]               \n"
                     "b 3b                            \n");
}

#define TFLM_OPT_PLAIN_ROWS 7  /* of a filter, at most */
#define TFLM_OPT_PLAIN_SUMS 32 /* channels between two rounds of scaling */

/* The windows of a span. */
typedef struct {
    const tflm_opt_channels *channels;
    int32_t count; /* of channels */
    int32_t width; /* of the filter */
    int32_t input_width;
    int32_t row_count; /* rows of taps inside the input */
    int32_t columns;   /* of taps inside, of one window */
    const int8_t *starts[TFLM_OPT_PLAIN_ROWS];   /* the rows at column 0 of the input */
    const int8_t *rows[TFLM_OPT_PLAIN_ROWS + 1]; /* at a window's first column inside; then NULL */
    tflm_opt_taps_of_four job;
} tflm_opt_plain;

/* Whether a convolution is one, with some of its rows of taps inside the input. */
TFLM_OPT_INLINE int tflm_opt_is_plain(const cmsis_nn_dw_conv_params *params,
                                      const cmsis_nn_dims *filter,
                                      int32_t count,
                                      int32_t row_count)
{
    return params->ch_mult == 1 && params->dilation.w == 1 && row_count <= TFLM_OPT_PLAIN_ROWS &&
           filter->w <= TFLM_OPT_THUMB_TAPS && count >= TFLM_OPT_BLOCK;
}

/* The rows of all windows. */
TFLM_OPT_INLINE void tflm_opt_set_plain(tflm_opt_plain *plain, const tflm_opt_window_rows *rows)
{
    const int8_t *row = rows->origin + rows->offset;
    const tflm_opt_run *run;
    int32_t y;
    plain->row_count = 0;
    for (run = rows->runs; run->rows > 0; run++) {
        for (y = run->rows; y > 0; y--) {
            plain->starts[plain->row_count++] = row;
            row += run->step;
        }
        row += run->jump;
    }
    plain->job.rows = plain->rows;
    plain->job.step = plain->count;
    plain->job.offset = plain->channels->input_offset;
    plain->job.bias_bytes =
        TFLM_OPT_BLOCK * plain->channels->bias_step * (int32_t)sizeof(int32_t);
}

/* The window that begins at column in_x; `taps` are those of the first row inside. */
TFLM_OPT_INLINE void tflm_opt_plain_window(tflm_opt_plain *plain, int32_t in_x, const int8_t *taps)
{
    tflm_opt_taps columns;
    int32_t rows = 0;
    columns.first = 0;
    columns.last = plain->width;
    if (in_x < 0 || in_x + plain->width > plain->input_width) {
        columns = tflm_opt_window(in_x, plain->width, 1, plain->input_width);
    }
    plain->columns = columns.last - columns.first;
    if (plain->columns > 0) {
        const int32_t from = (in_x + columns.first) * plain->count;
        for (; rows < plain->row_count; rows++) {
            plain->rows[rows] = plain->starts[rows] + from;
        }
    }
    plain->rows[rows] = NULL;
    plain->job.taps = taps + columns.first * plain->count;
    plain->job.row_bytes = plain->columns * TFLM_OPT_THUMB_TAP_BYTES;
    plain->job.skip = (plain->width - plain->columns) * plain->count;
}

/* The sum of one channel. */
TFLM_OPT_APART int32_t tflm_opt_plain_sum(const tflm_opt_plain *plain, int32_t channel, int32_t sum)
{
    const int32_t step = plain->count;
    const int8_t *tap = plain->job.taps + channel;
    const int8_t *const *row;
    int32_t x;
    for (row = plain->rows; *row != NULL; row++) {
        const int8_t *in = *row + channel;
        for (x = plain->columns; x > 0; x--) {
            sum += (*in + plain->job.offset) * *tap;
            in += step;
            tap += step;
        }
        tap += plain->job.skip;
    }
    return sum;
}

/* All channels of one output pixel. */
TFLM_OPT_APART void tflm_opt_plain_pixel(tflm_opt_plain *plain, int8_t *output)
{
    const tflm_opt_channels *channels = plain->channels;
    int32_t done;
    for (done = 0; done < plain->count; done += TFLM_OPT_PLAIN_SUMS) {
        const int32_t some = tflm_opt_min(plain->count - done, TFLM_OPT_PLAIN_SUMS);
        const int32_t *bias = channels->bias + done * channels->bias_step;
        int32_t sums[TFLM_OPT_PLAIN_SUMS];
        int32_t i = some & ~(TFLM_OPT_BLOCK - 1);
        if (i > 0) {
            plain->job.blocks = some / TFLM_OPT_BLOCK;
            plain->job.channel = done;
            plain->job.bias = bias;
            plain->job.sums = sums;
            tflm_opt_sum_taps(&plain->job);
        }
        for (; i < some; i++) {
            sums[i] = tflm_opt_plain_sum(plain, done + i, bias[i * channels->bias_step]);
        }
        tflm_opt_write_requantized(sums, some, channels->multiplier + done, channels->shift + done,
                                   1, channels->output_offset, output + done);
    }
    tflm_opt_clamp_line(channels->activation, output, plain->count);
}

/* `pixels` of them, the first one's window at column in_x; `taps` as above. */
TFLM_OPT_INLINE void tflm_opt_plain_span(tflm_opt_plain *plain,
                                         const tflm_opt_window_rows *rows,
                                         const int8_t *taps,
                                         int32_t in_x,
                                         int32_t stride,
                                         int32_t pixels,
                                         int8_t *output)
{
    tflm_opt_set_plain(plain, rows);
    for (; pixels > 0; pixels--) {
        tflm_opt_plain_window(plain, in_x, taps);
        tflm_opt_plain_pixel(plain, output);
        output += plain->count;
        in_x += stride;
    }
}

#endif /* TFLM_OPT_THUMB1 */

#endif /* TFLM_OPT_THUMB_TAPS_H */
