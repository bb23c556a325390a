#include "tflm_opt_kernels.h"

#include <stddef.h>

arm_cmsis_nn_status arm_vector_sum_s8_s64(int64_t *vector_sum_buf,
                                          const int32_t vector_cols,
                                          const int32_t vector_rows,
                                          const int8_t *vector_data,
                                          const int32_t lhs_offset,
                                          const int64_t *bias_data)
{
    int32_t row;
    int32_t column;
    if (vector_sum_buf == NULL || vector_data == NULL || vector_cols < 1 || vector_rows < 1) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    for (row = 0; row < vector_rows; row++) {
        int32_t sum = 0;
        for (column = 0; column < vector_cols; column++) {
            sum += vector_data[column];
        }
        vector_sum_buf[row] =
            (int64_t)sum * lhs_offset + (bias_data != NULL ? bias_data[row] : 0);
        vector_data += vector_cols;
    }
    return ARM_CMSIS_NN_SUCCESS;
}
