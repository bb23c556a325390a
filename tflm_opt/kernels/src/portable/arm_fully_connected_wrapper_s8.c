#include "tflm_opt_check.h"
#include "tflm_opt_kernels.h"

arm_cmsis_nn_status arm_fully_connected_wrapper_s8(const cmsis_nn_context *ctx,
                                                   const cmsis_nn_fc_params *fc_params,
                                                   const cmsis_nn_quant_params *quant_params,
                                                   const cmsis_nn_dims *input_dims,
                                                   const int8_t *input_data,
                                                   const cmsis_nn_dims *filter_dims,
                                                   const int8_t *filter_data,
                                                   const cmsis_nn_dims *bias_dims,
                                                   const int32_t *bias_data,
                                                   const cmsis_nn_dims *output_dims,
                                                   int8_t *output_data)
{
    if (ctx == NULL || input_data == NULL || filter_data == NULL || output_data == NULL ||
        quant_params == NULL || quant_params->multiplier == NULL || quant_params->shift == NULL ||
        !tflm_opt_matrix_fits(fc_params, input_dims, filter_dims, output_dims)) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    if (quant_params->is_per_channel) {
        cmsis_nn_per_channel_quant_params quant;
        quant.multiplier = quant_params->multiplier;
        quant.shift = quant_params->shift;
        return arm_fully_connected_per_channel_s8(ctx, fc_params, &quant, input_dims, input_data,
                                                  filter_dims, filter_data, bias_dims, bias_data,
                                                  output_dims, output_data);
    } else {
        cmsis_nn_per_tensor_quant_params quant;
        quant.multiplier = *quant_params->multiplier;
        quant.shift = *quant_params->shift;
        return arm_fully_connected_s8(ctx, fc_params, &quant, input_dims, input_data, filter_dims,
                                      filter_data, bias_dims, bias_data, output_dims, output_data);
    }
}
