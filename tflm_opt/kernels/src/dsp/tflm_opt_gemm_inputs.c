/*
 * Windows for products of matrices. Those inside the image are spread out right from there, pair by
 * pair, and so are those that hang over a side border where what then is read beside the image's rows
 * is its other rows: it is cleared. Others, and pairs of different rows, are gathered first, as rows of
 * neighbouring bytes.
 */
#include "tflm_opt_gemm.h"
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP

#include "tflm_opt_dot.h"
#include "tflm_opt_movement.h"

#include <string.h>

/*
 * Where column 0 of row `tap` of windows is, which is in the image, and how many rows from there on are
 * evenly spaced.
 */
static TFLM_OPT_SMALL const int8_t *find_rows(
    const tflm_opt_gemm *gemm, int32_t tap, int32_t *rows, int32_t *step)
{
    const tflm_opt_lines *lines = gemm->lines;
    const int32_t dilation = gemm->params->dilation.h;
    const int32_t y =
        gemm->y * gemm->params->stride.h - gemm->params->padding.h + tap * dilation;
    int32_t count = gemm->last - tap;
    *step = dilation * lines->shape->front_step;
    if (y < lines->fresh) {
        const int32_t end = y < lines->base ? lines->base : lines->fresh;
        *step = dilation * lines->shape->ring_step;
        count = tflm_opt_min(count, (end - y + dilation - 1) / dilation);
    }
    *rows = count;
    return tflm_opt_pixel(lines, y, 0, gemm->input.c) + gemm->group;
}

TFLM_OPT_SMALL void tflm_opt_gemm_row(tflm_opt_gemm *gemm)
{
    const int32_t in_y = gemm->y * gemm->params->stride.h - gemm->params->padding.h;
    const tflm_opt_taps taps =
        tflm_opt_window(in_y, gemm->kernel.h, gemm->params->dilation.h, gemm->input.h);
    gemm->first = taps.first;
    gemm->last = taps.last;
    gemm->row = find_rows(gemm, taps.first, &gemm->row_count, &gemm->row_step);
}

/* To the next row, where the last one's pixels are done. */
static TFLM_OPT_SMALL void next_row(tflm_opt_gemm *gemm)
{
    const int32_t stride = gemm->params->stride.h;
    const int32_t in_y = gemm->y * stride - gemm->params->padding.h;
    gemm->x = 0;
    gemm->y++;
    if (gemm->whole && in_y >= 0 && in_y + stride + gemm->reach <= gemm->input.h) {
        gemm->row += stride * gemm->lines->shape->ring_step;
    } else {
        tflm_opt_gemm_row(gemm);
    }
}

/* The column of the input where the next pixel's window begins. */
TFLM_OPT_INLINE int32_t in_column(const tflm_opt_gemm *gemm)
{
    return gemm->x * gemm->params->stride.w - gemm->params->padding.w;
}

/* Columns of a window that are in the image. */
TFLM_OPT_SMALL TFLM_OPT_APART tflm_opt_taps columns_at(const tflm_opt_gemm *gemm, int32_t in_x)
{
    return tflm_opt_window(in_x, gemm->kernel.w, gemm->params->dilation.w, gemm->input.w);
}

/* Padding in place of a pair of windows: a multiple of 4 words. */
TFLM_OPT_INLINE void clear_pair(uint32_t *word, const uint32_t *end)
{
    __asm__ volatile(".syntax unified\n\t"
                     "movs r2, #0\n\t"
                     "movs r3, #0\n\t"
                     "movs r4, #0\n\t"
                     "movs r5, #0\n"
                     "1:\n\t"
                     "stmia %0!, {r2, r3, r4, r5}\n\t"
                     "cmp %0, %1\n\t"
                     "bne 1b"
                     : "+l"(word)
                     : "r"(end)
                     : "r2", "r3", "r4", "r5", "cc", "memory");
}

/*
 * The window of the next pixel, row by row; what lies outside of the image is the zero point. Where taps
 * are pieces, a pair of windows that miss the same ones, `second` bytes apart, spread out.
 */
