#include "tflm_opt_kernels.h"
#include "tflm_opt_tier.h"

#include <stddef.h>

#if !TFLM_OPT_DSP || TFLM_OPT_MVE

arm_cmsis_nn_status tflm_opt_convolve_directly_lines_s8(
    const cmsis_nn_context *ctx,
    const cmsis_nn_conv_params *conv_params,
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
    return tflm_opt_convolve_lines_s8(ctx, conv_params, quant_params, input_dims, input,
                                      filter_dims, filter_data, bias_dims, bias_data, output_dims,
                                      span, output_data);
}

void tflm_opt_convolve_pixels_s8(const cmsis_nn_conv_params *conv_params,
                                 const cmsis_nn_per_channel_quant_params *quant_params,
                                 const cmsis_nn_dims *input_dims,
                                 const int8_t *input_data,
                                 const int8_t *filter_data,
                                 const int32_t *bias_data,
                                 int32_t channels,
                                 int8_t *output_data)
{
    const cmsis_nn_context ctx = {NULL, TFLM_OPT_WITHOUT_SCRATCH};
    const cmsis_nn_dims filter_dims = {channels, 1, 1, input_dims->c};
    const cmsis_nn_dims bias_dims = {1, 1, 1, channels};
    const cmsis_nn_dims output_dims = {input_dims->n, input_dims->h, input_dims->w, channels};
    (void)arm_convolve_1x1_s8_fast(&ctx, conv_params, quant_params, input_dims, input_data,
                                   &filter_dims, filter_data, &bias_dims, bias_data, &output_dims,
                                   output_data);
}

#endif /* !TFLM_OPT_DSP || TFLM_OPT_MVE */
