#include "tflm_opt_kernels.h"

#include <stddef.h>

/* Wraps, as sums of products do. */
static int32_t add(int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)a + (uint32_t)b);
}

arm_cmsis_nn_status arm_vector_sum_s8(int32_t *vector_sum_buf,
                                      const int32_t vector_cols,
                                      const int32_t vector_rows,
                                      const int8_t *vector_data,
                                      const int32_t lhs_offset,
                                      const int32_t rhs_offset,
                                      const int32_t *bias_data)
{
    int32_t row;
    int32_t column;
    if (vector_sum_buf == NULL || vector_data == NULL || vector_cols < 1 || vector_rows < 1) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    for (row = 0; row < vector_rows; row++) {
        int32_t sum = vector_cols * rhs_offset;
        if (lhs_offset != 0) {
            for (column = 0; column < vector_cols; column++) {
                sum += vector_data[column];
            }
        }
        sum = (int32_t)((uint32_t)sum * (uint32_t)lhs_offset);
        vector_sum_buf[row] = bias_data == NULL ? sum : add(sum, bias_data[row]);
        vector_data += vector_cols;
    }
    return ARM_CMSIS_NN_SUCCESS;
}
