#include "tflm_opt_check.h"
#include "tflm_opt_kernels.h"

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
    const tflm_opt_sum_params params = {
        left_shift,
        input_1_offset,
        {input_1_mult, input_1_shift},
        input_2_offset,
        {input_2_mult, input_2_shift},
        out_offset,
        {out_mult, out_shift},
        {out_activation_min, out_activation_max},
    };
    if (!tflm_opt_pair_fits(input_1_vect, input_2_vect, output, block_size, out_activation_min,
                            out_activation_max) ||
        !tflm_opt_are_down(input_1_shift, input_2_shift, out_shift) || left_shift < 0 ||
        left_shift > 20) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    tflm_opt_add_s8(&params, input_1_vect, input_2_vect, block_size, output);
    return ARM_CMSIS_NN_SUCCESS;
}
