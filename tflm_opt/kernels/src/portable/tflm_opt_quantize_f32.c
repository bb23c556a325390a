#include "tflm_opt_math.h"
#include "tflm_opt_pointwise.h"

/* Beyond it every output type is saturated, whatever the zero point; its neighbours fit int32. */
#define FAR 1.0e6f

static int32_t quantize(float value, float scale, int32_t zero_point, int32_t low, int32_t high)
{
    const float real = value / scale;
    int32_t whole;
    float rest;

    if (real != real) {
        return tflm_opt_clamp(zero_point, low, high);
    }
    if (real >= FAR) {
        return high;
    }
    if (real <= -FAR) {
        return low;
    }
    /* The rest is exact, where adding a half before cutting off would round. */
    whole = (int32_t)real;
    rest = real - (float)whole;
    if (rest >= 0.5f) {
        ++whole;
    } else if (rest <= -0.5f) {
        --whole;
    }
    return tflm_opt_clamp(whole + zero_point, low, high);
}

void tflm_opt_quantize_f32_s8(const float *input, float scale, int32_t zero_point, int32_t size,
                              int8_t *output)
{
    int32_t i;

    for (i = 0; i < size; ++i) {
        output[i] = (int8_t)quantize(input[i], scale, zero_point, INT8_MIN, INT8_MAX);
    }
}

void tflm_opt_quantize_f32_s16(const float *input, float scale, int32_t zero_point, int32_t size,
                               int16_t *output)
{
    int32_t i;

    for (i = 0; i < size; ++i) {
        output[i] = (int16_t)quantize(input[i], scale, zero_point, INT16_MIN, INT16_MAX);
    }
}
