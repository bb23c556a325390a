#include "tflm_opt_check.h"
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
    int32_t pixels;
    int32_t depth;
    tflm_opt_channels channels;
    (void)filter_dims;
    (void)bias_dims;
    if (!tflm_opt_pointwise_fits(conv_params, quant_params, input_dims, output_dims) ||
        ctx == NULL || input_data == NULL || filter_data == NULL || output_data == NULL) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    pixels = input_dims->n * input_dims->h * input_dims->w;
    depth = input_dims->c;
    channels.filter_size = depth;
    channels.input_offset = conv_params->input_offset;
    tflm_opt_set_bias(&channels, bias_data);
    channels.multiplier = quant_params->multiplier;
    channels.shift = quant_params->shift;
    channels.quant_step = 1;
    channels.output_offset = conv_params->output_offset;
    channels.activation = conv_params->activation;
    tflm_opt_dot_lines_s8(&channels, tflm_opt_care(&channels, output_dims->c), input_data, depth,
                          pixels, filter_data, output_dims->c, output_data, output_dims->c);
    return ARM_CMSIS_NN_SUCCESS;
}

int32_t arm_convolve_1x1_s8_fast_get_buffer_size(const cmsis_nn_dims *input_dims)
{
    (void)input_dims;
    return 0;
}

#endif
