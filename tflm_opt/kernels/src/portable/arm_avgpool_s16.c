#include "tflm_opt_kernels.h"
#include "tflm_opt_pool_s16.h"

TFLM_OPT_INLINE int32_t average(const int16_t *in,
                                const cmsis_nn_dims *input_dims,
                                int32_t rows,
                                int32_t columns)
{
    int32_t sum = 0;
    int32_t y;
    int32_t x;
    for (y = 0; y < rows; y++) {
        for (x = 0; x < columns; x++) {
            sum += in[x * input_dims->c];
        }
        in += input_dims->w * input_dims->c;
    }
    return tflm_opt_rounded_mean(sum, rows * columns);
}

arm_cmsis_nn_status arm_avgpool_s16(const cmsis_nn_context *ctx,
                                    const cmsis_nn_pool_params *pool_params,
                                    const cmsis_nn_dims *input_dims,
                                    const int16_t *input_data,
                                    const cmsis_nn_dims *filter_dims,
                                    const cmsis_nn_dims *output_dims,
                                    int16_t *output_data)
{
    (void)ctx;
    return tflm_opt_pool_s16(pool_params, input_dims, input_data, filter_dims, output_dims,
                             output_data, average);
}

int32_t arm_avgpool_s16_get_buffer_size(const int output_x, const int ch_src)
{
    (void)output_x;
    (void)ch_src;
    return 0;
}
