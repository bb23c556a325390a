#include "tflm_opt_kernels.h"
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP && !TFLM_OPT_MVE

#include "tflm_opt_check.h"
#include "tflm_opt_convolve.h"

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
    const tflm_opt_span span = {0, 0, output_dims->h * output_dims->w};
    arm_cmsis_nn_status status = ARM_CMSIS_NN_SUCCESS;
    int32_t n;
    if (tflm_opt_is_pointwise(conv_params, input_dims, filter_dims, output_dims)) {
        tflm_opt_convolve_pixels_s8(conv_params, quant_params, input_dims, input_data, filter_data,
                                    bias_data, output_dims->c, output_data);
        return ARM_CMSIS_NN_SUCCESS;
    }
    for (n = 0; n < input_dims->n && status == ARM_CMSIS_NN_SUCCESS; n++) {
        tflm_opt_lines_shape shape;
        const tflm_opt_lines lines = tflm_opt_whole(input_dims, input_data, &shape);
        status = tflm_opt_convolve_directly_lines_s8(
            ctx, conv_params, quant_params, input_dims, &lines, filter_dims, filter_data, bias_dims,
            bias_data, output_dims, &span, output_data);
        input_data += input_dims->h * input_dims->w * input_dims->c;
        output_data += span.count * output_dims->c;
    }
    return status;
}

#endif /* TFLM_OPT_DSP */
