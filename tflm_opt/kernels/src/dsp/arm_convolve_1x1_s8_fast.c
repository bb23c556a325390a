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
    int32_t pixels;
    int32_t depth;
    tflm_opt_gemm_problem problem;
    tflm_opt_gemm gemm;
    int32_t size;
    (void)filter_dims;
    if (!tflm_opt_pointwise_fits(conv_params, quant_params, input_dims, output_dims) ||
        ctx == NULL || input_data == NULL || filter_data == NULL || output_data == NULL ||
        (ctx->buf == NULL && ctx->size != TFLM_OPT_WITHOUT_SCRATCH)) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    size = ctx->size;
    pixels = input_dims->n * input_dims->h * input_dims->w;
    depth = input_dims->c;
    if (size == TFLM_OPT_WITHOUT_SCRATCH) {
        return arm_convolve_s8(ctx, conv_params, quant_params, input_dims, input_data, filter_dims,
                               filter_data, bias_dims, bias_data, NULL, output_dims, output_data);
    }
    problem.filter = filter_data;
    problem.bias = bias_data;
    problem.multiplier = quant_params->multiplier;
    problem.shift = quant_params->shift;
    problem.channels = output_dims->c;
    problem.input_offset = conv_params->input_offset;
    problem.output_offset = conv_params->output_offset;
    problem.activation = conv_params->activation;
    problem.rows = 1;
    problem.length = depth;
    problem.staging = 0;
    if (size == 0) {
        size = arm_convolve_1x1_s8_fast_get_buffer_size(input_dims);
    }
    if (tflm_opt_gemm_start(&gemm, &problem, ctx->buf, size) != ARM_CMSIS_NN_SUCCESS) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    tflm_opt_gemm_pixels(&gemm, input_data, pixels, output_data);
    return ARM_CMSIS_NN_SUCCESS;
}

int32_t arm_convolve_1x1_s8_fast_get_buffer_size(const cmsis_nn_dims *input_dims)
{
    return tflm_opt_gemm_size(input_dims->c);
}

#endif /* TFLM_OPT_DSP */
