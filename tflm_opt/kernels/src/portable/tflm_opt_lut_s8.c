#include "tflm_opt_pointwise.h"

void tflm_opt_lut_s8(const void *input, const void *table, int32_t size, void *output)
{
    const uint8_t *from = (const uint8_t *)input;
    const uint8_t *values = (const uint8_t *)table;
    uint8_t *to = (uint8_t *)output;
    int32_t i;

    for (i = 0; i < size; ++i) {
        to[i] = values[from[i]];
    }
}
