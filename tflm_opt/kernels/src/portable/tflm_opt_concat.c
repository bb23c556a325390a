#include "tflm_opt_movement.h"

void tflm_opt_concat(const int8_t *const *inputs, const int32_t *runs, int32_t count,
                     int32_t outer, void *output)
{
    int8_t *to = (int8_t *)output;
    int32_t i;
    int32_t k;

    for (k = 0; k < outer; ++k) {
        for (i = 0; i < count; ++i) {
            /* not memcpy: an input may already lie where it belongs */
            tflm_opt_move_bytes(to, inputs[i] + k * runs[i], (size_t)runs[i]);
            to += runs[i];
        }
    }
}
