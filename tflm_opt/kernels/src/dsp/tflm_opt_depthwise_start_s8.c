#include "tflm_opt_depthwise.h"
#include "tflm_opt_kernels.h"
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP

arm_cmsis_nn_status tflm_opt_depthwise_start_s8(const cmsis_nn_context *ctx,
                                                const cmsis_nn_dims *output,
                                                int32_t columns,
                                                int32_t rows,
                                                tflm_opt_depthwise_call *call)
{
    const cmsis_nn_dw_conv_params *params = call->params;
    const cmsis_nn_dims *filter = call->filter;
    const int32_t wanted = arm_depthwise_conv_s8_get_buffer_size(call->input, filter);
    const int32_t simple = params->ch_mult == 1 && params->dilation.w == 1 &&
                           params->dilation.h == 1 && call->input->c >= 4;
    call->in_words = 0;
    call->rows = 1;
    call->all_short = 0;
    if (ctx == NULL || output->c != call->input->c * params->ch_mult) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    call->scratch = (int32_t *)ctx->buf;
    call->size = ctx->size == 0 ? wanted : ctx->size;
    if (wanted != 0 && (ctx->size != TFLM_OPT_WITHOUT_SCRATCH || ctx->buf != NULL)) {
        call->shape =
            tflm_opt_depthwise_shape_of(filter->h, filter->w, params->stride.h, params->stride.w);
        if (ctx->buf == NULL || call->size < tflm_opt_depthwise_scratch(&call->shape, 1, 1)) {
            return ARM_CMSIS_NN_ARG_ERROR;
        }
        call->rows =
            tflm_opt_min(rows, tflm_opt_depthwise_rows_in(&call->shape, call->size, columns));
        call->in_words = simple && params->stride.w <= 2 &&
                         tflm_opt_depthwise_is_worth_it(&call->shape, columns, call->rows);
    }
    call->directly = simple && filter->h <= TFLM_OPT_DEPTHWISE_DIRECT;
    return ARM_CMSIS_NN_SUCCESS;
}

#endif
