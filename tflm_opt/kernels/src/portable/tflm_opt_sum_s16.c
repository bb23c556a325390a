#include "tflm_opt_kernels.h"
#include "tflm_opt_wide.h"

static int32_t sum_of(const tflm_opt_reduction *shape, const int16_t *input)
{
    int32_t sum = 0;
    int32_t y;
    int32_t x;
    int32_t c;
    for (y = 0; y < shape->reduced[0]; y++) {
        const int16_t *row = input;
        for (x = 0; x < shape->reduced[1]; x++) {
            const int16_t *in = row;
            for (c = 0; c < shape->reduced[2]; c++) {
                sum += *in;
                in += shape->reduced_stride[2];
            }
            row += shape->reduced_stride[1];
        }
        input += shape->reduced_stride[0];
    }
    return sum;
}

arm_cmsis_nn_status tflm_opt_sum_s16(const tflm_opt_reduce_params *params,
                                     const tflm_opt_reduction *shape,
                                     const int16_t *input_data,
                                     int16_t *output_data)
{
    int32_t y;
    int32_t x;
    int32_t c;
    for (y = 0; y < shape->kept[0]; y++) {
        const int16_t *row = input_data;
        for (x = 0; x < shape->kept[1]; x++) {
            const int16_t *in = row;
            for (c = 0; c < shape->kept[2]; c++) {
                const int32_t scaled = tflm_opt_requantize(
                    sum_of(shape, in), params->quant.multiplier, params->quant.shift);
                *output_data++ = tflm_opt_clamp_s16(scaled);
                in += shape->kept_stride[2];
            }
            row += shape->kept_stride[1];
        }
        input_data += shape->kept_stride[0];
    }
    return ARM_CMSIS_NN_SUCCESS;
}
