/*
 * Reading rows from rings: not part of the public interface.
 *
 * A window's rows lie in up to three runs of evenly spaced rows: the end of the ring, its
 * beginning, the front. A kernel walks one run after the other and so needs no test a row.
 */
#ifndef TFLM_OPT_LINES_H
#define TFLM_OPT_LINES_H

#include "tflm_opt_types.h"

#include <stddef.h>

#include "tflm_opt_math.h"

/* Evenly spaced rows; where `rows` is 0, the window ends. */
typedef struct {
    int32_t rows;
    int32_t step;   /* from one to the next */
    ptrdiff_t jump; /* from where another row would be to the first one of the next run */
} tflm_opt_run;

/* The rows of a window: pixel x of the first one lies at origin + offset + x * channels. */
typedef struct {
    const int8_t *origin;
    ptrdiff_t offset;
    tflm_opt_run runs[4];
} tflm_opt_window_rows;

/* Where pixel x of row y is, of `bytes` bytes. */
TFLM_OPT_INLINE const int8_t *tflm_opt_pixel(
    const tflm_opt_lines *lines, int32_t y, int32_t x, int32_t bytes)
{
    const tflm_opt_lines_shape *shape = lines->shape;
    if (y >= lines->fresh) {
        return shape->front + ((y - lines->fresh) * shape->front_step +
                               (x - lines->front_x) * bytes);
    }
    y -= lines->base;
    if (y < 0) {
        y += shape->ring_rows;
    }
    return shape->ring + (y * shape->ring_step + (x - lines->ring_x) * bytes);
}

/* Of `count` rows from `first` on, `dilation` apart, those that lie before row `end`. */
TFLM_OPT_INLINE int32_t tflm_opt_rows_before(
    int32_t first, int32_t dilation, int32_t count, int32_t end)
{
    int32_t found = 0;
    if (dilation == 1) {
        return tflm_opt_clamp(end - first, 0, count);
    }
    while (found < count && first < end) {
        first += dilation;
        found++;
    }
    return found;
}

/* The `count` rows from `first` on, `dilation` apart, all inside the image; x is inside too. */
TFLM_OPT_INLINE void tflm_opt_set_rows(const tflm_opt_lines *lines,
                                       int32_t first,
                                       int32_t dilation,
                                       int32_t count,
                                       int32_t x,
                                       int32_t bytes,
                                       tflm_opt_window_rows *rows)
{
    tflm_opt_run *run = rows->runs;
    const int8_t *after = NULL; /* where another row of the run before would be */
    rows->origin = lines->shape->ring;
    rows->offset = 0;
    while (count > 0) {
        const int8_t *start = tflm_opt_pixel(lines, first, x, bytes);
        int32_t found = count;
        run->step = dilation * lines->shape->ring_step;
        if (first < lines->base) {
            found = tflm_opt_rows_before(first, dilation, count, lines->base);
        } else if (first < lines->fresh) {
            found = tflm_opt_rows_before(first, dilation, count, lines->fresh);
        } else {
            run->step = dilation * lines->shape->front_step;
        }
        if (run == rows->runs) {
            rows->origin = start;
            rows->offset = -(ptrdiff_t)x * bytes;
        } else {
            run[-1].jump = start - after;
        }
        run->rows = found;
        after = start + (ptrdiff_t)found * run->step;
        run++;
        first += found * dilation;
        count -= found;
    }
    run->rows = 0;
    if (run != rows->runs) {
        run[-1].jump = 0;
    }
}

/* A whole image of these dimensions; `shape` is filled. */
TFLM_OPT_INLINE tflm_opt_lines tflm_opt_whole(
    const cmsis_nn_dims *dims, const int8_t *image, tflm_opt_lines_shape *shape)
{
    tflm_opt_lines lines;
    shape->ring = image;
    shape->front = NULL;
    shape->ring_rows = dims->h;
    shape->ring_step = dims->w * dims->c;
    shape->front_step = 0;
    lines.shape = shape;
    lines.ring_x = 0;
    lines.front_x = 0;
    lines.base = 0;
    lines.fresh = dims->h;
    return lines;
}

#endif /* TFLM_OPT_LINES_H */
