#include "tflm_opt_check.h"
#include "tflm_opt_kernels.h"

arm_cmsis_nn_status arm_transpose_conv_wrapper_s8(
    const cmsis_nn_context *ctx,
    const cmsis_nn_context *output_ctx,
    const cmsis_nn_transpose_conv_params *transpose_conv_params,
    const cmsis_nn_per_channel_quant_params *quant_params,
    const cmsis_nn_dims *input_dims,
    const int8_t *input_data,
    const cmsis_nn_dims *filter_dims,
    const int8_t *filter_data,
    const cmsis_nn_dims *bias_dims,
    const int32_t *bias_data,
    const cmsis_nn_dims *output_dims,
    int8_t *output_data)
{
    const cmsis_nn_transpose_conv_params *params = transpose_conv_params;
    if (params == NULL || !tflm_opt_has_factors(quant_params) || input_data == NULL ||
        filter_data == NULL || output_data == NULL ||
        !tflm_opt_windows_fit(input_dims, filter_dims, output_dims, &params->stride,
                              &params->padding, &params->dilation, &params->activation)) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    return arm_transpose_conv_s8(ctx, output_ctx, transpose_conv_params, quant_params, input_dims,
                                 input_data, filter_dims, filter_data, bias_dims, bias_data,
                                 output_dims, output_data);
}

int32_t arm_transpose_conv_s8_get_reverse_conv_buffer_size(
    const cmsis_nn_transpose_conv_params *transpose_conv_params,
    const cmsis_nn_dims *input_dims,
    const cmsis_nn_dims *filter_dims)
{
    (void)transpose_conv_params;
    (void)input_dims;
    (void)filter_dims;
    return 0;
}
