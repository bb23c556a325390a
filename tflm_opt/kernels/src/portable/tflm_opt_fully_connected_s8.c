#include "tflm_opt_tier.h"

#if TFLM_OPT_PAIRED
#define TFLM_OPT_DENSE_PAIRED 1
#endif
#include "tflm_opt_connect.h"
#include "tflm_opt_kernels.h"

arm_cmsis_nn_status tflm_opt_fully_connected_s8(const cmsis_nn_context *ctx,
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
    tflm_opt_channels channels;
    (void)bias_dims;
    if (fc_params->input_offset != 0 || fc_params->filter_offset != 0 || bias_data == NULL) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    channels.bias = bias_data;
    channels.bias_step = 1;
    channels.multiplier = quant_params->multiplier;
    channels.shift = quant_params->shift;
    channels.quant_step = quant_params->is_per_channel ? 1 : 0;
    tflm_opt_connect(ctx, fc_params, &channels, input_dims->n, input_data, filter_dims->n,
                     filter_data, output_dims->c, output_data);
    return ARM_CMSIS_NN_SUCCESS;
}
