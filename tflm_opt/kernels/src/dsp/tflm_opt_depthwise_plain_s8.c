#include "tflm_opt_depthwise.h"
#include "tflm_opt_kernels.h"
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP && !TFLM_OPT_MVE

arm_cmsis_nn_status tflm_opt_depthwise_plain_s8(
    const cmsis_nn_context *ctx,
    const cmsis_nn_dw_conv_params *dw_conv_params,
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
    tflm_opt_depthwise_call call;
    arm_cmsis_nn_status status;
    tflm_opt_depthwise_set_call(dw_conv_params, quant_params, input_dims, filter_dims, filter_data,
                                bias_data, &call);
    (void)bias_dims;
    status = tflm_opt_depthwise_start_s8(ctx, output_dims->w, output_dims->h, &call);
    if (status == ARM_CMSIS_NN_SUCCESS) {
        tflm_opt_depthwise_image_s8(&call, input_data, output_dims, output_data);
    }
    return status;
}

#endif
