/*
 * Walks over the windows of pooling: not part of the public interface.
 *
 *     tflm_opt_pool pool;
 *     status = tflm_opt_pool_lines(…, average_window, …);
 *
 * calls average_window(&pool, pixel, output) for each pixel, which goes through its elements with
 * TFLM_OPT_POOL_EACH. What a window looks like is worked out anew only where it changes: at the
 * image's borders.
 */
#ifndef TFLM_OPT_POOL_H
#define TFLM_OPT_POOL_H

#include "tflm_opt_dot.h"
#include "tflm_opt_mean.h"
#include "tflm_opt_types.h"

/* Rows of `columns` pixels each. Rows that touch are one. The last one has no `rows`. */
typedef struct {
    int32_t rows;
    int32_t columns;
    ptrdiff_t skip; /* from the end of a row to the next */
    ptrdiff_t jump; /* from there to the next rows */
} tflm_opt_pool_rows;

typedef struct {
    tflm_opt_pool_rows rows[4];
    int32_t channels;
    int32_t count; /* elements of a channel in a window */
    tflm_opt_mean mean;
    cmsis_nn_activation activation;
} tflm_opt_pool;

typedef void tflm_opt_pool_window(const tflm_opt_pool *pool, const int8_t *pixel, int8_t *output);

/* BODY for each pixel of a window, with `in` on a channel of it. */
#define TFLM_OPT_POOL_EACH(pool, in, body)                                                         \
    do {                                                                                           \
        const tflm_opt_pool_rows *rows_ = (pool)->rows;                                            \
        do {                                                                                       \
            int32_t left_ = rows_->rows;                                                           \
            do {                                                                                   \
                int32_t column_ = rows_->columns;                                                  \
                do {                                                                               \
                    body;                                                                          \
                    (in) += (pool)->channels;                                                      \
                } while (--column_ != 0);                                                          \
                (in) += rows_->skip;                                                               \
            } while (--left_ != 0);                                                                \
            (in) += rows_->jump;                                                                   \
            rows_++;                                                                               \
        } while (rows_->rows != 0);                                                                \
    } while (0)

/* Windows of so many columns: `pool` is filled. */
TFLM_OPT_APART void tflm_opt_set_pool(const tflm_opt_run *run, int32_t columns, tflm_opt_pool *pool)
{
    const int32_t length = columns * pool->channels;
    tflm_opt_pool_rows *to = pool->rows;
    pool->count = 0;
    for (; run->rows > 0; run++) {
        pool->count += columns * run->rows;
        to->rows = run->rows;
        to->columns = columns;
        to->skip = run->step - length;
        to->jump = run->jump;
        if (to->skip == 0) {
            to->columns *= to->rows;
            to->rows = 1;
        }
        to++;
    }
    to->rows = 0;
    if (pool->count > 0) {
        pool->mean = tflm_opt_mean_of(pool->count);
    }
}

/* `window` for each pixel of a span. ARM_CMSIS_NN_ARG_ERROR where a window has no elements. */
TFLM_OPT_INLINE arm_cmsis_nn_status tflm_opt_pool_lines(const cmsis_nn_pool_params *params,
                                                        const cmsis_nn_dims *input_dims,
                                                        const tflm_opt_lines *input,
                                                        const cmsis_nn_dims *filter_dims,
                                                        const tflm_opt_span *span,
                                                        tflm_opt_pool_window *window,
                                                        int8_t *output)
{
    const int32_t in_y = span->y * params->stride.h - params->padding.h;
    const tflm_opt_taps taps = tflm_opt_window(in_y, filter_dims->h, 1, input_dims->h);
    int32_t in_x = span->x * params->stride.w - params->padding.w;
    int32_t known = 0; /* columns of the window that `pool` has */
    tflm_opt_window_rows rows;
    tflm_opt_pool pool;
    int32_t x;
    tflm_opt_set_rows(input, in_y + taps.first, 1, taps.last - taps.first, tflm_opt_max(in_x, 0),
                      input_dims->c, &rows);
    pool.channels = input_dims->c;
    pool.activation = params->activation;
    for (x = 0; x < span->count; x++) {
        const int32_t first = tflm_opt_max(in_x, 0);
        const int32_t columns = tflm_opt_min(in_x + filter_dims->w, input_dims->w) - first;
        if (columns != known) {
            if (columns <= 0 || taps.last <= taps.first) {
                return ARM_CMSIS_NN_ARG_ERROR;
            }
            tflm_opt_set_pool(rows.runs, columns, &pool);
            known = columns;
        }
        window(&pool, rows.origin + rows.offset + first * input_dims->c, output);
        output += input_dims->c;
        in_x += params->stride.w;
    }
    return ARM_CMSIS_NN_SUCCESS;
}

#endif /* TFLM_OPT_POOL_H */
