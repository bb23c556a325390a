/*
 * Depthwise convolution of int16 data with int8 weights, four channels at a time.
 *
 * A load has two channels' data, another all four weights, which SXTB16 takes apart; SMLABB and its
 * kin multiply any halves of them. Sums have 32 bits where a window's products surely fit.
 */
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP

#include "tflm_opt_check.h"
#include "tflm_opt_dsp.h"
#include "tflm_opt_kernels.h"
#include "tflm_opt_place.h"
#include "tflm_opt_wide_scale.h"

#define TOGETHER 4 /* channels */

/* sum + half of a * half of b, the halves by name: bottom or top. */
#define MULTIPLY(name)                                                                             \
    TFLM_OPT_INLINE int32_t name(uint32_t a, uint32_t b, int32_t sum)                              \
    {                                                                                              \
        int32_t result;                                                                            \
        __asm__(#name " %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(sum));                \
        return result;                                                                             \
    }
MULTIPLY(smlabb)
MULTIPLY(smlabt)
MULTIPLY(smlatb)
MULTIPLY(smlatt)

typedef struct {
    const cmsis_nn_dw_conv_params *params;
    const cmsis_nn_per_channel_quant_params *quant;
    const int64_t *bias;
    int32_t channels;
    int32_t filter_row;
} layer;

static int16_t output_of(const layer *l, int32_t channel, int64_t sum)
{
    if (l->bias != NULL) {
        sum += l->bias[channel];
    }
    return (int16_t)tflm_opt_clamp(
        tflm_opt_requantize_wide(sum, l->quant->multiplier[channel], l->quant->shift[channel]),
        l->params->activation.min, l->params->activation.max);
}

/* Four neighbouring channels of one window. */
static void make_four(const layer *l,
                      const tflm_opt_inside *inside,
                      const int16_t *pixel,
                      const int8_t *taps,
                      int32_t channel,
                      int16_t *output)
{
    const int32_t in_step = inside->column_step;
    const int32_t channels = l->channels;
    int32_t s0 = 0;
    int32_t s1 = 0;
    int32_t s2 = 0;
    int32_t s3 = 0;
    int32_t ky;
    for (ky = 0; ky < inside->rows; ky++) {
        const int16_t *in = pixel;
        const int8_t *tap = taps;
        int32_t left;
        for (left = inside->columns; left > 0; left--) {
            const uint32_t low = tflm_opt_word((const int8_t *)in);
            const uint32_t high = tflm_opt_word((const int8_t *)(in + 2));
            const uint32_t weights = tflm_opt_word(tap);
            const uint32_t even = tflm_opt_sxtb16(weights);
            const uint32_t odd = tflm_opt_sxtb16_odd(weights);
            s0 = smlabb(low, even, s0);
            s1 = smlatb(low, odd, s1);
            s2 = smlabt(high, even, s2);
            s3 = smlatt(high, odd, s3);
            in += in_step;
            tap += channels;
        }
        pixel += inside->row_step;
        taps += l->filter_row;
    }
    output[0] = output_of(l, channel, s0);
    output[1] = output_of(l, channel + 1, s1);
    output[2] = output_of(l, channel + 2, s2);
    output[3] = output_of(l, channel + 3, s3);
}

/* All channels of one output pixel; each input channel makes ch_mult of them. */
static void make_pixel(const layer *l,
                       const tflm_opt_inside *inside,
                       const int16_t *pixel,
                       const int8_t *filter,
                       int16_t *output)
{
    const int32_t multiplier = l->params->ch_mult;
    const int short_sums = inside->rows * inside->columns <= TFLM_OPT_WIDE_RUN;
    int32_t channel = 0;
    int32_t left;
    filter += inside->tap * l->channels;
    if (multiplier == 1 && short_sums) {
        for (; channel + TOGETHER <= l->channels; channel += TOGETHER) {
            make_four(l, inside, pixel + channel, filter + channel, channel, output + channel);
        }
    }
    pixel += channel; /* as many outputs as inputs so far */
    left = multiplier;
    for (; channel < l->channels; channel++) {
        if (left-- == 0) {
            pixel++;
            left = multiplier - 1;
        }
        output[channel] = output_of(l, channel,
                                    tflm_opt_sum_taps_s16(inside, pixel, filter + channel,
                                                          l->channels, l->filter_row));
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
    layer l;
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
    l.params = dw_conv_params;
    l.quant = quant_params;
    l.bias = bias_data;
    l.channels = output_dims->c;
    l.filter_row = filter_dims->w * output_dims->c;
    for (n = 0; n < output_dims->n; n++) {
        for (y = 0; y < output_dims->h; y++) {
            for (x = 0; x < output_dims->w; x++) {
                const tflm_opt_inside inside = tflm_opt_place(&windows, y, x);
                make_pixel(&l, &inside, input_data + inside.pixel, filter_data, output_data);
                output_data += output_dims->c;
            }
        }
        input_data += input_dims->h * input_dims->w * input_dims->c;
    }
    return ARM_CMSIS_NN_SUCCESS;
}

#endif /* TFLM_OPT_DSP */
