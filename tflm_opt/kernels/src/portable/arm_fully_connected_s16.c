#include "tflm_opt_check.h"
#include "tflm_opt_kernels.h"
#include "tflm_opt_wide.h"

arm_cmsis_nn_status arm_fully_connected_s16(const cmsis_nn_context *ctx,
                                            const cmsis_nn_fc_params *fc_params,
                                            const cmsis_nn_per_tensor_quant_params *quant_params,
                                            const cmsis_nn_dims *input_dims,
                                            const int16_t *input_data,
                                            const cmsis_nn_dims *filter_dims,
                                            const int8_t *filter_data,
                                            const cmsis_nn_dims *bias_dims,
                                            const int64_t *bias_data,
                                            const cmsis_nn_dims *output_dims,
                                            int16_t *output_data)
{
    int32_t row;
    int32_t channel;
    (void)ctx;
    (void)bias_dims;
    if (!tflm_opt_matrix_fits(fc_params, input_dims, filter_dims, output_dims) ||
        quant_params == NULL || !tflm_opt_is_wide_shift(quant_params->shift) ||
        input_data == NULL || filter_data == NULL || output_data == NULL) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    for (row = 0; row < input_dims->n; row++) {
        const int8_t *filter = filter_data;
        for (channel = 0; channel < output_dims->c; channel++) {
            int64_t sum = bias_data != NULL ? bias_data[channel] : 0;
            sum += tflm_opt_dot_s16(input_data, filter, filter_dims->n);
            *output_data++ = (int16_t)tflm_opt_clamp(
                tflm_opt_requantize_wide(sum, quant_params->multiplier, quant_params->shift),
                fc_params->activation.min, fc_params->activation.max);
            filter += filter_dims->n;
        }
        input_data += filter_dims->n;
    }
    return ARM_CMSIS_NN_SUCCESS;
}

int32_t arm_fully_connected_s16_get_buffer_size(const cmsis_nn_dims *filter_dims)
{
    (void)filter_dims;
    return 0;
}
