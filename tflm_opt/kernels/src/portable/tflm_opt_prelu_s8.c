#include "tflm_opt_broadcast.h"
#include "tflm_opt_pointwise.h"

static int8_t prelu(const tflm_opt_prelu_params *params, int32_t input, int32_t alpha)
{
    const int32_t value = input + params->input_offset;
    int32_t result;

    if (value >= 0) {
        result = tflm_opt_requantize(value, params->positive.multiplier, params->positive.shift);
    } else {
        result = tflm_opt_requantize(value * (alpha + params->alpha_offset),
                                     params->negative.multiplier, params->negative.shift);
    }
    /* modulo 2^32, as it comes out in the reference */
    result = (int32_t)((uint32_t)result + (uint32_t)params->output_offset);
    return (int8_t)tflm_opt_clamp(result, INT8_MIN, INT8_MAX);
}

arm_cmsis_nn_status tflm_opt_prelu_s8(const tflm_opt_prelu_params *params, const int8_t *input,
                                      const cmsis_nn_dims *input_dims, const int8_t *alpha,
                                      const cmsis_nn_dims *alpha_dims, int8_t *output,
                                      const cmsis_nn_dims *output_dims)
{
    const tflm_opt_strides first = tflm_opt_broadcast_strides(input_dims);
    const tflm_opt_strides second = tflm_opt_broadcast_strides(alpha_dims);
    int32_t n;
    int32_t h;
    int32_t w;
    int32_t c;

    if (!tflm_opt_broadcasts_to(input_dims, output_dims) ||
        !tflm_opt_broadcasts_to(alpha_dims, output_dims)) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    for (n = 0; n < output_dims->n; ++n) {
        for (h = 0; h < output_dims->h; ++h) {
            for (w = 0; w < output_dims->w; ++w) {
                const int8_t *a = input + n * first.n + h * first.h + w * first.w;
                const int8_t *b = alpha + n * second.n + h * second.h + w * second.w;
                for (c = 0; c < output_dims->c; ++c) {
                    *output++ = prelu(params, a[c * first.c], b[c * second.c]);
                }
            }
        }
    }
    return ARM_CMSIS_NN_SUCCESS;
}
