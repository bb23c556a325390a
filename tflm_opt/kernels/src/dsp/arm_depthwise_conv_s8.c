#include "tflm_opt_depthwise.h"
#include "tflm_opt_kernels.h"
#include "tflm_opt_lines.h"
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP && !TFLM_OPT_MVE

/*
 * Whole images, in bands of rows. A band is a block: as many rows as the scratch has room for, one at
 * least; its outputs are written in any order, before the block's last reads. Without scratch, or
 * with a filter that does not fit the words, a block is an element.
 */

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
    const int32_t output_row = output_dims->w * output_dims->c;
    tflm_opt_depthwise_call call = {dw_conv_params, quant_params, input_dims, filter_dims,
                                    filter_data,    bias_data,    {0},        NULL,
                                    0,              0,            0,      0,
                                    0};
    const arm_cmsis_nn_status status =
        tflm_opt_depthwise_start_s8(ctx, output_dims, output_dims->w, output_dims->h, &call);
    int32_t n;
    (void)bias_dims;
    if (status != ARM_CMSIS_NN_SUCCESS) {
        return status;
    }
    for (n = 0; n < input_dims->n; n++) {
        tflm_opt_lines_shape shape;
        const tflm_opt_lines lines = tflm_opt_whole(input_dims, input_data, &shape);
        tflm_opt_depthwise_band band = {0, 0, 0, output_dims->w};
        int32_t end = call.rows;
        while (band.y < output_dims->h) {
            int32_t rows = 1;
            band.rows = tflm_opt_min(end, output_dims->h) - band.y;
            if (call.in_words && (band.y == 0 || tflm_opt_depthwise_is_worth_it(
                                                     &call.shape, band.columns, band.rows))) {
                rows = tflm_opt_depthwise_band_s8(&call, &lines, &band, output_data, output_row);
            } else {
                const tflm_opt_span span = {band.y, 0, band.columns};
                if (!call.directly ||
                    !tflm_opt_depthwise_direct_s8(&call, &lines, &span, output_data)) {
                    tflm_opt_depthwise_any_s8(&call, &lines, &span, 0, output_dims->c, output_data);
                }
            }
            band.y += rows;
            end += band.y >= end ? call.rows : 0;
            output_data += rows * output_row;
        }
        input_data += input_dims->h * input_dims->w * input_dims->c;
    }
    return ARM_CMSIS_NN_SUCCESS;
}

int32_t arm_depthwise_conv_s8_get_buffer_size(const cmsis_nn_dims *input_dims,
                                              const cmsis_nn_dims *filter_dims)
{
    return tflm_opt_depthwise_buffer_size(input_dims, filter_dims);
}

#endif
