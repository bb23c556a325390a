/*
 * Windows for products of matrices. Those inside the image are spread out right from there, pair by
 * pair; those that hang over a side border, and pairs of different rows, are gathered first, as rows
 * of neighbouring bytes.
 */
#include "tflm_opt_gemm.h"
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP

#include "tflm_opt_dot.h"

#include <string.h>

void tflm_opt_gemm_row(tflm_opt_gemm *gemm)
{
    const int32_t in_y = gemm->y * gemm->params->stride.h - gemm->params->padding.h;
    const tflm_opt_taps taps =
        tflm_opt_window(in_y, gemm->kernel.h, gemm->params->dilation.h, gemm->input.h);
    gemm->first = taps.first;
    gemm->last = taps.last;
    gemm->limit = gemm->outer;
    if (taps.last - taps.first < gemm->kernel.h && gemm->rows.rest != 0) {
        gemm->limit = 0; /* only whole words can be padded in scratch */
    }
}

/* To the next pixel but `pixels` less 1. */
static void advance(tflm_opt_gemm *gemm, int32_t pixels)
{
    gemm->x += pixels;
    if (gemm->x == gemm->width) {
        gemm->x = 0;
        gemm->y++;
        tflm_opt_gemm_row(gemm);
    }
}

/* The column of the input where the next pixel's window begins. */
TFLM_OPT_INLINE int32_t column(const tflm_opt_gemm *gemm)
{
    return gemm->x * gemm->params->stride.w - gemm->params->padding.w;
}

/* Column in_x of row `tap` of windows, and how many rows from there on are evenly spaced. */
TFLM_OPT_APART const int8_t *find_rows(
    const tflm_opt_gemm *gemm, int32_t tap, int32_t in_x, int32_t *rows, int32_t *step)
{
    const tflm_opt_lines *lines = gemm->lines;
    const int32_t dilation = gemm->params->dilation.h;
    const int32_t y =
        gemm->y * gemm->params->stride.h - gemm->params->padding.h + tap * dilation;
    int32_t count = gemm->last - tap;
    *step = lines->shape->front_step;
    if (y < lines->fresh) {
        *step = lines->shape->ring_step;
        count = tflm_opt_min(count, (y < lines->base ? lines->base : lines->fresh) - y);
    }
    *rows = dilation == 1 ? count : tflm_opt_min(count, 1);
    return tflm_opt_pixel(lines, y, in_x, gemm->input.c) + gemm->group;
}

/* The window of the next pixel, row by row; what lies outside of the image is the zero point. */
TFLM_OPT_APART void gather(const tflm_opt_gemm *gemm, int8_t *target)
{
    const int32_t depth = gemm->kernel.c;
    const int32_t dilation = gemm->params->dilation.w;
    const int32_t in_x = column(gemm);
    const tflm_opt_taps taps = tflm_opt_window(in_x, gemm->kernel.w, dilation, gemm->input.w);
    const int32_t next = dilation * gemm->input.c;
    int32_t pieces = taps.last - taps.first;
    int32_t length = depth;
    int32_t tap = gemm->first;
    if (pieces < gemm->kernel.w || gemm->last - tap < gemm->kernel.h) {
        memset(target, -gemm->params->input_offset, (size_t)gemm->depth);
    }
    if (pieces == 0) {
        return;
    }
    if (next == depth) {
        length *= pieces;
        pieces = 1;
    }
    target += (tap * gemm->kernel.w + taps.first) * depth;
    while (tap < gemm->last) {
        int32_t rows;
        int32_t step;
        const int8_t *row = find_rows(gemm, tap, in_x + taps.first * dilation, &rows, &step);
        for (tap += rows; rows > 0; rows--) {
            int32_t i;
            for (i = 0; i < pieces; i++) {
                memcpy(target + i * depth, row + i * next, (size_t)length);
            }
            target += gemm->kernel.w * depth;
            row += step;
        }
    }
}

/* A pair of windows, all rows evenly spaced. */
TFLM_OPT_INLINE uint32_t *spread(
    const tflm_opt_gemm *gemm, uint32_t *target, const int8_t *window, ptrdiff_t second)
{
    return gemm->length == 9 ? tflm_opt_spread_nines_s8(target, window, second, &gemm->rows)
                             : tflm_opt_spread_pair_s8(target, window, second, &gemm->rows);
}

/* `words` words of padding. */
TFLM_OPT_INLINE uint32_t *pad(uint32_t *target, int32_t words)
{
    for (; words > 0; words--) {
        *target++ = 0;
    }
    return target;
}

