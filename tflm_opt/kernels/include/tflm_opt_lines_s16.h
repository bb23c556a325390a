/*
 * Loops over int16 inputs of different shapes: not part of the public interface.
 */
#ifndef TFLM_OPT_LINES_S16_H
#define TFLM_OPT_LINES_S16_H

#include "tflm_opt_sum.h"

/* To the start of the next line of a broadcast, as tflm_opt_next_line; 0 after the last one. */
TFLM_OPT_INLINE int tflm_opt_next_line_s16(const tflm_opt_broadcast *shape,
                                           tflm_opt_odometer *at,
                                           const int16_t **input1,
                                           const int16_t **input2)
{
    int32_t axis;
    for (axis = TFLM_OPT_BROADCAST_AXES - 2; axis >= 0; axis--) {
        *input1 += shape->stride1[axis];
        *input2 += shape->stride2[axis];
        at->index[axis]++;
        if (at->index[axis] < shape->size[axis]) {
            return 1;
        }
        at->index[axis] = 0;
        *input1 -= shape->size[axis] * shape->stride1[axis];
        *input2 -= shape->size[axis] * shape->stride2[axis];
    }
    return 0;
}

/* All outputs of a kernel whose arguments have these names; a macro, so that OF is inlined. */
#define TFLM_OPT_BROADCAST_S16(OF)                                                                 \
    do {                                                                                           \
        const int32_t last_ = TFLM_OPT_BROADCAST_AXES - 1;                                         \
        tflm_opt_odometer at_ = {{0}};                                                             \
        do {                                                                                       \
            const int16_t *x1_ = input1_data;                                                      \
            const int16_t *x2_ = input2_data;                                                      \
            int32_t left_;                                                                         \
            for (left_ = shape->size[last_]; left_ > 0; left_--) {                                 \
                *output_data++ = OF(params, *x1_, *x2_);                                           \
                x1_ += shape->stride1[last_];                                                      \
                x2_ += shape->stride2[last_];                                                      \
            }                                                                                      \
        } while (tflm_opt_next_line_s16(shape, &at_, &input1_data, &input2_data));                 \
    } while (0)

#endif /* TFLM_OPT_LINES_S16_H */
