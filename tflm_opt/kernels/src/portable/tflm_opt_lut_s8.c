#include "tflm_opt_pointwise.h"

void tflm_opt_lut_s8(const void *input, const void *table, int32_t size, void *output)
{
    const uint8_t *from = (const uint8_t *)input;
    const uint8_t *values = (const uint8_t *)table;
    uint8_t *to = (uint8_t *)output;
    const uint8_t *const rest = to + (size & 3);
    const uint8_t *const end = to + size;

    while (to != rest) {
        *to++ = values[*from++];
    }
    while (to != end) {
        to[0] = values[from[0]];
        to[1] = values[from[1]];
        to[2] = values[from[2]];
        to[3] = values[from[3]];
        from += 4;
        to += 4;
    }
}
