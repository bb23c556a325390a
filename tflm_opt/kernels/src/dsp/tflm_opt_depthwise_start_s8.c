#include "tflm_opt_depthwise.h"
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP && !TFLM_OPT_MVE

void tflm_opt_depthwise_set_shape(const cmsis_nn_dims *filter,
                                  int32_t stride_h,
                                  int32_t stride_w,
                                  tflm_opt_depthwise_shape *shape)
{
    const int32_t height = filter->h;
    shape->height = height;
    shape->stride_h = stride_h;
    shape->stride_w = stride_w;
    shape->pairs = (height + 1) / 2;
    if (height == 3 && filter->w <= 3 && stride_h == stride_w) {
        shape->width = 3;
        shape->code = stride_w - 1;
        shape->tap_rows = 2;
        return;
    }
    shape->width = tflm_opt_max(filter->w, height) <= 5 ? 5 : 7;
    shape->code = 2 * stride_w + (shape->width == 7 ? 1 : 0);
    shape->tap_rows = shape->pairs + ((stride_h & 1) != 0 ? height / 2 + 1 : 0);
}

int32_t tflm_opt_depthwise_row_words(const tflm_opt_depthwise_shape *shape, int32_t columns)
{
    return (columns - 1) * shape->stride_w + shape->width;
}

int32_t tflm_opt_depthwise_pairs(const tflm_opt_depthwise_shape *shape, int32_t rows)
{
    return ((rows - 1) * shape->stride_h + shape->height + 1) / 2;
}

int32_t tflm_opt_depthwise_scratch(const tflm_opt_depthwise_shape *shape,
                                   int32_t rows,
                                   int32_t columns)
{
    const int32_t pairs = tflm_opt_depthwise_pairs(shape, rows);
    return 16 * (tflm_opt_depthwise_record_words(shape) +
                 pairs * tflm_opt_depthwise_row_words(shape, columns)) +
           12 * (pairs + shape->tap_rows + rows) + TFLM_OPT_DEPTHWISE_TOOLS;
}

int32_t tflm_opt_depthwise_buffer_size(const cmsis_nn_dims *input, const cmsis_nn_dims *filter)
{
    int32_t most = 0;
    int32_t strides;
    if (filter->h > TFLM_OPT_DEPTHWISE_TAPS || filter->w > TFLM_OPT_DEPTHWISE_TAPS ||
        filter->c != input->c || input->c < 4) {
        return 0;
    }
    for (strides = 0; strides < 4; strides++) {
        const int32_t across = 1 + (strides & 1);
        tflm_opt_depthwise_shape shape;
        tflm_opt_depthwise_set_shape(filter, 1 + strides / 2, across, &shape);
        most = tflm_opt_max(
            most, tflm_opt_depthwise_scratch(&shape, 4, (input->w + across - 1) / across));
    }
    return most;
}

const int8_t *tflm_opt_depthwise_pixel_of(const tflm_opt_depthwise_call *call,
                                          const tflm_opt_lines *lines,
                                          int32_t y,
                                          int32_t x)
{
    return tflm_opt_pixel(lines, y * call->apart.h + call->origin.h,
                          x * call->apart.w + call->origin.w, call->input->c);
}

TFLM_OPT_SMALL arm_cmsis_nn_status tflm_opt_depthwise_start_s8(const cmsis_nn_context *ctx,
                                                int32_t columns,
                                                int32_t rows,
                                                tflm_opt_depthwise_call *call)
{
    const cmsis_nn_dw_conv_params *params = call->params;
    int32_t wanted;
    int32_t size;
    call->in_words = 0;
    call->set[0] = 0;
    call->step = call->input->c;
    call->origin.w = call->origin.h = 0;
    call->apart.w = call->apart.h = 1;
    if (ctx->size == TFLM_OPT_WITHOUT_SCRATCH && ctx->buf == NULL) {
        return ARM_CMSIS_NN_SUCCESS;
    }
    wanted = tflm_opt_depthwise_buffer_size(call->input, call->filter);
    if (wanted == 0) {
        return ARM_CMSIS_NN_SUCCESS;
    }
    size = ctx->size == 0 ? wanted : ctx->size;
    tflm_opt_depthwise_set_shape(call->filter, params->stride.h, params->stride.w, &call->shape);
    if (ctx->buf == NULL || size < tflm_opt_depthwise_scratch(&call->shape, 1, 1)) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    while (rows > 1 && tflm_opt_depthwise_scratch(&call->shape, rows, columns) > size) {
        rows -= tflm_opt_depthwise_is_paired(&call->shape) && rows > 2 ? 2 - (rows & 1) : 1;
    }
    call->scratch = (int32_t *)ctx->buf;
    call->size = size;
    call->rows = rows;
    call->in_words = call->is_plain && params->dilation.w == 1 && params->dilation.h == 1 &&
                     params->stride.w <= 2 &&
                     tflm_opt_depthwise_is_worth_it(columns, rows);
    return ARM_CMSIS_NN_SUCCESS;
}

#endif
