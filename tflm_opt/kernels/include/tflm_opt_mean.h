/*
 * Means of int8 values without a division each: not part of the public interface.
 *
 * The mean of `count` values is to nearest, halves away from zero. That is floor(n / count) - 128
 * with n = sum + 128 * count + count / 2, less one where the sum is negative and the count even;
 * 0 <= n < 256 * count. With r = ceil(2^23 / count) the product n * r fits 32 bits, and its
 * quotient by 2^23 is too large by less than n / 2^23, which for counts up to 181 is less than the
 * 1 / count that would show. Beyond, eight steps of long division make the eight bits.
 */
#ifndef TFLM_OPT_MEAN_H
#define TFLM_OPT_MEAN_H

#include "tflm_opt_math.h"

#define TFLM_OPT_MEAN_MOST 181

typedef struct {
    uint32_t count;
    uint32_t reciprocal; /* 0 where long division is due */
    int32_t start;       /* to be added to a sum */
    int32_t even;        /* all bits set where the count is even */
} tflm_opt_mean;

/* For 1 <= count < 2^23. */
TFLM_OPT_INLINE tflm_opt_mean tflm_opt_mean_of(int32_t count)
{
    tflm_opt_mean mean;
    mean.count = (uint32_t)count;
    mean.reciprocal = 0;
    if (count <= TFLM_OPT_MEAN_MOST) {
        mean.reciprocal = (((uint32_t)1 << 23) + mean.count - 1U) / mean.count;
    }
    mean.start = 128 * count + count / 2;
    mean.even = -((count & 1) ^ 1);
    return mean;
}

TFLM_OPT_APART uint32_t tflm_opt_long_division(uint32_t n, uint32_t count)
{
    uint32_t bit;
    uint32_t quotient = 0;
    for (bit = 128; bit != 0; bit >>= 1) {
        if (n >= count * bit) {
            n -= count * bit;
            quotient += bit;
        }
    }
    return quotient;
}

/* The mean of values with this sum. */
TFLM_OPT_INLINE int8_t tflm_opt_take_mean(const tflm_opt_mean *mean, int32_t sum)
{
    const uint32_t n = (uint32_t)(sum + mean->start + ((sum >> 31) & mean->even));
    const uint32_t quotient = mean->reciprocal != 0 ? (n * mean->reciprocal) >> 23
                                                    : tflm_opt_long_division(n, mean->count);
    return (int8_t)((int32_t)quotient - 128);
}

#endif /* TFLM_OPT_MEAN_H */
