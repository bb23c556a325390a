#include "tflm_opt_dot.h"
#include "tflm_opt_kernels.h"

#include <stddef.h>

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
    const int32_t offset = fc_params->input_offset;
    const int32_t filter_offset = fc_params->filter_offset;
    int32_t row;
    int32_t channel;
    int32_t i;
    (void)ctx;
    (void)bias_dims;
    for (row = 0; row < input_dims->n; row++) {
        const int8_t *filter = filter_data;
        for (channel = 0; channel < output_dims->c; channel++) {
            int32_t sum = bias_data != NULL ? bias_data[channel] : 0;
            sum = tflm_opt_dot_s8(sum, input_data, filter, depth, offset);
            if (filter_offset != 0) {
                for (i = 0; i < depth; i++) {
                    sum += (input_data[i] + offset) * filter_offset;
                }
            }
            *output_data++ = tflm_opt_output_s8(sum, quant_params->multiplier, quant_params->shift,
                                                fc_params->output_offset, fc_params->activation);
            filter += depth;
        }
        input_data += depth;
    }
    return ARM_CMSIS_NN_SUCCESS;
}

int32_t arm_fully_connected_s8_get_buffer_size(const cmsis_nn_dims *filter_dims)
{
    (void)filter_dims;
    return 0;
}
