#include "tflm_opt_kernels.h"
#include "tflm_opt_lines.h"
#include "tflm_opt_mve.h"

#if TFLM_OPT_MVE

/*
 * Whole images. Windows of 3x3 with steps of one are made in bands of pairs of rows, as many as
 * scratch has room for; a band is a block. Others are made row by row.
 */
typedef struct {
    const cmsis_nn_dw_conv_params *params;
    const cmsis_nn_dims *input;
    const cmsis_nn_dims *output;
    tflm_opt_channels channels;
} depthwise;

/* Rows of a band, 0 where pairs of rows are of no use. */
static int32_t rows_of_band(const depthwise *conv,
                            const cmsis_nn_context *ctx,
                            const cmsis_nn_dims *filter)
{
    const cmsis_nn_dw_conv_params *params = conv->params;
    const int32_t size =
        ctx->size != 0 ? ctx->size : arm_depthwise_conv_s8_get_buffer_size(conv->input, filter);
    if (ctx->buf == NULL || params->ch_mult != 1 || filter->h != 3 || filter->w != 3 ||
        params->stride.w != 1 || params->stride.h != 1 || params->dilation.w != 1 ||
        params->dilation.h != 1 || conv->output->h < 2 || conv->output->w < 2 ||
        conv->channels.bias_step == 0 ||
        tflm_opt_care(&conv->channels, conv->output->c) == TFLM_OPT_ANY) {
        return 0;
    }
    return 2 * ((size - TFLM_OPT_PAIR_TAPS) / tflm_opt_pair_words(conv->output->w));
}

static void set_depthwise(depthwise *conv,
                          const cmsis_nn_dw_conv_params *params,
                          const cmsis_nn_per_channel_quant_params *quant_params,
                          const int32_t *bias)
{
    conv->params = params;
    tflm_opt_set_bias(&conv->channels, bias);
    conv->channels.multiplier = quant_params->multiplier;
    conv->channels.shift = quant_params->shift;
    conv->channels.input_offset = params->input_offset;
    conv->channels.quant_step = 1;
    conv->channels.output_offset = params->output_offset;
    conv->channels.activation = params->activation;
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
    const int32_t row = output_dims->w * output_dims->c;
    arm_cmsis_nn_status status = ARM_CMSIS_NN_SUCCESS;
    depthwise conv;
    int32_t band;
    int32_t n;
    conv.input = input_dims;
    conv.output = output_dims;
    set_depthwise(&conv, dw_conv_params, quant_params, bias_data);
    band = rows_of_band(&conv, ctx, filter_dims);
    for (n = 0; n < input_dims->n; n++) {
        tflm_opt_lines_shape shape;
        const tflm_opt_lines lines = tflm_opt_whole(input_dims, input_data, &shape);
        tflm_opt_span span = {0, 0, output_dims->w};
        while (span.y < output_dims->h && status == ARM_CMSIS_NN_SUCCESS) {
            const int32_t rows = tflm_opt_min(band > 0 ? band : 1, output_dims->h - span.y);
            if (band > 0) {
                tflm_opt_depthwise_pairs_s8(dw_conv_params, &conv.channels, input_dims, &lines,
                                            filter_data, output_dims, span.y, rows,
                                            (int8_t *)ctx->buf, output_data);
            } else {
                status = tflm_opt_depthwise_lines_s8(ctx, dw_conv_params, quant_params, input_dims,
                                                     &lines, filter_dims, filter_data, bias_dims,
                                                     bias_data, output_dims, &span, output_data);
            }
            output_data += rows * row;
            span.y += rows;
        }
        input_data += input_dims->h * input_dims->w * input_dims->c;
    }
    return status;
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
