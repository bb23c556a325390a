#include "tflm_opt_tier.h"

#if !TFLM_OPT_DSP

#include "tflm_opt_kernels.h"
#include "tflm_opt_pool.h"

static void greatest_of_window(const tflm_opt_pool *pool, const int8_t *pixel, int8_t *output)
{
    const int32_t low = pool->activation.min;
    const int32_t high = pool->activation.max;
    int32_t left = pool->channels;
    for (; left >= 4; left -= 4) {
        const int8_t *in = pixel;
        int32_t most0 = INT8_MIN;
        int32_t most1 = INT8_MIN;
        int32_t most2 = INT8_MIN;
        int32_t most3 = INT8_MIN;
        TFLM_OPT_POOL_EACH(pool, in, most0 = tflm_opt_max(most0, in[0]);
                           most1 = tflm_opt_max(most1, in[1]); most2 = tflm_opt_max(most2, in[2]);
                           most3 = tflm_opt_max(most3, in[3]));
        output[0] = (int8_t)tflm_opt_clamp(most0, low, high);
        output[1] = (int8_t)tflm_opt_clamp(most1, low, high);
        output[2] = (int8_t)tflm_opt_clamp(most2, low, high);
        output[3] = (int8_t)tflm_opt_clamp(most3, low, high);
        pixel += 4;
        output += 4;
    }
    for (; left > 0; left--) {
        const int8_t *in = pixel++;
        int32_t most = INT8_MIN;
        TFLM_OPT_POOL_EACH(pool, in, most = tflm_opt_max(most, *in));
        *output++ = (int8_t)tflm_opt_clamp(most, low, high);
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

#endif /* !TFLM_OPT_DSP */
