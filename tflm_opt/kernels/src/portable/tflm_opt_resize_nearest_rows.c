#include <stddef.h>
#include "tflm_opt_movement.h"

void tflm_opt_resize_nearest_rows(const tflm_opt_nearest_params *params, const void *input,
                                  void *output)
{
    const int32_t row = params->input_width * params->pixel;
    const int32_t last = params->input_rows - 1;
    int8_t *to = (int8_t *)output;
    int32_t y;
    int32_t x;

    for (y = 0; y < params->output_rows; ++y) {
        const int32_t place = (y * params->step + params->start) / params->unit;
        const int8_t *from = (const int8_t *)input + (place < last ? place : last) * row;
        for (x = 0; x < params->width; ++x) {
            /* not memcpy: input and output may overlap */
            tflm_opt_move_bytes(to, from + params->columns[x], (size_t)params->pixel);
            to += params->pixel;
        }
    }
}
