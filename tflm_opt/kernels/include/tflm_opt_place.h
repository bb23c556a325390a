/*
 * Where windows lie: not part of the public interface.
 */
#ifndef TFLM_OPT_PLACE_H
#define TFLM_OPT_PLACE_H

#include "tflm_opt_dot.h"

/* Windows over images that are whole and lie row by row. */
typedef struct {
    const cmsis_nn_tile *stride;
    const cmsis_nn_tile *padding;
    const cmsis_nn_tile *dilation;
    const cmsis_nn_dims *input;
    const cmsis_nn_dims *filter;
} tflm_opt_windows;

/* The part of a window that lies inside the input; steps are in elements, and from tap to tap. */
typedef struct {
    int32_t pixel; /* from the image's start to the first element inside */
    int32_t tap;   /* that element's tap, counted row by row */
    int32_t rows;
    int32_t columns;
    int32_t row_step;
    int32_t column_step;
} tflm_opt_inside;

/* That of output row y, column x. */
TFLM_OPT_INLINE tflm_opt_inside tflm_opt_place(const tflm_opt_windows *windows,
                                               int32_t y,
                                               int32_t x)
{
    const cmsis_nn_dims *input = windows->input;
    const int32_t in_y = y * windows->stride->h - windows->padding->h;
    const int32_t in_x = x * windows->stride->w - windows->padding->w;
    const tflm_opt_taps rows =
        tflm_opt_window(in_y, windows->filter->h, windows->dilation->h, input->h);
    const tflm_opt_taps columns =
        tflm_opt_window(in_x, windows->filter->w, windows->dilation->w, input->w);
    tflm_opt_inside inside;
    inside.pixel = 0;
    inside.tap = 0;
    inside.rows = rows.last - rows.first;
    inside.columns = columns.last - columns.first;
    inside.row_step = windows->dilation->h * input->w * input->c;
    inside.column_step = windows->dilation->w * input->c;
    if (inside.rows > 0 && inside.columns > 0) {
        const int32_t first_y = in_y + rows.first * windows->dilation->h;
        const int32_t first_x = in_x + columns.first * windows->dilation->w;
        inside.pixel = (first_y * input->w + first_x) * input->c;
        inside.tap = rows.first * windows->filter->w + columns.first;
    }
    return inside;
}

#endif /* TFLM_OPT_PLACE_H */
