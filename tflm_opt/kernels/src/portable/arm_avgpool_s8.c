#include "tflm_opt_check.h"
#include "tflm_opt_kernels.h"
#include "tflm_opt_lines.h"

arm_cmsis_nn_status arm_avgpool_s8(const cmsis_nn_context *ctx,
                                   const cmsis_nn_pool_params *pool_params,
                                   const cmsis_nn_dims *input_dims,
                                   const int8_t *input_data,
                                   const cmsis_nn_dims *filter_dims,
                                   const cmsis_nn_dims *output_dims,
                                   int8_t *output_data)
{
    arm_cmsis_nn_status status = ARM_CMSIS_NN_SUCCESS;
    int32_t n;
    if (input_data == NULL || output_data == NULL ||
        !tflm_opt_pool_fits(pool_params, input_dims, filter_dims, output_dims)) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    for (n = 0; n < input_dims->n; n++) {
        tflm_opt_lines_shape shape;
        const tflm_opt_lines lines = tflm_opt_whole(input_dims, input_data, &shape);
        tflm_opt_span span = {0, 0, output_dims->w};
        for (; span.y < output_dims->h && status == ARM_CMSIS_NN_SUCCESS; span.y++) {
            status = tflm_opt_avgpool_lines_s8(ctx, pool_params, input_dims, &lines, filter_dims,
                                               output_dims, &span, output_data);
            output_data += output_dims->w * output_dims->c;
        }
        input_data += input_dims->h * input_dims->w * input_dims->c;
    }
    return status;
}

int32_t arm_avgpool_s8_get_buffer_size(const int output_x, const int ch_src)
{
    (void)output_x;
    (void)ch_src;
    return 0;
}
