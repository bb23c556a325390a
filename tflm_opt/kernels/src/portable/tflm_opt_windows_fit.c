#include "tflm_opt_check.h"

static int is_positive_tile(const cmsis_nn_tile *tile)
{
    return tile->h > 0 && tile->w > 0;
}

TFLM_OPT_SMALL int32_t tflm_opt_windows_fit(const cmsis_nn_dims *input_dims,
                             const cmsis_nn_dims *filter_dims,
                             const cmsis_nn_dims *output_dims,
                             const cmsis_nn_tile *stride,
                             const cmsis_nn_tile *padding,
                             const cmsis_nn_tile *dilation,
                             const cmsis_nn_activation *activation)
{
    return tflm_opt_is_positive(input_dims) && tflm_opt_is_positive(output_dims) &&
           filter_dims != NULL && filter_dims->h > 0 && filter_dims->w > 0 &&
           input_dims->n == output_dims->n && is_positive_tile(stride) &&
           is_positive_tile(dilation) && padding->h >= 0 && padding->w >= 0 &&
           activation->min <= activation->max;
}
