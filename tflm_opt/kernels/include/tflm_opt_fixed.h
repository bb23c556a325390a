/*
 * exp and 1 / (1 + x) in 32-bit fixed point: not part of the public interface.
 *
 * The polynomial, the constants and the order of roundings are those of gemmlowp's fixedpoint,
 * which TensorFlow Lite Micro's softmax uses: any other order gives other bits. Qm.n has m
 * integer bits beside the sign.
 */
#ifndef TFLM_OPT_FIXED_H
#define TFLM_OPT_FIXED_H

#include "tflm_opt_math.h"

/* x * 2^exponent, saturated. */
TFLM_OPT_INLINE int32_t tflm_opt_shift_left_sat(int32_t x, int32_t exponent)
{
    const int32_t limit = (int32_t)(((uint32_t)1 << (31 - exponent)) - 1U);
    if (x > limit) {
        return INT32_MAX;
    }
    if (x < -limit) {
        return INT32_MIN;
    }
    return tflm_opt_shift_left(x, exponent);
}

/* exp(x) in Q0.31 for -1/4 <= x < 0 in Q0.31: a series around -1/8. */
TFLM_OPT_INLINE int32_t tflm_opt_exp_quarter(int32_t x)
{
    const int32_t exp_of_eighth = 1895147668; /* exp(-1/8) */
    const int32_t third = 715827883;          /* 1/3 */
    const int32_t d = x + ((int32_t)1 << 28);
    const int32_t d2 = tflm_opt_high_mul(d, d);
    const int32_t d3 = tflm_opt_high_mul(d2, d);
    const int32_t d4 = tflm_opt_high_mul(d2, d2);
    const int32_t cubic = tflm_opt_high_mul(tflm_opt_divide_by_pot(d4, 2) + d3, third);
    const int32_t tail = tflm_opt_divide_by_pot(cubic + d2, 1);
    return exp_of_eighth + tflm_opt_high_mul(exp_of_eighth, d + tail);
}

/* exp(x) in Q0.31 for x <= 0 in Q5.26. */
TFLM_OPT_INLINE int32_t tflm_opt_exp_negative(int32_t x)
{
    /* exp(-2^k) for k = -2 .. 4 */
    static const int32_t factors[7] = {1672461947, 1302514674, 790015084, 290630308,
                                       39332535,   720401,     242};
    const int32_t quarter = (int32_t)1 << 24;
    const int32_t inner = (x & (quarter - 1)) - quarter;
    const int32_t rest = inner - x; /* whole quarters, taken apart into powers of two */
    int32_t result;
    int32_t k;
    if (x == 0) {
        return INT32_MAX;
    }
    result = tflm_opt_exp_quarter(tflm_opt_shift_left(inner, 5));
    for (k = 0; k < 7; k++) {
        if (rest & ((int32_t)1 << (24 + k))) {
            result = tflm_opt_high_mul(result, factors[k]);
        }
    }
    return result;
}

/* 1 / (1 + x) in Q0.31 for 0 <= x < 1 in Q0.31: three steps of Newton's method. */
TFLM_OPT_INLINE int32_t tflm_opt_reciprocal(int32_t x)
{
    const int32_t half = (int32_t)(((int64_t)x + INT32_MAX + 1) / 2); /* (1 + x) / 2 */
    int32_t y = 1515870810 + tflm_opt_high_mul(half, -1010580540);   /* 48/17, -32/17 in Q2.29 */
    int32_t i;
    for (i = 0; i < 3; i++) {
        const int32_t error = ((int32_t)1 << 29) - tflm_opt_high_mul(half, y);
        y += tflm_opt_shift_left_sat(tflm_opt_high_mul(y, error), 2);
    }
    return tflm_opt_shift_left_sat(y, 1);
}

/* Zero bits above the highest one; 31 for 0. */
TFLM_OPT_INLINE int32_t tflm_opt_leading_zeros(uint32_t x)
{
    int32_t count = 0;
    while (count < 31 && !(x & ((uint32_t)1 << 31))) {
        x <<= 1;
        count++;
    }
    return count;
}

#endif /* TFLM_OPT_FIXED_H */
