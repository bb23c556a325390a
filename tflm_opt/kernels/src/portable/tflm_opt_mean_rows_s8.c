#include "tflm_opt_kernels.h"
#include "tflm_opt_math.h"

arm_cmsis_nn_status tflm_opt_mean_rows_s8(const cmsis_nn_context *ctx,
                                          const tflm_opt_row_part *part,
                                          const tflm_opt_reduce_params *params,
                                          const cmsis_nn_dims *input_dims,
                                          const int8_t *input_data,
                                          int8_t *output_data)
{
    int32_t *const sums = (int32_t *)ctx->buf;
    tflm_opt_sum_rows_s8(sums, part->first, input_dims, input_data);
    if (part->last) {
        const int32_t zero = params->input_offset * part->count;
        int32_t channel;
        for (channel = 0; channel < input_dims->c; channel++) {
            const int32_t mean = tflm_opt_requantize(sums[channel] + zero, params->quant.multiplier,
                                                     params->quant.shift);
            output_data[channel] =
                (int8_t)tflm_opt_clamp(mean + params->output_offset, INT8_MIN, INT8_MAX);
        }
    }
    return ARM_CMSIS_NN_SUCCESS;
}
