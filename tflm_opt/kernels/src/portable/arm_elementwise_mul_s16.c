#include "tflm_opt_check.h"
#include "tflm_opt_kernels.h"

arm_cmsis_nn_status arm_elementwise_mul_s16(const int16_t *input_1_vect,
                                            const int16_t *input_2_vect,
                                            const int32_t input_1_offset,
                                            const int32_t input_2_offset,
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
        !tflm_opt_is_shift(out_shift)) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    for (i = 0; i < block_size; i++) {
        const int32_t product =
            (input_1_vect[i] + input_1_offset) * (input_2_vect[i] + input_2_offset);
        const int32_t scaled = tflm_opt_requantize(product, out_mult, out_shift) + out_offset;
        output[i] = (int16_t)tflm_opt_clamp(scaled, out_activation_min, out_activation_max);
    }
    return ARM_CMSIS_NN_SUCCESS;
}
