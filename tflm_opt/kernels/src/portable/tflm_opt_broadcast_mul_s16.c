#include "tflm_opt_kernels.h"
#include "tflm_opt_lines_s16.h"

static int16_t mul(const tflm_opt_product_params *params, int32_t x, int32_t y)
{
    const int32_t scaled = tflm_opt_requantize(x * y, params->output_quant.multiplier,
                                               params->output_quant.shift);
    return (int16_t)tflm_opt_clamp(scaled, params->activation.min, params->activation.max);
}

arm_cmsis_nn_status tflm_opt_broadcast_mul_s16(const tflm_opt_product_params *params,
                                               const tflm_opt_broadcast *shape,
                                               const int16_t *input1_data,
                                               const int16_t *input2_data,
                                               int16_t *output_data)
{
    TFLM_OPT_BROADCAST_S16(mul);
    return ARM_CMSIS_NN_SUCCESS;
}
