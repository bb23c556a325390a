#include "tflm_opt_pointwise.h"

/*
 * TFLM multiplies in double and rounds to float. The product of a float and an integer of at
 * most 17 bits is exact in double, so that is one rounding: the float multiplication's.
 */
void tflm_opt_dequantize_s8_f32(const int8_t *input, float scale, int32_t zero_point, int32_t size,
                                float *output)
{
    int32_t i;

    for (i = 0; i < size; ++i) {
        output[i] = scale * (float)(input[i] - zero_point);
    }
}

void tflm_opt_dequantize_u8_f32(const uint8_t *input, float scale, int32_t zero_point, int32_t size,
                                float *output)
{
    int32_t i;

    for (i = 0; i < size; ++i) {
        output[i] = scale * (float)(input[i] - zero_point);
    }
}

void tflm_opt_dequantize_s16_f32(const int16_t *input, float scale, int32_t zero_point,
                                 int32_t size, float *output)
{
    int32_t i;

    for (i = 0; i < size; ++i) {
        output[i] = scale * (float)(input[i] - zero_point);
    }
}
