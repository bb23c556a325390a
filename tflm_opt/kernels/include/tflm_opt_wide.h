/*
 * Sums of int16 values times weights, and their rounding: not part of the public interface.
 *
 * TFLM keeps such sums in 64 bits and scales them by a multiplier of 16 bits, with one rounding:
 * other bits than the two roundings of 32-bit sums.
 */
#ifndef TFLM_OPT_WIDE_H
#define TFLM_OPT_WIDE_H

#include "tflm_opt_math.h"

/* Shifts that scale a sum of 48 bits without loss. */
#define TFLM_OPT_WIDE_SHIFT_MIN (-31)
#define TFLM_OPT_WIDE_SHIFT_MAX 7

/* A multiplier's upper 16 bits, rounded. */
TFLM_OPT_INLINE int32_t tflm_opt_reduced(int32_t multiplier)
{
    return multiplier < 0x7FFF0000 ? (multiplier + (1 << 15)) >> 16 : 0x7FFF;
}

/*
 * x * multiplier * 2^(shift - 31) for |x| < 2^47, of which TFLM takes it that it has 32 bits. Those
 * lie in both words of the product for most scales; compilers make more of a shift by any number.
 */
TFLM_OPT_INLINE int32_t tflm_opt_requantize_wide(int64_t x, int32_t multiplier, int32_t shift)
{
    const int32_t reduced = tflm_opt_reduced(multiplier);
    const int32_t right = 15 - shift;
    const uint64_t product = (uint64_t)x * (uint64_t)(int64_t)reduced;
    if (TFLM_OPT_LIKELY(right < 32)) {
        const uint64_t rounded = product + ((uint32_t)1 << (right - 1));
        return (int32_t)((uint32_t)rounded >> right | (uint32_t)(rounded >> 32) << (32 - right));
    }
    return (int32_t)((int64_t)(product + ((uint64_t)1 << (right - 1))) >> right);
}

TFLM_OPT_INLINE int tflm_opt_is_wide_shift(int32_t shift)
{
    return shift >= TFLM_OPT_WIDE_SHIFT_MIN && shift <= TFLM_OPT_WIDE_SHIFT_MAX;
}

TFLM_OPT_INLINE int tflm_opt_are_wide_shifts(const int32_t *shifts, int32_t count)
{
    int32_t i;
    for (i = 0; i < count; i++) {
        if (!tflm_opt_is_wide_shift(shifts[i])) {
            return 0;
        }
    }
    return 1;
}

TFLM_OPT_INLINE int16_t tflm_opt_clamp_s16(int32_t x)
{
    return (int16_t)tflm_opt_clamp(x, INT16_MIN, INT16_MAX);
}

/* Products of 16 by 8 bits that a sum of 32 bits holds, whatever they are: a multiple of 4. */
#define TFLM_OPT_WIDE_RUN 508

/* The sum of x[i] * f[i]. Most of it is of 32 bits, which cores have one instruction for. */
TFLM_OPT_INLINE int64_t tflm_opt_dot_s16(const int16_t *x, const int8_t *f, int32_t count)
{
    int64_t sum = 0;
    while (count > 0) {
        const int32_t run = tflm_opt_min(count, TFLM_OPT_WIDE_RUN);
        int32_t part = 0;
        int32_t i;
        for (i = 0; i < run; i++) {
            part += x[i] * f[i];
        }
        sum += part;
        x += run;
        f += run;
        count -= run;
    }
    return sum;
}

#endif /* TFLM_OPT_WIDE_H */
