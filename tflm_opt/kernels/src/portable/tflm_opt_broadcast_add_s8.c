#include "tflm_opt_kernels.h"
#include "tflm_opt_sum.h"

arm_cmsis_nn_status tflm_opt_broadcast_add_s8(const tflm_opt_sum_params *params,
                                              const tflm_opt_broadcast *shape,
                                              const int8_t *input1_data,
                                              const int8_t *input2_data,
                                              int8_t *output_data)
{
    const int32_t last = TFLM_OPT_BROADCAST_AXES - 1;
    const int32_t count = shape->size[last];
    const int32_t step1 = shape->stride1[last];
    const int32_t step2 = shape->stride2[last];
    tflm_opt_odometer at = {{0}};
    int32_t i;
    do {
        const int8_t *x1 = input1_data;
        const int8_t *x2 = input2_data;
        if (step1 == 1 && step2 == 1) {
            tflm_opt_add_s8(params, x1, x2, count, output_data);
            output_data += count;
            continue;
        }
        for (i = 0; i < count; i++) {
            *output_data++ = tflm_opt_sum_of(params, *x1, *x2);
            x1 += step1;
            x2 += step2;
        }
    } while (tflm_opt_next_line(shape, &at, &input1_data, &input2_data));
    return ARM_CMSIS_NN_SUCCESS;
}
