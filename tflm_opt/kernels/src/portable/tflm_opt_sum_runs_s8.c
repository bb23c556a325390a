#include "tflm_opt_kernels.h"
#include "tflm_opt_sum.h"

void tflm_opt_sum_runs_s8(const tflm_opt_reduce_params *params,
                          const tflm_opt_reduction *shape,
                          const int8_t *input_data,
                          int8_t *output_data)
{
    const int32_t length = shape->reduced[2];
    const int32_t step = shape->reduced_stride[2];
    const int32_t stride = shape->kept_stride[2];
    const int32_t zero = params->input_offset * length;
    const cmsis_nn_per_tensor_quant_params quant = params->quant;
    const int32_t offset = params->output_offset;
    const int8_t *end = output_data + shape->kept[2];
    while (output_data != end) {
        const int8_t *in = input_data;
        int32_t sum = zero;
        int32_t left;
        for (left = length; left > 0; left--) {
            sum += *in;
            in += step;
        }
        sum = tflm_opt_requantize(sum, quant.multiplier, quant.shift);
        *output_data++ = tflm_opt_saturated(sum + offset);
        input_data += stride;
    }
}
