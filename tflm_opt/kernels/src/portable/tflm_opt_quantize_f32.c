#include "tflm_opt_math.h"
#include "tflm_opt_pointwise.h"
#include "tflm_opt_tier.h"

#include <string.h>

#define SIGN ((uint32_t)1 << 31)
#define INFINITE ((uint32_t)255 << 23)
#define FAR ((uint32_t)(127 + 17) << 23) /* 2^17: from here on every output type is saturated */

/*
 * Rounded to nearest, halves away from zero, in integers: what it takes beside the division is
 * cheap on cores that have no floats. With the binary point of a float's 24 digits where its
 * exponent says, (digits >> shift) is twice the value, cut off, and half of one more than that is
 * the value rounded.
 */
static int32_t quantize(float value, float scale, int32_t zero_point, int32_t low, int32_t high)
{
    const float real = value / scale;
    uint32_t bits;
    uint32_t size;
    uint32_t shift;
    int32_t whole = 0;

    memcpy(&bits, &real, sizeof bits);
    size = bits & ~SIGN;
    if (size > INFINITE) { /* not a number */
        return tflm_opt_clamp(zero_point, low, high);
    }
    if (size >= FAR) {
        return bits & SIGN ? low : high;
    }
    shift = 149U - (size >> 23);
    if (shift < 24U) {
        const uint32_t digits = (size & 0x7fffffU) | 0x800000U;
        whole = (int32_t)(((digits >> shift) + 1U) >> 1);
    }
    return tflm_opt_clamp(zero_point + (bits & SIGN ? -whole : whole), low, high);
}

#if !TFLM_OPT_VFP
void tflm_opt_quantize_f32_s8(const float *input, float scale, int32_t zero_point, int32_t size,
                              int8_t *output)
{
    int32_t i;

    for (i = 0; i < size; ++i) {
        output[i] = (int8_t)quantize(input[i], scale, zero_point, INT8_MIN, INT8_MAX);
    }
}
#endif

void tflm_opt_quantize_f32_s16(const float *input, float scale, int32_t zero_point, int32_t size,
                               int16_t *output)
{
    int32_t i;

    for (i = 0; i < size; ++i) {
        output[i] = (int16_t)quantize(input[i], scale, zero_point, INT16_MIN, INT16_MAX);
    }
}
