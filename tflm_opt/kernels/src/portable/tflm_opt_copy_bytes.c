#include "tflm_opt_movement.h"

#define LAST (TFLM_OPT_COPY_AXES - 1)

void tflm_opt_copy_bytes(const tflm_opt_copy_params *params, const void *input, void *output)
{
    const int8_t *from = (const int8_t *)input + params->offset;
    const int32_t stride = params->strides[LAST];
    int8_t *to = (int8_t *)output;
    int32_t row;
    for (row = params->sizes[LAST - 1]; row > 0; row--) {
        const int8_t *in = from;
        int32_t i;
        for (i = params->sizes[LAST]; i > 0; i--) {
            *to++ = *in;
            in += stride;
        }
        from += params->strides[LAST - 1];
    }
}
