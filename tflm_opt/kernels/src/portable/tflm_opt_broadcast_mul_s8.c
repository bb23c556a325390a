#include "tflm_opt_kernels.h"
#include "tflm_opt_sum.h"

arm_cmsis_nn_status tflm_opt_broadcast_mul_s8(const tflm_opt_product_params *params,
                                              const tflm_opt_broadcast *shape,
                                              const int8_t *input1_data,
                                              const int8_t *input2_data,
                                              int8_t *output_data)
{
    const int32_t last = TFLM_OPT_BROADCAST_AXES - 1;
    const int32_t count = shape->size[last];
    const int32_t step1 = shape->stride1[last];
    const int32_t step2 = shape->stride2[last];
    tflm_opt_odometer at = {{0}};
    int32_t i;
    do {
        const int8_t *x1 = input1_data;
        const int8_t *x2 = input2_data;
        if (step1 == 1 && step2 == 1) {
            arm_cmsis_nn_status status;
            status = arm_elementwise_mul_s8(
                x1, x2, params->input1_offset, params->input2_offset, output_data,
                params->output_offset, params->output_quant.multiplier, params->output_quant.shift,
                params->activation.min, params->activation.max, count);
            if (status != ARM_CMSIS_NN_SUCCESS) {
                return status;
            }
            output_data += count;
            continue;
        }
        for (i = 0; i < count; i++) {
            const int32_t product =
                (*x1 + params->input1_offset) * (*x2 + params->input2_offset);
            const int32_t scaled =
                tflm_opt_requantize(product, params->output_quant.multiplier,
                                    params->output_quant.shift) +
                params->output_offset;
            *output_data++ = (int8_t)tflm_opt_clamp(scaled, params->activation.min,
                                                    params->activation.max);
            x1 += step1;
            x2 += step2;
        }
    } while (tflm_opt_next_line(shape, &at, &input1_data, &input2_data));
    return ARM_CMSIS_NN_SUCCESS;
}
