#include "tflm_opt_tier.h"

#if !TFLM_OPT_DSP

#include "tflm_opt_check.h"
#include "tflm_opt_kernels.h"
#include "tflm_opt_place.h"
#include "tflm_opt_wide_scale.h"

/* All channels of one output pixel; each input channel makes ch_mult of them. */
static void depthwise_pixel(const tflm_opt_inside *inside,
                            const cmsis_nn_dw_conv_params *params,
                            const cmsis_nn_per_channel_quant_params *quant,
                            const int64_t *bias,
                            const int16_t *pixel,
                            const int8_t *filter,
                            int32_t channels,
                            int32_t filter_row,
                            int16_t *output)
{
    int32_t left = params->ch_mult;
    int32_t channel;
    filter += inside->tap * channels;
    for (channel = 0; channel < channels; channel++) {
        int64_t sum = bias != NULL ? bias[channel] : 0;
        if (left-- == 0) {
            pixel++;
            left = params->ch_mult - 1;
        }
        sum += tflm_opt_sum_taps_s16(inside, pixel, filter + channel, channels, filter_row);
        output[channel] = (int16_t)tflm_opt_clamp(
            tflm_opt_requantize_wide(sum, quant->multiplier[channel], quant->shift[channel]),
            params->activation.min, params->activation.max);
    }
}

arm_cmsis_nn_status arm_depthwise_conv_s16(const cmsis_nn_context *ctx,
                                           const cmsis_nn_dw_conv_params *dw_conv_params,
                                           const cmsis_nn_per_channel_quant_params *quant_params,
                                           const cmsis_nn_dims *input_dims,
                                           const int16_t *input_data,
                                           const cmsis_nn_dims *filter_dims,
                                           const int8_t *filter_data,
                                           const cmsis_nn_dims *bias_dims,
                                           const int64_t *bias_data,
                                           const cmsis_nn_dims *output_dims,
                                           int16_t *output_data)
{
    tflm_opt_windows windows;
    int32_t n;
    int32_t y;
    int32_t x;
    (void)ctx;
    (void)bias_dims;
    if (!tflm_opt_depthwise_fits(dw_conv_params, quant_params, input_dims, filter_dims,
                                 output_dims) ||
        input_data == NULL || filter_data == NULL || output_data == NULL ||
        !tflm_opt_are_wide_shifts(quant_params->shift, output_dims->c)) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    windows.stride = &dw_conv_params->stride;
    windows.padding = &dw_conv_params->padding;
    windows.dilation = &dw_conv_params->dilation;
    windows.input = input_dims;
    windows.filter = filter_dims;
    for (n = 0; n < output_dims->n; n++) {
        for (y = 0; y < output_dims->h; y++) {
            for (x = 0; x < output_dims->w; x++) {
                const tflm_opt_inside inside = tflm_opt_place(&windows, y, x);
                depthwise_pixel(&inside, dw_conv_params, quant_params, bias_data,
                                input_data + inside.pixel, filter_data, output_dims->c,
                                filter_dims->w * output_dims->c, output_data);
                output_data += output_dims->c;
            }
        }
        input_data += input_dims->h * input_dims->w * input_dims->c;
    }
    return ARM_CMSIS_NN_SUCCESS;
}

#endif /* !TFLM_OPT_DSP */
