#include "tflm_opt_kernels.h"
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP && !TFLM_OPT_MVE

#include "tflm_opt_check.h"
#include "tflm_opt_gemm.h"

arm_cmsis_nn_status arm_convolve_1x1_s8_fast(const cmsis_nn_context *ctx,
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
    tflm_opt_gemm gemm;
    (void)filter_dims;
    (void)bias_dims;
    if (!tflm_opt_pointwise_fits(conv_params, quant_params, input_dims, output_dims) ||
        ctx == NULL || input_data == NULL || filter_data == NULL || output_data == NULL) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    tflm_opt_set_gemm(&gemm, conv_params, quant_params, filter_data, bias_data, output_dims,
                      output_data);
    tflm_opt_set_gemm_row(&gemm, input_dims->n * input_dims->h * input_dims->w, input_dims->c);
    return tflm_opt_gemm_images_s8(&gemm, ctx, input_data, 1);
}

int32_t arm_convolve_1x1_s8_fast_get_buffer_size(const cmsis_nn_dims *input_dims)
{
    return tflm_opt_gemm_size(input_dims->c);
}

#endif /* TFLM_OPT_DSP */
