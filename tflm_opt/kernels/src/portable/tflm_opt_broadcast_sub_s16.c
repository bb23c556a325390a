#include "tflm_opt_kernels.h"
#include "tflm_opt_lines_s16.h"

static int16_t sub(const tflm_opt_sum_params *params, int32_t x, int32_t y)
{
    const int32_t first = tflm_opt_term(x, params->left_shift, params->input1_quant.multiplier,
                                        params->input1_quant.shift);
    const int32_t second = tflm_opt_term(y, params->left_shift, params->input2_quant.multiplier,
                                         params->input2_quant.shift);
    const int32_t sum =
        tflm_opt_scale_down(first - second, params->output_quant.multiplier,
                            params->output_quant.shift);
    return (int16_t)tflm_opt_clamp(sum, params->activation.min, params->activation.max);
}

arm_cmsis_nn_status tflm_opt_broadcast_sub_s16(const tflm_opt_sum_params *params,
                                               const tflm_opt_broadcast *shape,
                                               const int16_t *input1_data,
                                               const int16_t *input2_data,
                                               int16_t *output_data)
{
    TFLM_OPT_BROADCAST_S16(sub);
    return ARM_CMSIS_NN_SUCCESS;
}
