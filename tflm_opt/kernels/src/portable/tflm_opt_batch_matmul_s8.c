#include "tflm_opt_dot.h"
#include "tflm_opt_kernels.h"

/* One matrix product, row by row. */
static int8_t *multiply(const tflm_opt_matmul_params *params,
                        const tflm_opt_matmul *shape,
                        const int8_t *left,
                        const int8_t *right,
                        int8_t *output)
{
    int32_t row;
    int32_t column;
    int32_t k;
    for (row = 0; row < shape->rows; row++) {
        for (column = 0; column < shape->columns; column++) {
            const int8_t *a = left + row * shape->left_row;
            const int8_t *b = right + column * shape->right_column;
            int32_t sum = 0;
            for (k = 0; k < shape->depth; k++) {
                sum += (*a + params->left_offset) * (*b + params->right_offset);
                a += shape->left_step;
                b += shape->right_step;
            }
            *output++ = tflm_opt_output_s8(sum, params->quant.multiplier, params->quant.shift,
                                           params->output_offset, params->activation);
        }
    }
    return output;
}

arm_cmsis_nn_status tflm_opt_batch_matmul_s8(const tflm_opt_matmul_params *params,
                                             const tflm_opt_matmul *shape,
                                             const int8_t *left_data,
                                             const int8_t *right_data,
                                             int8_t *output_data)
{
    int32_t i;
    int32_t j;
    int32_t k;
    for (i = 0; i < shape->batch[0]; i++) {
        for (j = 0; j < shape->batch[1]; j++) {
            for (k = 0; k < shape->batch[2]; k++) {
                const int8_t *left = left_data + i * shape->left_batch[0] +
                                     j * shape->left_batch[1] + k * shape->left_batch[2];
                const int8_t *right = right_data + i * shape->right_batch[0] +
                                      j * shape->right_batch[1] + k * shape->right_batch[2];
                output_data = multiply(params, shape, left, right, output_data);
            }
        }
    }
    return ARM_CMSIS_NN_SUCCESS;
}
