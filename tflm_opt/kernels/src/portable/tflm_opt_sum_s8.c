#include "tflm_opt_kernels.h"
#include "tflm_opt_reduce.h"

arm_cmsis_nn_status tflm_opt_sum_s8(const tflm_opt_reduce_params *params,
                                    const tflm_opt_reduction *shape,
                                    const int8_t *input_data,
                                    int8_t *output_data)
{
    const int32_t zero = params->input_offset * tflm_opt_reduced_count(shape);
    int32_t index[3] = {0, 0, 0};
    do {
        int32_t sum;
        TFLM_OPT_REDUCE(sum, zero, shape, input_data, tflm_opt_take_sum);
        sum = tflm_opt_requantize(sum, params->quant.multiplier, params->quant.shift);
        *output_data++ = (int8_t)tflm_opt_clamp(sum + params->output_offset, INT8_MIN, INT8_MAX);
    } while (tflm_opt_next_kept(shape, index, &input_data));
    return ARM_CMSIS_NN_SUCCESS;
}
