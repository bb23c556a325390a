#include "tflm_opt_kernels.h"
#include "tflm_opt_tier.h"

#if !TFLM_OPT_DSP

#include "tflm_opt_convolve.h"

arm_cmsis_nn_status tflm_opt_convolve_lines_s8(
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
    tflm_opt_convolution conv;
    tflm_opt_taps taps;
    (void)ctx;
    (void)bias_dims;
    if (!tflm_opt_groups_fit(input_dims, filter_dims, output_dims)) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    tflm_opt_set_convolution(&conv, conv_params, quant_params, input_dims, filter_dims, bias_data,
                             output_dims);
    taps = tflm_opt_convolution_rows(conv_params, input_dims, input, filter_dims, span->y, span->x,
                                     &conv.rows);
    tflm_opt_convolve_span(&conv, filter_data + taps.first * filter_dims->w * filter_dims->c, span,
                           output_dims->c, output_data);
    return ARM_CMSIS_NN_SUCCESS;
}

#endif /* !TFLM_OPT_DSP */
