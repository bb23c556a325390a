/*
 * Fixed-point arithmetic of the kernels: not part of the public interface.
 *
 * TensorFlow Lite Micro's reference kernels round twice: once in the doubling high multiply,
 * once in the shift right. Both are done here with the same results for every input, also
 * where a left shift overflows (it wraps, as it does on all targets of the reference).
 *
 * Right shifts of negative numbers are arithmetic in every compiler we support.
 */
#ifndef TFLM_OPT_MATH_H
#define TFLM_OPT_MATH_H

#include <stdint.h>

#if defined(__GNUC__) || defined(__clang__)
#define TFLM_OPT_INLINE static inline __attribute__((always_inline, unused))
#define TFLM_OPT_APART static __attribute__((noinline, unused)) /* its loops need all registers */
#define TFLM_OPT_SMALL __attribute__((cold)) /* compiled for size: others take the time */
#define TFLM_OPT_LIKELY(condition) __builtin_expect(!!(condition), 1)
#else
#define TFLM_OPT_INLINE static inline
#define TFLM_OPT_APART static
#define TFLM_OPT_SMALL
#define TFLM_OPT_LIKELY(condition) (condition)
#endif

/* round(a * b / 2^31), halves up. `a` and `b` must not both be INT32_MIN. */
TFLM_OPT_INLINE int32_t tflm_opt_high_mul(int32_t a, int32_t b)
{
    return (int32_t)(((int64_t)a * b + ((int64_t)1 << 30)) >> 31);
}

/* As above; the one product that does not fit saturates. */
TFLM_OPT_INLINE int32_t tflm_opt_high_mul_sat(int32_t a, int32_t b)
{
    if (a == INT32_MIN && b == INT32_MIN) {
        return INT32_MAX;
    }
    return tflm_opt_high_mul(a, b);
}

/* x / 2^exponent, rounded to nearest, halves away from zero; 0 <= exponent <= 31. */
TFLM_OPT_INLINE int32_t tflm_opt_divide_by_pot(int32_t x, int32_t exponent)
{
    const int32_t mask = (int32_t)(((uint32_t)1 << exponent) - 1U);
    const int32_t remainder = x & mask;
    const int32_t threshold = (mask >> 1) + (x < 0 ? 1 : 0);
    return (x >> exponent) + (remainder > threshold ? 1 : 0);
}

/* x * 2^shift modulo 2^32; 0 <= shift <= 31. */
TFLM_OPT_INLINE int32_t tflm_opt_shift_left(int32_t x, int32_t shift)
{
    return (int32_t)((uint32_t)x << shift);
}

/* The same as below for the few shifts above -2. */
#ifdef __cplusplus
extern "C" {
#endif
int32_t tflm_opt_requantize_up(int32_t x, int32_t multiplier, int32_t shift);
#ifdef __cplusplus
}
#endif

/*
 * x * multiplier * 2^(shift - 31) with multiplier >= 0 and -31 <= shift <= 31.
 *
 * Both roundings in one where the shift is right by 2 or more. With P = x * multiplier the first
 * gives floor((P + 2^30) / 2^31). The second adds half a unit, less one if that is negative,
 * before it shifts; nested floors are one, and "negative" may be read from x: they differ only
 * where the first result is 0, which stays 0 either way. So the upper half of
 * P + 2^30 - (x < 0) * 2^31 holds all that is needed.
 */
TFLM_OPT_INLINE int32_t tflm_opt_requantize(int32_t x, int32_t multiplier, int32_t shift)
{
    const int32_t sign = x >> 31;
    const uint32_t low = ((uint32_t)sign << 31) + ((uint32_t)1 << 30);
    const int64_t start = (int64_t)(((uint64_t)(uint32_t)sign << 32) | low);
    if (TFLM_OPT_LIKELY(shift <= -2)) {
        const int32_t upper = (int32_t)((start + (int64_t)x * multiplier) >> 32);
        return ((upper >> ~(shift + 1)) + 1) >> 1;
    }
    return tflm_opt_requantize_up(x, multiplier, shift);
}

/* A sum divided by its count, to nearest, halves away from zero. */
TFLM_OPT_INLINE int32_t tflm_opt_rounded_mean(int32_t sum, int32_t count)
{
    return sum > 0 ? (sum + count / 2) / count : (sum - count / 2) / count;
}

TFLM_OPT_INLINE int32_t tflm_opt_clamp(int32_t x, int32_t low, int32_t high)
{
    return x < low ? low : (x > high ? high : x);
}

TFLM_OPT_INLINE int32_t tflm_opt_min(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

TFLM_OPT_INLINE int32_t tflm_opt_max(int32_t a, int32_t b)
{
    return a > b ? a : b;
}

#endif /* TFLM_OPT_MATH_H */
