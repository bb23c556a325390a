#include <stddef.h>
#include "tflm_opt_movement.h"

#define LAST (TFLM_OPT_COPY_AXES - 1)

static int32_t place(const tflm_opt_copy_params *params, int32_t axis, int32_t index)
{
    const int32_t *table = params->tables[axis];
    return table != NULL ? table[index] : index * params->strides[axis];
}

static int8_t *copy_bytes(const tflm_opt_copy_params *params, const int8_t *from, int8_t *to)
{
    const int32_t size = params->sizes[LAST];
    const int32_t stride = params->strides[LAST];
    int32_t i;

    for (i = 0; i < size; ++i) {
        *to++ = *from;
        from += stride;
    }
    return to;
}

static int8_t *copy_blocks(const tflm_opt_copy_params *params, const int8_t *from, int8_t *to)
{
    const size_t block = (size_t)params->block;
    int32_t i;

    for (i = 0; i < params->sizes[LAST]; ++i) {
        /* not memcpy: input and output may overlap */
        tflm_opt_move_bytes(to, from + place(params, LAST, i), block);
        to += block;
    }
    return to;
}

void tflm_opt_copy_nd(const tflm_opt_copy_params *params, const void *input, void *output)
{
    const int8_t *from = (const int8_t *)input + params->offset;
    int8_t *to = (int8_t *)output;
    int32_t index[LAST] = {0};
    int32_t axis;

    do {
        int32_t offset = 0;
        for (axis = 0; axis < LAST; ++axis) {
            offset += place(params, axis, index[axis]);
        }
        if (params->block == 1 && params->tables[LAST] == NULL) {
            to = copy_bytes(params, from + offset, to);
        } else {
            to = copy_blocks(params, from + offset, to);
        }
        for (axis = LAST - 1; axis >= 0; --axis) {
            if (++index[axis] < params->sizes[axis]) {
                break;
            }
            index[axis] = 0;
        }
    } while (axis >= 0);
}
