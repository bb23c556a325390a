/*
 * Weights of 4 bits, two in a byte: not part of the public interface.
 */
#ifndef TFLM_OPT_NIBBLES_H
#define TFLM_OPT_NIBBLES_H

#include "tflm_opt_math.h"

/* Weight number `index`: even ones are lower halves. */
TFLM_OPT_INLINE int32_t tflm_opt_nibble(const int8_t *packed, int32_t index)
{
    const int32_t pair = packed[index >> 1];
    return index & 1 ? pair >> 4 : ((pair & 15) ^ 8) - 8;
}

/* sum + the sum of (x[i] + offset) * weight number first + i. */
TFLM_OPT_INLINE int32_t tflm_opt_dot_s4(int32_t sum,
                                        const int8_t *x,
                                        const int8_t *packed,
                                        int32_t first,
                                        int32_t count,
                                        int32_t offset)
{
    const int8_t *pair = packed + (first >> 1);
    const int8_t *end = x + count;
    if ((first & 1) && x != end) {
        sum += (*x++ + offset) * (*pair++ >> 4);
    }
    for (; end - x >= 2; x += 2) {
        sum += (x[0] + offset) * (((*pair & 15) ^ 8) - 8);
        sum += (x[1] + offset) * (*pair++ >> 4);
    }
    if (x != end) {
        sum += (*x + offset) * (((*pair & 15) ^ 8) - 8);
    }
    return sum;
}

#endif /* TFLM_OPT_NIBBLES_H */
