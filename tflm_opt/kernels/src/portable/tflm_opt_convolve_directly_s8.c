#include "tflm_opt_kernels.h"
#include "tflm_opt_tier.h"

#if !TFLM_OPT_DSP || TFLM_OPT_MVE

arm_cmsis_nn_status tflm_opt_convolve_directly_s8(
    const cmsis_nn_context *ctx,
    const cmsis_nn_conv_params *conv_params,
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
    return arm_convolve_wrapper_s8(ctx, conv_params, quant_params, input_dims, input_data,
                                   filter_dims, filter_data, bias_dims, bias_data, output_dims,
                                   output_data);
}

#endif /* !TFLM_OPT_DSP || TFLM_OPT_MVE */
