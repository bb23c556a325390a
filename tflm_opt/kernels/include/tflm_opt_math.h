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
#else
#define TFLM_OPT_INLINE static inline
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

/* x * multiplier * 2^(shift - 31) with multiplier >= 0 and -31 <= shift <= 31. */
TFLM_OPT_INLINE int32_t tflm_opt_requantize(int32_t x, int32_t multiplier, int32_t shift)
{
    const int32_t left = shift > 0 ? shift : 0;
    const int32_t right = shift > 0 ? 0 : -shift;
    return tflm_opt_divide_by_pot(tflm_opt_high_mul(tflm_opt_shift_left(x, left), multiplier),
                                  right);
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