TFLM_OPT_SMALL TFLM_OPT_APART void gather(tflm_opt_gemm *gemm, int8_t *target, ptrdiff_t second)
{
    const int32_t depth = gemm->kernel.c;
    const int32_t dilation = gemm->params->dilation.w;
    const int32_t in_x = in_column(gemm);
    const tflm_opt_taps taps = columns_at(gemm, in_x);
    const int32_t next = dilation * gemm->input.c;
    const int32_t wide = second >= 0 ? 4 * depth : depth; /* bytes of a tap */
    int32_t pieces = taps.last - taps.first;
    int32_t length = depth;
    const int8_t *row = gemm->row;
    int32_t rows = gemm->row_count;
    int32_t step = gemm->row_step;
    int32_t tap = gemm->first;
    if (pieces < gemm->kernel.w || gemm->last - tap < gemm->kernel.h) {
        if (second >= 0) {
            uint32_t *const words = (uint32_t *)(void *)target;
            clear_pair(words, words + gemm->words);
        } else {
            memset(target, -gemm->params->input_offset, (size_t)gemm->depth);
        }
    }
    if (pieces == 0) {
        return;
    }
    gemm->rows.rows = pieces;
    gemm->rows.skip = next - depth;
    if (next == depth) {
        length *= pieces;
        pieces = 1;
    }
    target += (tap * gemm->kernel.w + taps.first) * wide;
    row += (in_x + taps.first * dilation) * gemm->input.c;
    for (;;) {
        for (tap += rows; rows > 0; rows--) {
            if (second >= 0) {
                (void)tflm_opt_spread_pair_s8((uint32_t *)(void *)target, row, second, &gemm->rows);
            } else {
                int32_t i;
                for (i = 0; i < pieces; i++) {
                    tflm_opt_move_bytes(target + i * depth, row + i * next, (size_t)length);
                }
            }
            target += gemm->kernel.w * wide;
            row += step;
        }
        if (tap == gemm->last) {
            break;
        }
        row = find_rows(gemm, tap, &rows, &step) + (in_x + taps.first * dilation) * gemm->input.c;
    }
}

/* A pair of windows, all rows evenly spaced. */
TFLM_OPT_APART uint32_t *spread(
    const tflm_opt_gemm *gemm, uint32_t *target, const int8_t *window, ptrdiff_t second)
{
    return gemm->length == 9 ? tflm_opt_spread_nines_s8(target, window, second, &gemm->rows)
                             : tflm_opt_spread_pair_s8(target, window, second, &gemm->rows);
}

/*
 * A pair of neighbours whose rows lie anywhere, or above or below the image: those are padding, of
 * which the staging area has a row.
 */
TFLM_OPT_SMALL TFLM_OPT_APART void spread_rows(
    tflm_opt_gemm *gemm, uint32_t *target, ptrdiff_t column, ptrdiff_t second)
{
    const int32_t rest_words = gemm->rows.rest_words;
    tflm_opt_gemm_rows *rows = &gemm->rows;
    int32_t tap = 0;
    while (tap < gemm->kernel.h) {
        const int inside = tap >= gemm->first && tap < gemm->last;
        const int8_t *window = gemm->staging;
        int32_t step = 0;
        rows->rows = (tap < gemm->first ? gemm->first : gemm->kernel.h) - tap;
        if (inside && tap == gemm->first) {
            window = gemm->row + column;
            rows->rows = gemm->row_count;
            step = gemm->row_step;
        } else if (inside) {
            window = find_rows(gemm, tap, &rows->rows, &step) + column;
        }
        rows->skip = step - gemm->length;
        tap += rows->rows;
        rows->rest_words = tap < gemm->kernel.h ? 0 : rest_words;
        target = spread(gemm, target, window, inside ? second : 0);
        rows->rests += rows->rows * rows->rest;
    }
    rows->rest_words = rest_words;
}

/* The outputs of a pair of pixels, or of one. */
TFLM_OPT_SMALL TFLM_OPT_APART void multiply(tflm_opt_gemm *gemm, int32_t pixels)
{
    int8_t *output = gemm->output + gemm->form.last_pair;
    gemm->output += pixels * gemm->channels;
    if (pixels > 1) {
        gemm->tiles.at.pixels[0] = output + gemm->channels;
        gemm->tiles.at.pixels[1] = output;
        tflm_opt_tiles_s8(&gemm->tiles, 0);
    } else {
        gemm->alone.output = output;
        tflm_opt_alone_s8(&gemm->alone, gemm->weights, 0);
    }
}

