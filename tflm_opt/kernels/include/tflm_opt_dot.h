/*
 * Inner products: not part of the public interface.
 */
#ifndef TFLM_OPT_DOT_H
#define TFLM_OPT_DOT_H

#include "tflm_opt_math.h"
#include "tflm_opt_types.h"

/* sum + the sum of (x[i] + offset) * f[i] over count elements. */
TFLM_OPT_INLINE int32_t tflm_opt_dot_s8(
    int32_t sum, const int8_t *x, const int8_t *f, int32_t count, int32_t offset)
{
    int32_t i;
    if (offset == 0) { /* generated code folds the offset into the bias where it can */
        for (i = 0; i < count; i++) {
            sum += x[i] * f[i];
        }
        return sum;
    }
    for (i = 0; i < count; i++) {
        sum += (x[i] + offset) * f[i];
    }
    return sum;
}

/* A sum as an output value: scaled, moved to the output's zero point, clamped. */
TFLM_OPT_INLINE int8_t tflm_opt_output_s8(int32_t sum,
                                          int32_t multiplier,
                                          int32_t shift,
                                          int32_t offset,
                                          cmsis_nn_activation activation)
{
    const int32_t scaled = tflm_opt_requantize(sum, multiplier, shift) + offset;
    return (int8_t)tflm_opt_clamp(scaled, activation.min, activation.max);
}

/*
 * The part of a window that lies inside the input along one axis: taps first <= k < last have
 * 0 <= start + k * dilation < size.
 */
typedef struct {
    int32_t first;
    int32_t last;
} tflm_opt_taps;

TFLM_OPT_INLINE tflm_opt_taps tflm_opt_window(
    int32_t start, int32_t taps, int32_t dilation, int32_t size)
{
    tflm_opt_taps range;
    range.first = 0;
    range.last = taps;
    while (range.first < taps && start + range.first * dilation < 0) {
        range.first++;
    }
    while (range.last > range.first && start + (range.last - 1) * dilation >= size) {
        range.last--;
    }
    return range;
}

#endif /* TFLM_OPT_DOT_H */
