#include "tflm_opt_kernels.h"
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP && !TFLM_OPT_MVE

#include "tflm_opt_convolve.h"
#include "tflm_opt_gemm.h"

/* See tflm_opt_gemm.h. Spans may go on from row to row here. */
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
    tflm_opt_gemm gemm;
    (void)bias_dims;
    if (!tflm_opt_groups_fit(input_dims, filter_dims, output_dims)) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    tflm_opt_set_gemm(&gemm, conv_params, quant_params, filter_data, bias_data, output_dims,
                      output_data);
    gemm.lines = input;
    gemm.input = *input_dims;
    gemm.kernel = *filter_dims;
    gemm.span = *span;
    gemm.staged = 1;
    return tflm_opt_gemm_s8(&gemm, ctx);
}

#endif /* TFLM_OPT_DSP */
