#include "tflm_opt_depthwise.h"
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP

arm_cmsis_nn_status tflm_opt_depthwise_start_s8(const cmsis_nn_context *ctx,
                                                const cmsis_nn_dims *output,
                                                tflm_opt_depthwise_call *call)
{
    const cmsis_nn_dw_conv_params *params = call->params;
    const cmsis_nn_dims *filter = call->filter;
    const int32_t wanted = tflm_opt_depthwise_buffer_size(call->input, filter);
    call->in_words = 0;
    call->scratch = (int32_t *)ctx->buf;
    call->size = ctx->size == 0 ? wanted : ctx->size;
    if (output->c != call->input->c * params->ch_mult) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    if (wanted == 0 || (ctx->size == TFLM_OPT_WITHOUT_SCRATCH && ctx->buf == NULL)) {
        return ARM_CMSIS_NN_SUCCESS;
    }
    call->shape =
        tflm_opt_depthwise_shape_of(filter->h, filter->w, params->stride.h, params->stride.w);
    if (ctx->buf == NULL || call->size < tflm_opt_depthwise_scratch(&call->shape, 1, 1)) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    call->in_words = params->ch_mult == 1 && params->stride.w <= 2 && params->dilation.w == 1 &&
                     params->dilation.h == 1;
    return ARM_CMSIS_NN_SUCCESS;
}

#endif
