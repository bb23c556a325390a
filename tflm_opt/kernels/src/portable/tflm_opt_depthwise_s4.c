#include "tflm_opt_kernels.h"
#include "tflm_opt_unpack.h"

/* All weights are unpacked, for each call; what is left of scratch is the int8 kernel's. */
arm_cmsis_nn_status tflm_opt_depthwise_s4(const cmsis_nn_context *ctx,
                                          const cmsis_nn_dw_conv_params *dw_conv_params,
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
    const int32_t count = filter_dims->h * filter_dims->w * filter_dims->c;
    const int32_t bytes = (count + 7) & ~7;
    cmsis_nn_context rest = {NULL, TFLM_OPT_WITHOUT_SCRATCH};
    if (ctx == NULL || ctx->buf == NULL || ctx->size < bytes || filter_data == NULL) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    if (ctx->size > bytes) {
        rest.buf = (int8_t *)ctx->buf + bytes;
        rest.size = ctx->size - bytes;
    }
    return arm_depthwise_conv_wrapper_s8(
        &rest, dw_conv_params, quant_params, input_dims, input_data, filter_dims,
        tflm_opt_unpack_s4(filter_data, 0, count, (int8_t *)ctx->buf), bias_dims, bias_data,
        output_dims, output_data);
}
