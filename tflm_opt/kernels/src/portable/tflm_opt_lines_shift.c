#include "tflm_opt_kernels.h"
#include "tflm_opt_lines.h"

#include <string.h>

void tflm_opt_lines_shift(const tflm_opt_lines *lines, int32_t rows, int32_t next_x,
                          int32_t made_x, int32_t bytes)
{
    const int32_t gone = (next_x - lines->front_x) * bytes;
    const int32_t left = (made_x - next_x) * bytes;
    const tflm_opt_lines_shape *shape = lines->shape;
    int8_t *front = (int8_t *)shape->front;
    int32_t slot = lines->fresh - lines->base;
    int32_t i;
    for (i = 0; i < rows; i++) {
        if (i >= rows - shape->ring_rows) {
            while (slot >= shape->ring_rows) {
                slot -= shape->ring_rows;
            }
            memcpy((int8_t *)shape->ring + slot * shape->ring_step +
                       (lines->front_x - lines->ring_x) * bytes,
                   front, (size_t)gone);
        }
        if (left > 0 && gone > 0) {
            tflm_opt_move_bytes(front, front + gone, (size_t)left);
        }
        front += shape->front_step;
        slot++;
    }
}
