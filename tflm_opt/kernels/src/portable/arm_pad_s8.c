#include "tflm_opt_check.h"
#include "tflm_opt_movement.h"

/* Paddings, which may be 0. */
static int is_padding(const cmsis_nn_dims *dims)
{
    return dims != NULL && dims->n >= 0 && dims->h >= 0 && dims->w >= 0 && dims->c >= 0;
}

arm_cmsis_nn_status arm_pad_s8(const int8_t *input, int8_t *output, const int8_t pad_value,
                               const cmsis_nn_dims *input_size, const cmsis_nn_dims *pre_pad,
                               const cmsis_nn_dims *post_pad)
{
    if (input == NULL || output == NULL || !tflm_opt_is_positive(input_size) ||
        !is_padding(pre_pad) || !is_padding(post_pad)) {
        return ARM_CMSIS_NN_ARG_ERROR;
    } else {
        const tflm_opt_pad_params params = {
            1,
            {1, input_size->n, input_size->h, input_size->w, input_size->c},
            {0, pre_pad->n, pre_pad->h, pre_pad->w, pre_pad->c},
            {0, post_pad->n, post_pad->h, post_pad->w, post_pad->c},
        };

        tflm_opt_pad(&params, input, &pad_value, output);
    }
    return ARM_CMSIS_NN_SUCCESS;
}
