#include "tflm_opt_kernels.h"
#include "tflm_opt_tier.h"

#if !TFLM_OPT_DSP

#include "tflm_opt_check.h"
#include "tflm_opt_dot.h"

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
    tflm_opt_group_place *window;
    int32_t left;
    (void)filter_dims;
    (void)bias_dims;
    if (!tflm_opt_pointwise_fits(conv_params, quant_params, input_dims, output_dims) ||
        ctx == NULL || input_data == NULL || filter_data == NULL || output_data == NULL) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    pixels = input_dims->n * input_dims->h * input_dims->w;
    depth = input_dims->c;
    window = tflm_opt_group(ctx, depth, output_dims->c);
    left = pixels;
    channels.filter_size = depth;
    channels.input_offset = conv_params->input_offset;
    tflm_opt_set_bias(&channels, bias_data);
    channels.multiplier = quant_params->multiplier;
    channels.shift = quant_params->shift;
    channels.quant_step = 1;
    channels.output_offset = conv_params->output_offset;
    channels.activation = conv_params->activation;
    for (; window != NULL && left >= TFLM_OPT_GROUP; left -= TFLM_OPT_GROUP) {
        tflm_opt_set_places(input_data, depth, depth, channels.input_offset, window);
        tflm_opt_dot_group_s8(&channels, window, filter_data, output_dims->c, output_data);
        input_data += TFLM_OPT_GROUP * depth;
        output_data += TFLM_OPT_GROUP * output_dims->c;
    }
    for (; left > 0; left--) {
        tflm_opt_dot_line_s8(&channels, input_data, filter_data, output_dims->c, output_data);
        input_data += depth;
        output_data += output_dims->c;
    }
    return ARM_CMSIS_NN_SUCCESS;
}

int32_t arm_convolve_1x1_s8_fast_get_buffer_size(const cmsis_nn_dims *input_dims)
{
    (void)input_dims;
    return 0;
}

#endif /* !TFLM_OPT_DSP */
