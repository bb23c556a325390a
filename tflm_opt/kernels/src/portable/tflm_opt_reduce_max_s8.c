#include "tflm_opt_kernels.h"
#include "tflm_opt_reduce.h"

arm_cmsis_nn_status tflm_opt_reduce_max_s8(const tflm_opt_reduction *shape,
                                          const int8_t *input_data,
                                          int8_t *output_data)
{
    int32_t index[3] = {0, 0, 0};
    do {
        int32_t value;
        TFLM_OPT_REDUCE(value, INT8_MIN, shape, input_data, tflm_opt_max);
        *output_data++ = (int8_t)value;
    } while (tflm_opt_next_kept(shape, index, &input_data));
    return ARM_CMSIS_NN_SUCCESS;
}
