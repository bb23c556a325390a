#include "tflm_opt_check.h"
#include "tflm_opt_dot.h"
#include "tflm_opt_kernels.h"
#include "tflm_opt_nibbles.h"

arm_cmsis_nn_status arm_fully_connected_s4(const cmsis_nn_context *ctx,
                                           const cmsis_nn_fc_params *fc_params,
                                           const cmsis_nn_per_tensor_quant_params *quant_params,
                                           const cmsis_nn_dims *input_dims,
                                           const int8_t *input_data,
                                           const cmsis_nn_dims *filter_dims,
                                           const int8_t *filter_data,
                                           const cmsis_nn_dims *bias_dims,
                                           const int32_t *bias_data,
                                           const cmsis_nn_dims *output_dims,
                                           int8_t *output_data)
{
    int32_t row;
    int32_t channel;
    (void)ctx;
    (void)bias_dims;
    if (!tflm_opt_matrix_fits(fc_params, input_dims, filter_dims, output_dims) ||
        quant_params == NULL || !tflm_opt_is_shift(quant_params->shift) ||
        input_data == NULL || filter_data == NULL || output_data == NULL) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    for (row = 0; row < input_dims->n; row++) {
        int32_t weight = 0;
        for (channel = 0; channel < output_dims->c; channel++) {
            const int32_t start = bias_data != NULL ? bias_data[channel] : 0;
            const int32_t sum = tflm_opt_dot_s4(start, input_data, filter_data, weight,
                                                filter_dims->n, fc_params->input_offset);
            *output_data++ =
                tflm_opt_output_s8(sum, quant_params->multiplier, quant_params->shift,
                                   fc_params->output_offset, fc_params->activation);
            weight += filter_dims->n;
        }
        input_data += filter_dims->n;
    }
    return ARM_CMSIS_NN_SUCCESS;
}
