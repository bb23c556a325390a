/*
 * A walk over two broadcast int8 inputs: not part of the public interface.
 *
 * An axis of an input is either as long as the output's or 1; where it is 1, its stride is 0.
 */
#ifndef TFLM_OPT_BROADCAST_H
#define TFLM_OPT_BROADCAST_H

#include "tflm_opt_math.h"
#include "tflm_opt_types.h"

typedef struct {
    int32_t n;
    int32_t h;
    int32_t w;
    int32_t c;
} tflm_opt_strides;

TFLM_OPT_INLINE tflm_opt_strides tflm_opt_broadcast_strides(const cmsis_nn_dims *dims)
{
    tflm_opt_strides strides;
    strides.c = dims->c > 1 ? 1 : 0;
    strides.w = dims->w > 1 ? dims->c : 0;
    strides.h = dims->h > 1 ? dims->w * dims->c : 0;
    strides.n = dims->n > 1 ? dims->h * dims->w * dims->c : 0;
    return strides;
}

TFLM_OPT_INLINE int32_t tflm_opt_broadcasts_to(const cmsis_nn_dims *dims, const cmsis_nn_dims *to)
{
    return (dims->n == to->n || dims->n == 1) && (dims->h == to->h || dims->h == 1) &&
           (dims->w == to->w || dims->w == 1) && (dims->c == to->c || dims->c == 1);
}

#endif /* TFLM_OPT_BROADCAST_H */
