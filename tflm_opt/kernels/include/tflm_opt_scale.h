/*
 * One factor for any number of sums, in four instructions a sum: not part of the public interface,
 * and empty on cores without the DSP extension. For kernels with one scale a tensor, whose sums
 * come without a factor and may be large.
 */
#ifndef TFLM_OPT_SCALE_H
#define TFLM_OPT_SCALE_H

#include "tflm_opt_dsp.h"

#if TFLM_OPT_DSP

/* round(a * b / 2^32), halves up. */
TFLM_OPT_INLINE int32_t tflm_opt_smmulr(int32_t a, int32_t b)
{
    int32_t result;
    __asm__("smmulr %0, %1, %2" : "=r"(result) : "r"(a), "r"(b));
    return result;
}

/* sum + round(a * b / 2^32), halves up. */
TFLM_OPT_INLINE int32_t tflm_opt_smmlar(int32_t a, int32_t b, int32_t sum)
{
    int32_t result;
    __asm__("smmlar %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(sum));
    return result;
}

/* 2 * x, saturated. */
TFLM_OPT_INLINE int32_t tflm_opt_twice(int32_t x)
{
    int32_t result;
    __asm__("qadd %0, %1, %1" : "=r"(result) : "r"(x));
    return result;
}

/* Halves of `sum` plus bytes 0 and 2, and plus bytes 1 and 3. */
TFLM_OPT_INLINE uint32_t tflm_opt_sxtab16(uint32_t sum, uint32_t word)
{
    uint32_t result;
    __asm__("sxtab16 %0, %1, %2" : "=r"(result) : "r"(sum), "r"(word));
    return result;
}

TFLM_OPT_INLINE uint32_t tflm_opt_sxtab16_odd(uint32_t sum, uint32_t word)
{
    uint32_t result;
    __asm__("sxtab16 %0, %1, %2, ror #8" : "=r"(result) : "r"(sum), "r"(word));
    return result;
}

/* sum + 2 * x, saturated, and so is the double. */
TFLM_OPT_INLINE int32_t tflm_opt_add_twice(int32_t sum, int32_t x)
{
    int32_t result;
    __asm__("qdadd %0, %1, %2" : "=r"(result) : "r"(sum), "r"(x));
    return result;
}

/* The greater of two signed bytes, four times. SSUB8 sets the flags that SEL reads. */
TFLM_OPT_INLINE uint32_t tflm_opt_greater_bytes(uint32_t a, uint32_t b)
{
    uint32_t result;
    __asm__("ssub8 %0, %1, %2\n\tsel %0, %1, %2" : "=&r"(result) : "r"(a), "r"(b) : "cc");
    return result;
}

/* Each half doubled. It sets flags that only SEL reads. */
TFLM_OPT_INLINE uint32_t tflm_opt_twice_halves(uint32_t halves)
{
    uint32_t result;
    __asm__("sadd16 %0, %1, %1" : "=r"(result) : "r"(halves) : "cc");
    return result;
}

/*
 * A factor multiplier * 2^(shift - 31) and the output's offset. With y = 2 * x,
 *
 *     h = smmulr(y, multiplier)
 *     h += h >> 31
 *     output = ssat8(smmlar(h, unit, offset)),  unit = 2^(32 - e) for a shift right by e
 *
 * is what tflm_opt_requantize, the offset and a clamp to int8 give: smmulr makes
 * floor((2 * x * multiplier + 2^31) / 2^32), TFLM's first rounding; the second is to nearest with
 * halves away from zero, that is floor((h - (h < 0) + 2^(e - 1)) / 2^e), and smmlar makes
 * floor(h' * 2^(32 - e) / 2^32 + 1/2) of it.
 */
typedef struct {
    int32_t multiplier;
    int32_t unit;
    int32_t offset;
} tflm_opt_scale;

/*
 * The largest shift right for any sum: where twice a sum saturates, x * multiplier / 2^31 is 2^29
 * or more, and so is at least 2^9 after the shift, beyond int8 whatever the offset.
 */
#define TFLM_OPT_SCALE_ANY 20
#define TFLM_OPT_SCALE_SMALL 31 /* and for sums smaller than 2^30 */

/* Fills the record, with 1 for an answer, or 0 if the shift is not one right by 2 to `most`. */
TFLM_OPT_INLINE int tflm_opt_set_scale(int32_t multiplier,
                                       int32_t shift,
                                       int32_t offset,
                                       int32_t most,
                                       tflm_opt_scale *scale)
{
    if (shift > -2 || shift < -most || multiplier < (int32_t)1 << 30) {
        return 0;
    }
    scale->multiplier = multiplier;
    scale->unit = (int32_t)1 << (32 + shift);
    scale->offset = offset;
    return 1;
}

/* The output of twice a sum. */
TFLM_OPT_INLINE int32_t tflm_opt_scaled_s8(const tflm_opt_scale *scale, int32_t twice)
{
    const int32_t h = tflm_opt_smmulr(twice, scale->multiplier);
    return tflm_opt_ssat8(tflm_opt_smmlar(h + (h >> 31), scale->unit, scale->offset));
}

/* Whether an offset is minus an int8, so that inputs with it fit 9 bits. */
TFLM_OPT_INLINE int tflm_opt_is_offset(int32_t offset)
{
    return offset >= -INT8_MAX && offset <= -INT8_MIN;
}

/* Whether bounds cut off more than int8 does. */
TFLM_OPT_INLINE int tflm_opt_is_narrow(int32_t low, int32_t high)
{
    return low > INT8_MIN || high < INT8_MAX;
}

/* Outputs that are clamped to int8 already, clamped to narrower bounds. */
TFLM_OPT_APART void tflm_opt_clamp_outputs(int8_t *output, int32_t count, int32_t low, int32_t high)
{
    int32_t i;
    for (i = 0; i < count; i++) {
        output[i] = (int8_t)tflm_opt_clamp(output[i], low, high);
    }
}

#endif /* TFLM_OPT_DSP */

#endif /* TFLM_OPT_SCALE_H */