/* A pair of neighbours whose rows lie anywhere, or above or below the image. */
TFLM_OPT_APART void spread_rows(
    tflm_opt_gemm *gemm, uint32_t *target, int32_t in_x, ptrdiff_t second)
{
    const int32_t rest_words = gemm->rows.rest_words;
    const int32_t row_words = 4 * gemm->rows.words;
    int32_t tap = gemm->first;
    target = pad(target, tap * row_words);
    while (tap < gemm->last) {
        int32_t step;
        const int8_t *window = find_rows(gemm, tap, in_x, &gemm->rows.rows, &step);
        gemm->rows.skip = step - gemm->length;
        tap += gemm->rows.rows;
        gemm->rows.rest_words = tap < gemm->kernel.h ? 0 : rest_words;
        target = spread(gemm, target, window, second);
        gemm->rows.rests += gemm->rows.rows * gemm->rows.rest;
    }
    gemm->rows.rest_words = rest_words;
    (void)pad(target, (gemm->kernel.h - tap) * row_words);
}

/* The outputs of a pair of pixels, or of one. */
TFLM_OPT_INLINE void multiply(tflm_opt_gemm *gemm, int32_t pixels)
{
    int8_t *output = gemm->output;
    gemm->tiles.second_pixel = pixels > 1 ? gemm->channels : 0;
    gemm->tiles.output = output;
    gemm->output = output + pixels * gemm->channels;
    tflm_opt_tiles_s8(&gemm->tiles, 0);
    if (gemm->narrow) {
        tflm_opt_gemm_clamp(gemm, output, pixels);
    }
}

/* Pairs of neighbours whose rows are evenly spaced; outputs of each, as all weights are there. */
TFLM_OPT_APART void multiply_pairs(
    tflm_opt_gemm *gemm, const int8_t *window, ptrdiff_t stride, int32_t pairs)
{
    gemm->rows.rests = (int8_t *)(gemm->inputs + gemm->rests);
    for (; pairs > 0; pairs--) {
        (void)spread(gemm, gemm->inputs, window, stride);
        multiply(gemm, 2);
        window += 2 * stride;
    }
}

/* Neighbours. */
static void spread_neighbours(tflm_opt_gemm *gemm, uint32_t *target, int32_t pixels)
{
    const int32_t next = gemm->params->stride.w;
    const int32_t stride = next * gemm->input.c;
    int32_t in_x = column(gemm);
    int32_t step;
    const int8_t *window = find_rows(gemm, gemm->first, in_x, &gemm->rows.rows, &step);
    const int32_t together = gemm->rows.rows == gemm->kernel.h;
    gemm->rows.skip = step - gemm->length;
    if (gemm->all && together && pixels > 1) {
        multiply_pairs(gemm, window, stride, pixels >> 1);
        return;
    }
    for (; pixels > 0; pixels -= 2) {
        const ptrdiff_t second = pixels > 1 ? stride : 0;
        gemm->rows.rests = (int8_t *)(target + gemm->rests);
        if (together) {
            (void)spread(gemm, target, window, second);
        } else {
            spread_rows(gemm, target, in_x, second);
        }
        window += 2 * stride;
        in_x += 2 * next;
        if (gemm->all) {
            multiply(gemm, tflm_opt_min(pixels, 2));
        } else {
            target += gemm->words;
        }
    }
}

/* A pair of windows, or one window twice, of whatever rows. */
static void spread_gathered(tflm_opt_gemm *gemm, uint32_t *target, int32_t pixels)
{
    const int32_t bytes = tflm_opt_gemm_round(gemm->depth);
    gather(gemm, gemm->staging);
    if (pixels > 1) {
        advance(gemm, 1);
        gather(gemm, gemm->staging + bytes);
    }
    gemm->rows.rests = (int8_t *)(target + gemm->rests);
    gemm->rows.rows = gemm->length < gemm->depth ? gemm->kernel.h : 1;
    gemm->rows.skip = 0;
    (void)spread(gemm, target, gemm->staging, pixels > 1 ? bytes : 0);
    if (gemm->all) {
        multiply(gemm, pixels);
    }
}

int32_t tflm_opt_gemm_windows(tflm_opt_gemm *gemm, uint32_t *target, int32_t pixels)
{
    int32_t count = 0;
    if (gemm->x >= gemm->inner) {
        count = tflm_opt_min(gemm->limit - gemm->x, pixels);
    }
    if (count > 1 || (count == 1 && pixels == 1)) {
        count = count == 1 ? 1 : count & ~1;
        spread_neighbours(gemm, target, count);
        advance(gemm, count);
        return count;
    }
    count = tflm_opt_min(pixels, 2);
    spread_gathered(gemm, target, count);
    advance(gemm, 1);
    return count;
}

#endif /* TFLM_OPT_DSP */
