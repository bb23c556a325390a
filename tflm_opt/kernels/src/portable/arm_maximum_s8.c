#include "tflm_opt_broadcast.h"
#include "tflm_opt_check.h"
#include "tflm_opt_pointwise.h"

arm_cmsis_nn_status arm_maximum_s8(const cmsis_nn_context *ctx, const int8_t *input_1_data,
                                   const cmsis_nn_dims *input_1_dims, const int8_t *input_2_data,
                                   const cmsis_nn_dims *input_2_dims, int8_t *output_data,
                                   const cmsis_nn_dims *output_dims)
{
    tflm_opt_strides first;
    tflm_opt_strides second;
    int32_t n;
    int32_t h;
    int32_t w;
    int32_t c;

    (void)ctx;
    if (input_1_data == NULL || input_2_data == NULL || output_data == NULL ||
        !tflm_opt_is_positive(input_1_dims) || !tflm_opt_is_positive(input_2_dims) ||
        !tflm_opt_is_positive(output_dims) ||
        !tflm_opt_broadcasts_to(input_1_dims, output_dims) ||
        !tflm_opt_broadcasts_to(input_2_dims, output_dims)) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    first = tflm_opt_broadcast_strides(input_1_dims);
    second = tflm_opt_broadcast_strides(input_2_dims);
    for (n = 0; n < output_dims->n; ++n) {
        for (h = 0; h < output_dims->h; ++h) {
            for (w = 0; w < output_dims->w; ++w) {
                const int8_t *a = input_1_data + n * first.n + h * first.h + w * first.w;
                const int8_t *b = input_2_data + n * second.n + h * second.h + w * second.w;
                for (c = 0; c < output_dims->c; ++c) {
                    *output_data++ = (int8_t)tflm_opt_max(a[c * first.c], b[c * second.c]);
                }
            }
        }
    }
    return ARM_CMSIS_NN_SUCCESS;
}
