#include "tflm_opt_kernels.h"
#include "tflm_opt_math.h"

void tflm_opt_leaky_relu_s16(const tflm_opt_slopes *slopes,
                             const int16_t *input,
                             int32_t size,
                             int16_t *output)
{
    int32_t i;
    for (i = 0; i < size; i++) {
        const cmsis_nn_per_tensor_quant_params *factor =
            input[i] < 0 ? &slopes->below : &slopes->others;
        const int32_t scaled = tflm_opt_requantize(input[i], factor->multiplier, factor->shift);
        output[i] = (int16_t)tflm_opt_clamp(scaled, slopes->activation.min, slopes->activation.max);
    }
}
