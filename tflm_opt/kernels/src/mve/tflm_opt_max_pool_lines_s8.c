/* Sixteen channels of an output pixel at a time; they are a block. */
#include "tflm_opt_kernels.h"
#include "tflm_opt_mve.h"

#if TFLM_OPT_MVE

#include "tflm_opt_pool.h"

static void greatest_of_window(const tflm_opt_pool *pool, const int8_t *pixel, int8_t *output)
{
    const int8x16_t low = vdupq_n_s8((int8_t)pool->activation.min);
    const int8x16_t high = vdupq_n_s8((int8_t)pool->activation.max);
    int32_t left;
    for (left = pool->channels; left > 0; left -= TFLM_OPT_FULL) {
        const mve_pred16_t some = vctp8q((uint32_t)left);
        const int8_t *in = pixel;
        int8x16_t most = low;
        TFLM_OPT_POOL_EACH(pool, in, most = vmaxq_s8(most, vldrbq_z_s8(in, some)));
        vstrbq_p_s8(output, vminq_s8(most, high), some);
        pixel += TFLM_OPT_FULL;
        output += TFLM_OPT_FULL;
    }
}

arm_cmsis_nn_status tflm_opt_max_pool_lines_s8(const cmsis_nn_context *ctx,
                                               const cmsis_nn_pool_params *pool_params,
                                               const cmsis_nn_dims *input_dims,
                                               const tflm_opt_lines *input,
                                               const cmsis_nn_dims *filter_dims,
                                               const cmsis_nn_dims *output_dims,
                                               const tflm_opt_span *span,
                                               int8_t *output_data)
{
    (void)ctx;
    (void)output_dims;
    return tflm_opt_pool_lines(pool_params, input_dims, input, filter_dims, span,
                               greatest_of_window, output_data);
}

#endif
