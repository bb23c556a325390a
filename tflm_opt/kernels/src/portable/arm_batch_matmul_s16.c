#include "tflm_opt_kernels.h"
#include "tflm_opt_matrices.h"
#include "tflm_opt_wide.h"

/* One matrix product, row by row. */
static int16_t *multiply(const cmsis_nn_fc_params *params,
                         const cmsis_nn_per_tensor_quant_params *quant,
                         const tflm_opt_matmul *shape,
                         const int16_t *left,
                         const int16_t *right,
                         int16_t *output)
{
    int32_t row;
    int32_t column;
    int32_t k;
    for (row = 0; row < shape->rows; row++) {
        const int16_t *b = right;
        for (column = 0; column < shape->columns; column++) {
            int64_t sum = 0;
            for (k = 0; k < shape->depth; k++) {
                sum += (int64_t)(left[k] + params->input_offset) * (*b++ + params->filter_offset);
            }
            *output++ = (int16_t)tflm_opt_clamp(
                tflm_opt_requantize_wide(sum, quant->multiplier, quant->shift) +
                    params->output_offset,
                params->activation.min, params->activation.max);
        }
        left += shape->depth;
    }
    return output;
}

arm_cmsis_nn_status arm_batch_matmul_s16(const cmsis_nn_context *ctx,
                                         const cmsis_nn_bmm_params *bmm_params,
                                         const cmsis_nn_per_tensor_quant_params *quant_params,
                                         const cmsis_nn_dims *input_lhs_dims,
                                         const int16_t *input_lhs,
                                         const cmsis_nn_dims *input_rhs_dims,
                                         const int16_t *input_rhs,
                                         const cmsis_nn_dims *output_dims,
                                         int16_t *output)
{
    tflm_opt_matmul shape;
    int32_t n;
    int32_t h;
    (void)ctx;
    if (bmm_params == NULL || quant_params == NULL || input_lhs == NULL || input_rhs == NULL ||
        output == NULL || !tflm_opt_is_wide_shift(quant_params->shift) ||
        bmm_params->fc_params.activation.min > bmm_params->fc_params.activation.max ||
        !tflm_opt_set_matmul(input_lhs_dims, input_rhs_dims, output_dims, &shape)) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    for (n = 0; n < shape.batch[1]; n++) {
        for (h = 0; h < shape.batch[2]; h++) {
            output = multiply(&bmm_params->fc_params, quant_params, &shape,
                              input_lhs + n * shape.left_batch[1] + h * shape.left_batch[2],
                              input_rhs + n * shape.right_batch[1] + h * shape.right_batch[2],
                              output);
        }
    }
    return ARM_CMSIS_NN_SUCCESS;
}
