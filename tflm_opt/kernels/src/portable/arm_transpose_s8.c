#include "tflm_opt_kernels.h"

#include <stddef.h>

#define AXES 4

/* Each axis of the input once, and outputs of just these sizes. */
static int is_permutation(const cmsis_nn_transpose_params *params,
                          const int32_t *input,
                          const int32_t *output)
{
    uint32_t seen = 0;
    int32_t axis;
    for (axis = 0; axis < params->num_dims; axis++) {
        const uint32_t from = params->permutations[axis];
        if (from >= (uint32_t)params->num_dims || (seen & ((uint32_t)1 << from)) ||
            input[axis] < 1 || output[axis] != input[from]) {
            return 0;
        }
        seen |= (uint32_t)1 << from;
    }
    return 1;
}

arm_cmsis_nn_status arm_transpose_s8(const int8_t *input_data,
                                     int8_t *const output_data,
                                     const cmsis_nn_dims *const input_dims,
                                     const cmsis_nn_dims *const output_dims,
                                     const cmsis_nn_transpose_params *const transpose_params)
{
    tflm_opt_copy_params copy = {1, 0, {1, 1, 1, 1, 1, 1}, {0}, {NULL}};
    int32_t step = 1;
    int32_t count;
    int32_t axis;
    if (input_data == NULL || output_data == NULL || input_dims == NULL || output_dims == NULL ||
        transpose_params == NULL || transpose_params->permutations == NULL ||
        transpose_params->num_dims < 1 || transpose_params->num_dims > AXES) {
        return ARM_CMSIS_NN_ARG_ERROR;
    } else {
        const int32_t input[AXES] = {input_dims->n, input_dims->h, input_dims->w, input_dims->c};
        const int32_t output[AXES] = {output_dims->n, output_dims->h, output_dims->w,
                                      output_dims->c};
        const int32_t unused = TFLM_OPT_COPY_AXES - transpose_params->num_dims;
        int32_t steps[AXES];
        count = transpose_params->num_dims;
        if (!is_permutation(transpose_params, input, output)) {
            return ARM_CMSIS_NN_ARG_ERROR;
        }
        for (axis = count - 1; axis >= 0; axis--) {
            steps[axis] = step;
            step *= input[axis];
        }
        for (axis = 0; axis < count; axis++) {
            copy.sizes[unused + axis] = output[axis];
            copy.strides[unused + axis] = steps[transpose_params->permutations[axis]];
        }
        if (copy.strides[TFLM_OPT_COPY_AXES - 1] == 1) { /* the innermost axis stays in place */
            copy.block = copy.sizes[TFLM_OPT_COPY_AXES - 1];
            copy.sizes[TFLM_OPT_COPY_AXES - 1] = 1;
        }
    }
    tflm_opt_copy_nd(&copy, input_data, output_data);
    return ARM_CMSIS_NN_SUCCESS;
}
