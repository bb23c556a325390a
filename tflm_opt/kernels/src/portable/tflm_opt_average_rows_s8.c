#include "tflm_opt_kernels.h"
#include "tflm_opt_mean.h"

arm_cmsis_nn_status tflm_opt_average_rows_s8(const cmsis_nn_context *ctx,
                                             const tflm_opt_row_part *part,
                                             const cmsis_nn_activation *activation,
                                             const cmsis_nn_dims *input_dims,
                                             const int8_t *input_data,
                                             int8_t *output_data)
{
    int32_t *const sums = (int32_t *)ctx->buf;
    tflm_opt_sum_rows_s8(sums, part->first, input_dims, input_data);
    if (part->last) {
        const tflm_opt_mean mean = tflm_opt_mean_of(part->count);
        int32_t channel;
        for (channel = 0; channel < input_dims->c; channel++) {
            output_data[channel] = (int8_t)tflm_opt_clamp(
                tflm_opt_take_mean(&mean, sums[channel]), activation->min, activation->max);
        }
    }
    return ARM_CMSIS_NN_SUCCESS;
}
