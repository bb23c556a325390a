#include "tflm_opt_kernels.h"
#include "tflm_opt_tier.h"

#if !TFLM_OPT_DSP || TFLM_OPT_MVE

arm_cmsis_nn_status tflm_opt_depthwise_plain_lines_s8(
    const cmsis_nn_context *ctx,
    const cmsis_nn_dw_conv_params *dw_conv_params,
    const cmsis_nn_per_channel_quant_params *quant_params,
    const cmsis_nn_dims *input_dims,
    const tflm_opt_lines *input,
    const cmsis_nn_dims *filter_dims,
    const int8_t *filter_data,
    const cmsis_nn_dims *bias_dims,
    const int32_t *bias_data,
    const cmsis_nn_dims *output_dims,
    const tflm_opt_span *span,
    int8_t *output_data)
{
    return tflm_opt_depthwise_lines_s8(ctx, dw_conv_params, quant_params, input_dims, input,
                                       filter_dims, filter_data, bias_dims, bias_data, output_dims,
                                       span, output_data);
}

#endif
