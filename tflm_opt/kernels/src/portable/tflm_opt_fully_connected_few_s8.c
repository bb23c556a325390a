#include "tflm_opt_kernels.h"
#include "tflm_opt_mve.h"
#include "tflm_opt_scale.h"

/* sum + the sum of in[i] * filter[i] over length elements. */
TFLM_OPT_INLINE int32_t products(int32_t sum,
                                 const int8_t *in,
                                 const int8_t *filter,
                                 int32_t length)
{
#if TFLM_OPT_MVE
    for (; length > 0; length -= 16) {
        const mve_pred16_t some = vctp8q((uint32_t)length);
        sum = vmladavaq_p_s8(sum, vldrbq_z_s8(in, some), vldrbq_z_s8(filter, some), some);
        in += 16;
        filter += 16;
    }
    return sum;
#else
#if TFLM_OPT_DSP
    for (; length >= 4; length -= 4) {
        const uint32_t x = tflm_opt_word(in);
        const uint32_t w = tflm_opt_word(filter);
        sum = tflm_opt_smlad(tflm_opt_sxtb16(x), tflm_opt_sxtb16(w), sum);
        sum = tflm_opt_smlad(tflm_opt_sxtb16_odd(x), tflm_opt_sxtb16_odd(w), sum);
        in += 4;
        filter += 4;
    }
#endif
    return tflm_opt_dot_s8(sum, in, filter, length, 0);
#endif
}

TFLM_OPT_SMALL
arm_cmsis_nn_status tflm_opt_fully_connected_few_s8(const cmsis_nn_context *ctx,
                                                    const cmsis_nn_fc_params *fc_params,
                                                    const cmsis_nn_quant_params *quant_params,
                                                    const cmsis_nn_dims *input_dims,
                                                    const int8_t *input_data,
                                                    const cmsis_nn_dims *filter_dims,
                                                    const int8_t *filter_data,
                                                    const cmsis_nn_dims *bias_dims,
                                                    const int32_t *bias_data,
                                                    const cmsis_nn_dims *output_dims,
                                                    int8_t *output_data)
{
    const int32_t step = quant_params->is_per_channel ? 1 : 0;
    const int32_t length = filter_dims->n;
    int32_t row;
    (void)ctx;
    (void)bias_dims;
    for (row = 0; row < input_dims->n; row++) {
        const int8_t *filter = filter_data;
        int32_t i;
        for (i = 0; i < output_dims->c; i++) {
            const int32_t sum = products(bias_data[i], input_data, filter, length);
            *output_data++ = tflm_opt_output_s8(sum, quant_params->multiplier[i * step],
                                                quant_params->shift[i * step],
                                                fc_params->output_offset, fc_params->activation);
            filter += length;
        }
        input_data += length;
    }
    return ARM_CMSIS_NN_SUCCESS;
}
