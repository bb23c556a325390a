#include "tflm_opt_kernels.h"
#include "tflm_opt_mve.h"

#if TFLM_OPT_MVE

/* Order: with scratch all of a span is one block; without it, four channels of a pixel. */
arm_cmsis_nn_status tflm_opt_depthwise_lines_s8(
    const cmsis_nn_context *ctx,
    const cmsis_nn_dw_conv_params *dw_conv_params,
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
    tflm_opt_channels channels;
    tflm_opt_depthwise_layer layer;
    (void)bias_dims;
    if (output_dims->c != input_dims->c * dw_conv_params->ch_mult ||
        (ctx->buf == NULL && ctx->size >= 0 &&
         arm_depthwise_conv_s8_get_buffer_size(input_dims, filter_dims) > 0)) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    tflm_opt_depthwise_set_layer(dw_conv_params, quant_params, bias_data, input_dims, filter_dims,
                                 filter_data, &channels, &layer);
    layer.lines = input;
    if (tflm_opt_depthwise_tiles_s8(ctx, &layer, span, 1, output_data) == 0) {
        tflm_opt_depthwise_pixels_s8(&layer, span, output_data);
    }
    return ARM_CMSIS_NN_SUCCESS;
}

#endif
