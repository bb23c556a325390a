#include "tflm_opt_depthwise.h"
#include "tflm_opt_kernels.h"
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP && !TFLM_OPT_MVE

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
    tflm_opt_depthwise_phases phases;
    tflm_opt_depthwise_call call;
    int32_t in_phases;
    arm_cmsis_nn_status status;
    const int32_t output_row = output_dims->w * output_dims->c;
    int32_t n;
    (void)bias_dims;
    if (ctx == NULL || output_dims->c != input_dims->c * dw_conv_params->ch_mult) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    tflm_opt_depthwise_set_call(dw_conv_params, quant_params, input_dims, filter_dims, filter_data,
                                bias_data, &call);
    tflm_opt_depthwise_check(&call, output_dims);
    in_phases =
        tflm_opt_depthwise_set_phases(ctx, &call, output_dims->w, output_dims->h, &phases);
    if (!in_phases) {
        status = tflm_opt_depthwise_start_s8(ctx, output_dims->w, output_dims->h, &call);
        if (status != ARM_CMSIS_NN_SUCCESS) {
            return status;
        }
    }
    if (!in_phases && (call.in_words || call.directly)) {
        tflm_opt_depthwise_image_s8(&call, input_data, output_dims, output_data);
        return ARM_CMSIS_NN_SUCCESS;
    }
    for (n = 0; n < input_dims->n; n++) {
        tflm_opt_lines_shape shape;
        const tflm_opt_lines lines = tflm_opt_whole(input_dims, input_data, &shape);
        tflm_opt_depthwise_band band = {0, output_dims->h, 0, output_dims->w};
        while (band.rows > 0) {
            const tflm_opt_span span = {band.y, 0, output_dims->w};
            int32_t rows = 1;
            if (in_phases) {
                rows = tflm_opt_depthwise_dilated_s8(&call, &phases, &lines, &band, output_data,
                                                     output_row);
            } else {
                tflm_opt_depthwise_any_s8(&call, &lines, &span, output_data);
            }
            band.y += rows;
            band.rows -= rows;
            output_data += rows * output_row;
        }
        input_data += input_dims->h * shape.ring_step;
    }
    return ARM_CMSIS_NN_SUCCESS;
}

int32_t arm_depthwise_conv_s8_get_buffer_size(const cmsis_nn_dims *input_dims,
                                              const cmsis_nn_dims *filter_dims)
{
    return tflm_opt_depthwise_buffer_size(input_dims, filter_dims);
}

#endif
