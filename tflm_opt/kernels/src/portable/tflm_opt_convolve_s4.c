#include "tflm_opt_kernels.h"
#include "tflm_opt_tier.h"

#if !TFLM_OPT_DSP || TFLM_OPT_MVE

#include "tflm_opt_convolve_s4.h"

/* Where all weights have room, they are unpacked once, and the int8 kernel does the rest. */
arm_cmsis_nn_status tflm_opt_convolve_s4(const cmsis_nn_context *ctx,
                                         const cmsis_nn_conv_params *conv_params,
                                         const cmsis_nn_per_channel_quant_params *quant_params,
                                         const cmsis_nn_dims *input_dims,
                                         const int8_t *input_data,
                                         const cmsis_nn_dims *filter_dims,
                                         const int32_t *filter_data,
                                         const cmsis_nn_dims *bias_dims,
                                         const int32_t *bias_data,
                                         const cmsis_nn_dims *output_dims,
                                         int8_t *output_data)
{
    const cmsis_nn_context none = {NULL, TFLM_OPT_WITHOUT_SCRATCH};
    int32_t count;
    if (ctx == NULL || ctx->buf == NULL || input_data == NULL || filter_data == NULL ||
        output_data == NULL ||
        !tflm_opt_convolution_fits(conv_params, quant_params, input_dims, filter_dims,
                                   output_dims)) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    count = output_dims->c * filter_dims->h * filter_dims->w * filter_dims->c;
    if (ctx->size < ((count + 7) & ~7)) {
        return tflm_opt_convolve_unpacked(ctx, conv_params, quant_params, input_dims, input_data,
                                          filter_dims, filter_data, bias_data, output_dims,
                                          output_data);
    }
    return arm_convolve_wrapper_s8(
        &none, conv_params, quant_params, input_dims, input_data, filter_dims,
        tflm_opt_unpack_s4(filter_data, 0, count, (int8_t *)ctx->buf), bias_dims, bias_data,
        output_dims, output_data);
}

#endif /* !TFLM_OPT_DSP || TFLM_OPT_MVE */
