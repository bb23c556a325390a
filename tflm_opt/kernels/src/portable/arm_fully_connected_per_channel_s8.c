#include "tflm_opt_dot.h"
#include "tflm_opt_kernels.h"

#include <stddef.h>

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
    int32_t row;
    int32_t channel;
    (void)ctx;
    (void)bias_dims;
    for (row = 0; row < input_dims->n; row++) {
        const int8_t *filter = filter_data;
        for (channel = 0; channel < output_dims->c; channel++) {
            const int32_t bias = bias_data != NULL ? bias_data[channel] : 0;
            const int32_t sum =
                tflm_opt_dot_s8(bias, input_data, filter, depth, fc_params->input_offset);
            *output_data++ =
                tflm_opt_output_s8(sum, quant_params->multiplier[channel],
                                   quant_params->shift[channel], fc_params->output_offset,
                                   fc_params->activation);
            filter += depth;
        }
        input_data += depth;
    }
    return ARM_CMSIS_NN_SUCCESS;
}
