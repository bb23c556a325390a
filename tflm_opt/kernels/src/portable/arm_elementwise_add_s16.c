#include "tflm_opt_check.h"
#include "tflm_opt_kernels.h"
#include "tflm_opt_sum.h"

arm_cmsis_nn_status arm_elementwise_add_s16(const int16_t *input_1_vect,
                                            const int16_t *input_2_vect,
                                            const int32_t input_1_offset,
                                            const int32_t input_1_mult,
                                            const int32_t input_1_shift,
                                            const int32_t input_2_offset,
                                            const int32_t input_2_mult,
                                            const int32_t input_2_shift,
                                            const int32_t left_shift,
                                            int16_t *output,
                                            const int32_t out_offset,
                                            const int32_t out_mult,
                                            const int32_t out_shift,
                                            const int32_t out_activation_min,
                                            const int32_t out_activation_max,
                                            const int32_t block_size)
{
    int32_t i;
    if (!tflm_opt_pair_fits(input_1_vect, input_2_vect, output, block_size, out_activation_min,
                            out_activation_max) ||
        !tflm_opt_are_down(input_1_shift, input_2_shift, out_shift) || left_shift < 0 ||
        left_shift > 15) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    for (i = 0; i < block_size; i++) {
        const int32_t first = tflm_opt_term(input_1_vect[i] + input_1_offset, left_shift,
                                            input_1_mult, input_1_shift);
        const int32_t second = tflm_opt_term(input_2_vect[i] + input_2_offset, left_shift,
                                             input_2_mult, input_2_shift);
        const int32_t sum = tflm_opt_scale_down(first + second, out_mult, out_shift) + out_offset;
        output[i] = (int16_t)tflm_opt_clamp(sum, out_activation_min, out_activation_max);
    }
    return ARM_CMSIS_NN_SUCCESS;
}