/* One or more pairs of neighbours with evenly spaced rows, and their outputs: all weights are there. */
TFLM_OPT_APART void multiply_pairs(
    tflm_opt_gemm *gemm, const int8_t *window, ptrdiff_t stride, int32_t pairs)
{
    const int32_t step = 2 * gemm->channels;
    const int32_t next = gemm->channels;
    int8_t *output = gemm->output + gemm->form.last_pair;
    gemm->output += pairs * step;
    gemm->rows.rests = (int8_t *)(gemm->inputs + gemm->rests);
    if (gemm->length == 9) {
        do {
            (void)tflm_opt_spread_nines_s8(gemm->inputs, window, stride, &gemm->rows);
            gemm->tiles.at.pixels[0] = output + next;
            gemm->tiles.at.pixels[1] = output;
            tflm_opt_tiles_s8(&gemm->tiles, 0);
            output += step;
            window += 2 * stride;
        } while (--pairs > 0);
    } else {
        do {
            (void)tflm_opt_spread_pair_s8(gemm->inputs, window, stride, &gemm->rows);
            gemm->tiles.at.pixels[0] = output + next;
            gemm->tiles.at.pixels[1] = output;
            tflm_opt_tiles_s8(&gemm->tiles, 0);
            output += step;
            window += 2 * stride;
        } while (--pairs > 0);
    }
}

/* Neighbours. */
static TFLM_OPT_SMALL void spread_neighbours(tflm_opt_gemm *gemm, uint32_t *target, int32_t pixels)
{
    const int32_t stride = gemm->params->stride.w * gemm->input.c;
    const int together = gemm->row_count == gemm->kernel.h;
    ptrdiff_t column = in_column(gemm) * gemm->input.c;
    if (together) {
        gemm->rows.rows = gemm->row_count;
        gemm->rows.skip = gemm->row_step - gemm->length;
        if (gemm->all && pixels > 1) {
            multiply_pairs(gemm, gemm->row + column, stride, pixels >> 1);
            column += (pixels & ~1) * stride;
            pixels &= 1;
        }
    } else {
        memset(gemm->staging, -gemm->params->input_offset, (size_t)gemm->length);
    }
    for (; pixels > 0; pixels -= 2) {
        const ptrdiff_t second = pixels > 1 ? stride : 0;
        gemm->rows.rests = (int8_t *)(target + gemm->rests);
        if (together) {
            (void)spread(gemm, target, gemm->row + column, second);
        } else {
            spread_rows(gemm, target, column, second);
        }
        column += 2 * stride;
        if (gemm->all) {
            multiply(gemm, tflm_opt_min(pixels, 2));
        } else {
            target += gemm->words;
        }
    }
}

/* Whether the next pixels are neighbours of which none has taps that the other misses. */
TFLM_OPT_INLINE int are_alike(const tflm_opt_gemm *gemm, int32_t pixels, int32_t stride)
{
    const int32_t in_x = in_column(gemm);
    const tflm_opt_taps taps = columns_at(gemm, in_x);
    const tflm_opt_taps other = columns_at(gemm, in_x + stride);
    return gemm->x + pixels <= gemm->width && taps.first == other.first && taps.last == other.last;
}

/* A pair of windows, or one window twice, of whatever rows. */
static TFLM_OPT_SMALL void spread_gathered(tflm_opt_gemm *gemm, uint32_t *target, int32_t pixels)
{
    const int32_t stride = pixels > 1 ? gemm->params->stride.w : 0;
    int32_t bytes = 0;
    if (gemm->apart && are_alike(gemm, pixels, stride)) {
        gather(gemm, (int8_t *)target, stride * gemm->input.c);
        gemm->x += pixels - 1;
    } else {
        gather(gemm, gemm->staging, -1);
        if (pixels > 1) {
            bytes = tflm_opt_gemm_round(gemm->depth);
            if (++gemm->x == gemm->width) {
                next_row(gemm);
            }
            gather(gemm, gemm->staging + bytes, -1);
        }
        gemm->rows.rests = (int8_t *)(target + gemm->rests);
        gemm->rows.rows = gemm->pieces;
        gemm->rows.skip = 0;
        (void)spread(gemm, target, gemm->staging, bytes);
    }
    if (gemm->all) {
        multiply(gemm, pixels);
    }
}

