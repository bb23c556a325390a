#include "tflm_opt_kernels.h"
#include "tflm_opt_mve.h"

#if TFLM_OPT_MVE

arm_cmsis_nn_status arm_fully_connected_per_channel_s8(
    const cmsis_nn_context *ctx,
    const cmsis_nn_fc_params *fc_params,
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
    const int32_t depth = filter_dims->n;
    tflm_opt_channels channels;
    int32_t care;
    int32_t row;
    (void)ctx;
    (void)bias_dims;
    channels.filter_size = depth;
    channels.input_offset = fc_params->input_offset;
    tflm_opt_set_bias(&channels, bias_data);
    channels.multiplier = quant_params->multiplier;
    channels.shift = quant_params->shift;
    channels.quant_step = 1;
    channels.output_offset = fc_params->output_offset;
    channels.activation = fc_params->activation;
    care = tflm_opt_care(&channels, output_dims->c);
    for (row = 0; row < input_dims->n; row++) { /* one by one: then outputs are made in order */
        tflm_opt_dot_lines_s8(&channels, care, input_data, 0, 1, filter_data,
                              output_dims->c, output_data, 0);
        input_data += depth;
        output_data += output_dims->c;
    }
    return ARM_CMSIS_NN_SUCCESS;
}

#endif
