#include "tflm_opt_tier.h"

#if !TFLM_OPT_DSP

#include "tflm_opt_check.h"
#include "tflm_opt_kernels.h"
#include "tflm_opt_sum.h"

arm_cmsis_nn_status arm_elementwise_mul_s8(const int8_t *input_1_vect,
                                           const int8_t *input_2_vect,
                                           const int32_t input_1_offset,
                                           const int32_t input_2_offset,
                                           int8_t *output,
                                           const int32_t out_offset,
                                           const int32_t out_mult,
                                           const int32_t out_shift,
                                           const int32_t out_activation_min,
                                           const int32_t out_activation_max,
                                           const int32_t block_size)
{
    const int32_t right = -out_shift;
    int32_t i;
    if (!tflm_opt_pair_fits(input_1_vect, input_2_vect, output, block_size, out_activation_min,
                            out_activation_max) ||
        !tflm_opt_is_shift(out_shift)) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    if (right >= 1 && right <= TFLM_OPT_TWICE_MOST) {
        const int32_t half = tflm_opt_half_and_offset(right, out_offset);
        for (i = 0; i < block_size; i++) {
            const int32_t product =
                (input_1_vect[i] + input_1_offset) * (input_2_vect[i] + input_2_offset);
            output[i] = tflm_opt_output_of_twice(2 * product, out_mult, half, right);
        }
    } else {
        for (i = 0; i < block_size; i++) {
            const int32_t product =
                (input_1_vect[i] + input_1_offset) * (input_2_vect[i] + input_2_offset);
            output[i] = tflm_opt_saturated(tflm_opt_requantize(product, out_mult, out_shift) +
                                           out_offset);
        }
    }
    if (out_activation_min > INT8_MIN || out_activation_max < INT8_MAX) {
        for (i = 0; i < block_size; i++) {
            output[i] =
                (int8_t)tflm_opt_clamp(output[i], out_activation_min, out_activation_max);
        }
    }
    return ARM_CMSIS_NN_SUCCESS;
}

#endif /* !TFLM_OPT_DSP */
