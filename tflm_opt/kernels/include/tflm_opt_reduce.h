/*
 * Loops over reductions: not part of the public interface.
 */
#ifndef TFLM_OPT_REDUCE_H
#define TFLM_OPT_REDUCE_H

#include "tflm_opt_math.h"
#include "tflm_opt_types.h"

/* Elements that each output is made of. */
TFLM_OPT_INLINE int32_t tflm_opt_reduced_count(const tflm_opt_reduction *shape)
{
    return shape->reduced[0] * shape->reduced[1] * shape->reduced[2];
}

/* The fold of a sum. */
TFLM_OPT_INLINE int32_t tflm_opt_take_sum(int32_t a, int32_t b)
{
    return a + b;
}

/*
 * FOLD over the elements of one output, from `start`; a macro, so that the combining function is
 * inlined.
 */
#define TFLM_OPT_REDUCE(value, start, shape, input, fold)                                          \
    do {                                                                                           \
        int32_t i0_;                                                                               \
        int32_t i1_;                                                                               \
        int32_t i2_;                                                                               \
        const int8_t *p0_ = (input);                                                               \
        (value) = (start);                                                                         \
        for (i0_ = 0; i0_ < (shape)->reduced[0]; i0_++) {                                          \
            const int8_t *p1_ = p0_;                                                               \
            for (i1_ = 0; i1_ < (shape)->reduced[1]; i1_++) {                                      \
                const int8_t *p2_ = p1_;                                                           \
                for (i2_ = 0; i2_ < (shape)->reduced[2]; i2_++) {                                  \
                    (value) = fold((value), *p2_);                                                 \
                    p2_ += (shape)->reduced_stride[2];                                             \
                }                                                                                  \
                p1_ += (shape)->reduced_stride[1];                                                 \
            }                                                                                      \
            p0_ += (shape)->reduced_stride[0];                                                     \
        }                                                                                          \
    } while (0)

/* To the first element of the next output, in the output's memory order; 0 after the last. */
TFLM_OPT_INLINE int tflm_opt_next_kept(const tflm_opt_reduction *shape,
                                       int32_t *index,
                                       const int8_t **input)
{
    int32_t axis;
    for (axis = 2; axis >= 0; axis--) {
        *input += shape->kept_stride[axis];
        index[axis]++;
        if (index[axis] < shape->kept[axis]) {
            return 1;
        }
        index[axis] = 0;
        *input -= shape->kept[axis] * shape->kept_stride[axis];
    }
    return 0;
}

#endif /* TFLM_OPT_REDUCE_H */
