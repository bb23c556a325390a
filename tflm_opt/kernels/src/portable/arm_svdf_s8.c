#include "tflm_opt_kernels.h"
#include "tflm_opt_svdf.h"
#include "tflm_opt_tier.h"

arm_cmsis_nn_status arm_svdf_s8(const cmsis_nn_context *ctx,
                                const cmsis_nn_context *input_ctx,
                                const cmsis_nn_context *output_ctx,
                                const cmsis_nn_svdf_params *svdf_params,
                                const cmsis_nn_per_tensor_quant_params *input_quant_params,
                                const cmsis_nn_per_tensor_quant_params *output_quant_params,
                                const cmsis_nn_dims *input_dims,
                                const int8_t *input_data,
                                const cmsis_nn_dims *state_dims,
                                int8_t *state_data,
                                const cmsis_nn_dims *weights_feature_dims,
                                const int8_t *weights_feature_data,
                                const cmsis_nn_dims *weights_time_dims,
                                const int8_t *weights_time_data,
                                const cmsis_nn_dims *bias_dims,
                                const int32_t *bias_data,
                                const cmsis_nn_dims *output_dims,
                                int8_t *output_data)
{
    tflm_opt_svdf svdf;
    (void)ctx;
    (void)input_ctx;
    (void)output_ctx;
    (void)state_dims;
    (void)bias_dims;
    (void)output_dims;
    if (input_data == NULL || state_data == NULL || weights_feature_data == NULL ||
        weights_time_data == NULL || output_data == NULL ||
        !tflm_opt_set_svdf(svdf_params, input_quant_params, output_quant_params, input_dims,
                           weights_feature_dims, weights_time_dims, &svdf)) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    tflm_opt_svdf_run(&svdf, input_data, state_data, weights_feature_data, weights_time_data,
                      bias_data, output_data, 0);
    return ARM_CMSIS_NN_SUCCESS;
}

int32_t arm_svdf_s8_get_buffer_size(const cmsis_nn_dims *weights_feature_dims)
{
    return TFLM_OPT_MVE ? weights_feature_dims->n * (int32_t)sizeof(int32_t) : 0;
}
