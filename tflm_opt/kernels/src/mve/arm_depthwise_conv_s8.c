#include "tflm_opt_kernels.h"
#include "tflm_opt_lines.h"
#include "tflm_opt_mve.h"

#include <stddef.h>

#if TFLM_OPT_MVE

/*
 * Whole images. Windows of 3x3 with steps of one are made in bands of pairs of rows, others in bands
 * of rows, as many as scratch has room for; a band is a block.
 */

/* Rows of a band, 0 where pairs of rows are of no use. */
static int32_t rows_of_pairs(const tflm_opt_depthwise_layer *layer,
                             const cmsis_nn_context *ctx,
                             const cmsis_nn_dims *output)
{
    const cmsis_nn_dw_conv_params *params = layer->params;
    const cmsis_nn_dims *filter = layer->filter;
    const int32_t size =
        ctx->size != 0 ? ctx->size : arm_depthwise_conv_s8_get_buffer_size(layer->input, filter);
    if (params->ch_mult != 1 || filter->h != 3 || filter->w != 3 ||
        params->stride.w != 1 || params->stride.h != 1 || params->dilation.w != 1 ||
        params->dilation.h != 1 || output->h < 2 || output->w < 2 ||
        layer->channels->bias_step == 0 || layer->care == TFLM_OPT_ANY) {
        return 0;
    }
    return 2 * ((size - TFLM_OPT_PAIR_TAPS) / tflm_opt_pair_words(output->w));
}

/* Some of the first rows of a span's row and those below; how many. */
static int32_t make_some(const cmsis_nn_context *ctx,
                         const tflm_opt_depthwise_layer *layer,
                         const cmsis_nn_dims *output_dims,
                         const tflm_opt_span *span,
                         int8_t *output)
{
    const int32_t left = output_dims->h - span->y;
    int32_t rows = 0;
    if (ctx->buf != NULL) {
        rows = tflm_opt_min(rows_of_pairs(layer, ctx, output_dims), left);
        if (rows > 0) {
            tflm_opt_depthwise_pairs_s8(layer, output_dims, span->y, rows, (int8_t *)ctx->buf,
                                        output);
            return rows;
        }
        rows = tflm_opt_depthwise_tiles_s8(ctx, layer, span, left, output);
    }
    if (rows > 0) {
        return rows;
    }
    tflm_opt_depthwise_pixels_s8(layer, span, output);
    return 1;
}

arm_cmsis_nn_status arm_depthwise_conv_s8(const cmsis_nn_context *ctx,
                                          const cmsis_nn_dw_conv_params *dw_conv_params,
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
    tflm_opt_channels channels;
    tflm_opt_depthwise_layer layer;
    int32_t n;
    (void)bias_dims;
    if (output_dims->c != input_dims->c * dw_conv_params->ch_mult ||
        (ctx->buf == NULL && ctx->size >= 0 &&
         arm_depthwise_conv_s8_get_buffer_size(input_dims, filter_dims) > 0)) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    tflm_opt_depthwise_set_layer(dw_conv_params, quant_params, bias_data, input_dims, filter_dims,
                                 filter_data, &channels, &layer);
    for (n = 0; n < input_dims->n; n++) {
        tflm_opt_lines_shape shape;
        const tflm_opt_lines lines = tflm_opt_whole(input_dims, input_data, &shape);
        tflm_opt_span span = {0, 0, output_dims->w};
        layer.lines = &lines;
        while (span.y < output_dims->h) {
            const int32_t rows = make_some(ctx, &layer, output_dims, &span, output_data);
            output_data += rows * output_dims->w * output_dims->c;
            span.y += rows;
        }
        input_data += input_dims->h * shape.ring_step;
    }
    return ARM_CMSIS_NN_SUCCESS;
}

/* Words of a whole row with stride 1; with stride 2 they hold as much, or half of it. */
int32_t arm_depthwise_conv_s8_get_buffer_size(const cmsis_nn_dims *input_dims,
                                              const cmsis_nn_dims *filter_dims)
{
    const int32_t columns = input_dims->w + filter_dims->w + 3 * TFLM_OPT_TALL;
    if (filter_dims->h > 2 * TFLM_OPT_TALL || filter_dims->w > 2 * TFLM_OPT_TALL) {
        return 0;
    }
    return tflm_opt_tap_words(filter_dims) +
           tflm_opt_tiles(filter_dims) * columns * TFLM_OPT_COLUMN;
}

#endif
