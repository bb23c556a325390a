#include "tflm_opt_tier.h"

#if !TFLM_OPT_DSP

#include "tflm_opt_kernels.h"
#include "tflm_opt_sum.h"

arm_cmsis_nn_status arm_elementwise_add_s8(const int8_t *input_1_vect,
                                           const int8_t *input_2_vect,
                                           const int32_t input_1_offset,
                                           const int32_t input_1_mult,
                                           const int32_t input_1_shift,
                                           const int32_t input_2_offset,
                                           const int32_t input_2_mult,
                                           const int32_t input_2_shift,
                                           const int32_t left_shift,
                                           int8_t *output,
                                           const int32_t out_offset,
                                           const int32_t out_mult,
                                           const int32_t out_shift,
                                           const int32_t out_activation_min,
                                           const int32_t out_activation_max,
                                           const int32_t block_size)
{
    int32_t i;
    for (i = 0; i < block_size; i++) {
        const int32_t first = tflm_opt_term(input_1_vect[i] + input_1_offset, left_shift,
                                            input_1_mult, input_1_shift);
        const int32_t second = tflm_opt_term(input_2_vect[i] + input_2_offset, left_shift,
                                             input_2_mult, input_2_shift);
        const int32_t sum = tflm_opt_scale_down(first + second, out_mult, out_shift) + out_offset;
        output[i] = (int8_t)tflm_opt_clamp(sum, out_activation_min, out_activation_max);
    }
    return ARM_CMSIS_NN_SUCCESS;
}

#endif /* !TFLM_OPT_DSP */
