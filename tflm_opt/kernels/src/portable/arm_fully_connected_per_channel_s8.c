#include "tflm_opt_connect.h"
#include "tflm_opt_kernels.h"

arm_cmsis_nn_status arm_fully_connected_per_channel_s8(
    const cmsis_nn_context *ctx,
    const cmsis_nn_fc_params *fc_params,
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
    tflm_opt_channels channels;
    (void)ctx;
    (void)bias_dims;
    tflm_opt_set_bias(&channels, bias_data);
    channels.multiplier = quant_params->multiplier;
    channels.shift = quant_params->shift;
    channels.quant_step = 1;
    tflm_opt_connect(NULL, fc_params, &channels, input_dims->n, input_data, filter_dims->n,
                     filter_data, output_dims->c, output_data);
    return ARM_CMSIS_NN_SUCCESS;
}
