#include "tflm_opt_depthwise.h"
#include "tflm_opt_dsp.h"
#include "tflm_opt_kernels.h"

#if TFLM_OPT_DSP

/* Whether all channels have a short form, and all sums. */
static int32_t all_short(const tflm_opt_depthwise_call *call)
{
    const int32_t reach = tflm_opt_reach(call->params->input_offset);
    const int32_t most =
        TFLM_OPT_SHORT_SUM - 1 - 128 * reach * call->filter->h * call->filter->w;
    const int32_t *shift = call->quant->shift;
    int32_t i;
    for (i = 0; i < call->input->c; i++) {
        const uint32_t right = (uint32_t)-shift[i];
        const int32_t bias = call->bias != NULL ? call->bias[i] : 0;
        if (right - 1U > 14U || bias > most || bias < -most) {
            return 0;
        }
    }
    return 1;
}

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
    call->directly = 0;
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
        rows = tflm_opt_min(rows, tflm_opt_depthwise_rows_in(&call->shape, call->size, columns));
        call->in_words = simple && params->stride.w <= 2 &&
                         tflm_opt_depthwise_is_worth_it(&call->shape, columns, rows);
    }
    if (!call->in_words && simple && filter->h <= TFLM_OPT_DEPTHWISE_DIRECT) {
        call->directly = all_short(call);
    }
    return ARM_CMSIS_NN_SUCCESS;
}

#endif
