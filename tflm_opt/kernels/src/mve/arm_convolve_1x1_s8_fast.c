#include "tflm_opt_kernels.h"
#include "tflm_opt_mve.h"

#if TFLM_OPT_MVE

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
    tflm_opt_channels channels;
    (void)ctx;
    (void)bias_dims;
    if (conv_params->padding.h != 0 || conv_params->padding.w != 0 ||
        conv_params->stride.h != 1 || conv_params->stride.w != 1 || filter_dims->c != depth) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    channels.filter_size = depth;
    channels.input_offset = conv_params->input_offset;
    tflm_opt_set_bias(&channels, bias_data);
    channels.multiplier = quant_params->multiplier;
    channels.shift = quant_params->shift;
    channels.quant_step = 1;
    channels.output_offset = conv_params->output_offset;
    channels.activation = conv_params->activation;
    tflm_opt_dot_lines_s8(&channels, input_data, depth, pixels, filter_data, output_dims->c,
                          output_data, output_dims->c);
    return ARM_CMSIS_NN_SUCCESS;
}

int32_t arm_convolve_1x1_s8_fast_get_buffer_size(const cmsis_nn_dims *input_dims)
{
    (void)input_dims;
    return 0;
}

#endif
