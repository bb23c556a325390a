#include "tflm_opt_kernels.h"
#include "tflm_opt_math.h"

arm_cmsis_nn_status tflm_opt_max_rows_s8(const cmsis_nn_context *ctx,
                                         const tflm_opt_row_part *part,
                                         const cmsis_nn_activation *activation,
                                         const cmsis_nn_dims *input_dims,
                                         const int8_t *input_data,
                                         int8_t *output_data)
{
    const int32_t pixels = input_dims->h * input_dims->w;
    int8_t *const greatest = (int8_t *)ctx->buf;
    int32_t channel;
    for (channel = 0; channel < input_dims->c; channel++) {
        const int8_t *in = input_data + channel;
        int32_t value = part->first ? INT8_MIN : greatest[channel];
        int32_t left;
        for (left = pixels; left > 0; left--) {
            value = tflm_opt_max(value, *in);
            in += input_dims->c;
        }
        greatest[channel] = (int8_t)value;
        if (part->last) {
            output_data[channel] =
                (int8_t)tflm_opt_clamp(value, activation->min, activation->max);
        }
    }
    return ARM_CMSIS_NN_SUCCESS;
}