/* Clears bytes `at` to `end` of what is spread out from `target` on: each is a half now. */
TFLM_OPT_INLINE void clear_bytes(uint32_t *target, int32_t at, int32_t end)
{
    if (((at | end) & 3) == 0) {
        for (target += at; at < end; at += 4) {
            target[0] = 0;
            target[1] = 0;
            target += 4;
        }
    }
    for (; at < end; at++) {
        const uint16_t none = 0;
        memcpy((char *)target + 4 * at - 3 * (at & 2), &none, sizeof none);
    }
}

/* Clears columns of a window of a pair, which is spread out from `target` on. */
TFLM_OPT_APART void clear_columns(const tflm_opt_gemm *gemm,
                                  uint32_t *target,
                                  int32_t first,
                                  int32_t count)
{
    const int32_t whole = 4 * gemm->rows.words;
    const int32_t at = first * gemm->kernel.c;
    const int32_t end = at + count * gemm->kernel.c;
    uint32_t *rests = target + whole * gemm->kernel.h;
    int32_t rest = -whole;
    int32_t rows;
    for (rows = gemm->kernel.h; rows > 0; rows--) {
        clear_bytes(target, at, tflm_opt_min(end, whole));
        if (end > whole) {
            clear_bytes(rests, rest + tflm_opt_max(at, whole), rest + end);
            rest += gemm->rows.rest;
        }
        target += whole;
    }
}

/* A pair of neighbours of which one hangs over a side border; 0 where it must be gathered. */
static TFLM_OPT_SMALL int spread_at_border(tflm_opt_gemm *gemm, uint32_t *target)
{
    const int32_t stride = gemm->params->stride.w;
    const int32_t width = gemm->kernel.w;
    const int32_t in_y = gemm->y * gemm->params->stride.h - gemm->params->padding.h;
    int32_t left = -in_column(gemm);
    int32_t right = width - left - gemm->input.w;
    int32_t i;
    if (!gemm->beside || gemm->x + 1 >= gemm->width || gemm->row_count != gemm->kernel.h ||
        left > width || right + stride > width || in_y < (left > 0) ||
        in_y + gemm->kernel.h + (right + stride > 0) > gemm->input.h) {
        return 0;
    }
    gemm->rows.rests = (int8_t *)(target + gemm->rests);
    gemm->rows.rows = gemm->row_count;
    gemm->rows.skip = gemm->row_step - gemm->length;
    (void)spread(gemm, target, gemm->row - left * gemm->input.c, stride * gemm->input.c);
    for (i = 0; i < 2; i++) {
        if (left > 0) {
            clear_columns(gemm, target + 2 * i, 0, left);
        }
        if (right > 0) {
            clear_columns(gemm, target + 2 * i, width - right, right);
        }
        left -= stride;
        right += stride;
    }
    if (gemm->all) {
        multiply(gemm, 2);
    }
    return 1;
}

TFLM_OPT_SMALL int32_t tflm_opt_gemm_windows(tflm_opt_gemm *gemm, uint32_t *target, int32_t pixels)
{
    int8_t *output = gemm->output;
    int32_t count = 0;
    int32_t last = 1; /* pixels that are behind the next one when it is done */
    if (gemm->x == gemm->width) {
        next_row(gemm);
    }
    if (gemm->x >= gemm->inner) {
        count = tflm_opt_min(gemm->outer - gemm->x, pixels);
    }
    if (count > 1 || (count == 1 && pixels == 1)) {
        count = count == 1 ? 1 : count & ~1;
        spread_neighbours(gemm, target, count);
        last = count;
    } else if (pixels > 1 && spread_at_border(gemm, target)) {
        count = 2;
        last = 2;
    } else {
        count = tflm_opt_min(pixels, 2);
        spread_gathered(gemm, target, count);
    }
    gemm->x += last;
    if (gemm->all && gemm->narrow) {
        tflm_opt_gemm_clamp(gemm, output, count);
    }
    return count;
}

#endif /* TFLM_OPT_DSP */
