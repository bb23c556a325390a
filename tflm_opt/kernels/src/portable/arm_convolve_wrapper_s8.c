#include "tflm_opt_check.h"
#include "tflm_opt_kernels.h"
#include "tflm_opt_tier.h"

#if !TFLM_OPT_DSP || TFLM_OPT_MVE

arm_cmsis_nn_status arm_convolve_wrapper_s8(const cmsis_nn_context *ctx,
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
    if (ctx == NULL || input_data == NULL || filter_data == NULL || output_data == NULL ||
        !tflm_opt_convolution_fits(conv_params, quant_params, input_dims, filter_dims,
                                   output_dims)) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    if (tflm_opt_is_pointwise(conv_params, input_dims, filter_dims, output_dims)) {
        return arm_convolve_1x1_s8_fast(ctx, conv_params, quant_params, input_dims, input_data,
                                        filter_dims, filter_data, bias_dims, bias_data,
                                        output_dims, output_data);
    }
    return arm_convolve_s8(ctx, conv_params, quant_params, input_dims, input_data, filter_dims,
                           filter_data, bias_dims, bias_data, NULL, output_dims, output_data);
}

int32_t arm_convolve_wrapper_s8_get_buffer_size(const cmsis_nn_conv_params *conv_params,
                                                const cmsis_nn_dims *input_dims,
                                                const cmsis_nn_dims *filter_dims,
                                                const cmsis_nn_dims *output_dims)
{
    if (tflm_opt_is_pointwise(conv_params, input_dims, filter_dims, output_dims)) {
        return arm_convolve_1x1_s8_fast_get_buffer_size(input_dims);
    }
    return arm_convolve_s8_get_buffer_size(input_dims, filter_dims);
}

#endif /* !TFLM_OPT_DSP || TFLM_OPT_MVE */
