#include "tflm_opt_dot.h"
#include "tflm_opt_kernels.h"

#include <stddef.h>

arm_cmsis_nn_status arm_convolve_1x1_s8_fast(const cmsis_nn_context *ctx,
                                             const cmsis_nn_conv_params *conv_params,
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
    const int32_t pixels = input_dims->n * input_dims->h * input_dims->w;
    const int32_t depth = input_dims->c;
    const int32_t offset = conv_params->input_offset;
    int32_t pixel;
    int32_t channel;
    (void)ctx;
    (void)bias_dims;
    if (conv_params->padding.h != 0 || conv_params->padding.w != 0 ||
        conv_params->stride.h != 1 || conv_params->stride.w != 1 || filter_dims->c != depth) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    for (pixel = 0; pixel < pixels; pixel++) {
        const int8_t *filter = filter_data;
        for (channel = 0; channel < output_dims->c; channel++) {
            const int32_t bias = bias_data != NULL ? bias_data[channel] : 0;
            const int32_t sum = tflm_opt_dot_s8(bias, input_data, filter, depth, offset);
            *output_data++ = tflm_opt_output_s8(sum, quant_params->multiplier[channel],
                                                quant_params->shift[channel],
                                                conv_params->output_offset,
                                                conv_params->activation);
            filter += depth;
        }
        input_data += depth;
    }
    return ARM_CMSIS_NN_SUCCESS;
}

int32_t arm_convolve_1x1_s8_fast_get_buffer_size(const cmsis_nn_dims *input_dims)
{
    (void)input_dims;
    return 0;
}
