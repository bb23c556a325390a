#include "tflm_opt_kernels.h"
#include "tflm_opt_lines.h"
#include "tflm_opt_mve.h"

#if TFLM_OPT_MVE

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
    arm_cmsis_nn_status status = ARM_CMSIS_NN_SUCCESS;
    int32_t n;
    for (n = 0; n < input_dims->n; n++) {
        tflm_opt_lines_shape shape;
        const tflm_opt_lines lines = tflm_opt_whole(input_dims, input_data, &shape);
        tflm_opt_span span = {0, 0, output_dims->w};
        for (; span.y < output_dims->h && status == ARM_CMSIS_NN_SUCCESS; span.y++) {
            status = tflm_opt_depthwise_lines_s8(ctx, dw_conv_params, quant_params, input_dims,
                                                 &lines, filter_dims, filter_data, bias_dims,
                                                 bias_data, output_dims, &span, output_data);
            output_data += output_dims->w * output_dims->c;
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
