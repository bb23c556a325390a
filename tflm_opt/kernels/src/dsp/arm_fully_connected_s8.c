#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP && !TFLM_OPT_MVE

#include "tflm_opt_dense.h"
#include "tflm_opt_kernels.h"

/* One row of outputs where the filter has an offset too: files of old converters. */
TFLM_OPT_APART void offset_row(const tflm_opt_channels *channels,
                       int32_t filter_offset,
                       const int8_t *input,
                       const int8_t *filter,
                       int32_t count,
                       int8_t *output)
{
    const int32_t *bias = channels->bias;
    int32_t channel;
    int32_t i;
    for (channel = 0; channel < count; channel++) {
        int32_t sum = *bias;
        for (i = 0; i < channels->filter_size; i++) {
            sum += (input[i] + channels->input_offset) * (filter[i] + filter_offset);
        }
        output[channel] =
            tflm_opt_one_output(channels, channels->multiplier, channels->shift, sum);
        bias += channels->bias_step;
        filter += channels->filter_size;
    }
}

arm_cmsis_nn_status arm_fully_connected_s8(const cmsis_nn_context *ctx,
                                           const cmsis_nn_fc_params *fc_params,
                                           const cmsis_nn_per_tensor_quant_params *quant_params,
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
    int32_t multipliers[TFLM_OPT_BLOCK];
    int32_t shifts[TFLM_OPT_BLOCK];
    tflm_opt_channels channels;
    int32_t row;
    int32_t i;
    (void)ctx;
    (void)bias_dims;
    for (i = 0; i < TFLM_OPT_BLOCK; i++) {
        multipliers[i] = quant_params->multiplier;
        shifts[i] = quant_params->shift;
    }
    channels.filter_size = depth;
    channels.input_offset = fc_params->input_offset;
    tflm_opt_set_bias(&channels, bias_data);
    channels.multiplier = multipliers;
    channels.shift = shifts;
    channels.quant_step = 0;
    channels.output_offset = fc_params->output_offset;
    channels.activation = fc_params->activation;
    for (row = 0; row < input_dims->n; row++) {
        if (fc_params->filter_offset == 0) {
            tflm_opt_dense_line_s8(&channels, input_data, filter_data, output_dims->c, output_data);
        } else {
            offset_row(&channels, fc_params->filter_offset, input_data, filter_data,
                       output_dims->c, output_data);
        }
        input_data += depth;
        output_data += output_dims->c;
    }
    return ARM_CMSIS_NN_SUCCESS;
}

int32_t arm_fully_connected_s8_get_buffer_size(const cmsis_nn_dims *filter_dims)
{
    (void)filter_dims;
    return 0;
}

#endif /* TFLM_OPT_DSP */
