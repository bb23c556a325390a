#include "tflm_opt_depthwise.h"
#include "tflm_opt_kernels.h"
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP && !TFLM_OPT_MVE

/* The span is a block, but without scratch, or with a filter that does not fit the words. */
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
    const tflm_opt_depthwise_band band = {span->y, 1, span->x, span->count};
    tflm_opt_depthwise_phases phases;
    tflm_opt_depthwise_call call;
    arm_cmsis_nn_status status;
    (void)bias_dims;
    if (ctx == NULL || output_dims->c != input_dims->c * dw_conv_params->ch_mult) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    tflm_opt_depthwise_set_call(dw_conv_params, quant_params, input_dims, filter_dims, filter_data,
                                bias_data, &call);
    tflm_opt_depthwise_check(&call, output_dims);
    if (tflm_opt_depthwise_set_phases(ctx, &call, span->count, 1, &phases)) {
        tflm_opt_depthwise_dilated_s8(&call, &phases, input, &band, output_data, 0);
        return ARM_CMSIS_NN_SUCCESS;
    }
    status = tflm_opt_depthwise_start_s8(ctx, span->count, 1, &call);
    if (status != ARM_CMSIS_NN_SUCCESS) {
        return status;
    }
    if (call.in_words || call.directly) {
        tflm_opt_depthwise_some_s8(&call, input, &band, output_data, 0);
    } else {
        tflm_opt_depthwise_any_s8(&call, input, span, output_data);
    }
    return ARM_CMSIS_NN_SUCCESS;
}

#endif
