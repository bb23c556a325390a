#include "tflm_opt_kernels.h"
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP && !TFLM_OPT_MVE

#include "tflm_opt_check.h"
#include "tflm_opt_gemm.h"

/* Images as one row of pixels where windows are pixels; else each as one span. */
TFLM_OPT_SMALL arm_cmsis_nn_status arm_convolve_wrapper_s8(const cmsis_nn_context *ctx,
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
    int32_t images = 1;
    tflm_opt_gemm gemm;
    (void)bias_dims;
    if (ctx == NULL || input_data == NULL || filter_data == NULL || output_data == NULL ||
        !tflm_opt_convolution_fits(conv_params, quant_params, input_dims, filter_dims,
                                   output_dims)) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    tflm_opt_set_gemm(&gemm, conv_params, quant_params, filter_data, bias_data, output_dims,
                      output_data);
    if (tflm_opt_is_pointwise(conv_params, input_dims, filter_dims, output_dims)) {
        tflm_opt_set_gemm_row(&gemm, input_dims->n * input_dims->h * input_dims->w, input_dims->c);
    } else {
        images = input_dims->n;
        gemm.input = *input_dims;
        gemm.kernel = *filter_dims;
        gemm.span.count = output_dims->h * output_dims->w;
        gemm.staged = 1;
    }
    return tflm_opt_gemm_images_s8(&gemm, ctx, input_data, images);
}

int32_t arm_convolve_wrapper_s8_get_buffer_size(const cmsis_nn_conv_params *conv_params,
                                                const cmsis_nn_dims *input_dims,
                                                const cmsis_nn_dims *filter_dims,
                                                const cmsis_nn_dims *output_dims)
{
    (void)conv_params;
    (void)input_dims;
    (void)output_dims;
    return tflm_opt_gemm_size(filter_dims->h * filter_dims->w * filter_dims->c);
}

#endif /* TFLM_OPT_DSP */
