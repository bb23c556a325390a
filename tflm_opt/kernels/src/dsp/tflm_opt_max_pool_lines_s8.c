/* Four channels at a time: SSUB8 and SEL are a maximum of bytes. One output pixel at a time. */
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP && !TFLM_OPT_MVE

#include "tflm_opt_dsp.h"
#include "tflm_opt_kernels.h"
#include "tflm_opt_pool.h"
#include "tflm_opt_scale.h"

#define LEAST 0x80808080U

static void greatest_of_window(const tflm_opt_pool *pool, const int8_t *pixel, int8_t *output)
{
    int8_t *const first = output;
    int32_t left = pool->channels;
    for (; left >= 8; left -= 8) {
        const int8_t *in = pixel;
        uint32_t most0 = LEAST;
        uint32_t most1 = LEAST;
        TFLM_OPT_POOL_EACH(pool, in, most0 = tflm_opt_greater_bytes(most0, tflm_opt_word(in));
                           most1 = tflm_opt_greater_bytes(most1, tflm_opt_word(in + 4)));
        memcpy(output, &most0, sizeof most0);
        memcpy(output + 4, &most1, sizeof most1);
        pixel += 8;
        output += 8;
    }
    for (; left >= 4; left -= 4) {
        const int8_t *in = pixel;
        uint32_t most = LEAST;
        TFLM_OPT_POOL_EACH(pool, in, most = tflm_opt_greater_bytes(most, tflm_opt_word(in)));
        memcpy(output, &most, sizeof most);
        pixel += 4;
        output += 4;
    }
    for (; left > 0; left--) {
        const int8_t *in = pixel++;
        int32_t most = INT8_MIN;
        TFLM_OPT_POOL_EACH(pool, in, most = tflm_opt_max(most, *in));
        *output++ = (int8_t)most;
    }
    if (tflm_opt_is_narrow(pool->activation.min, pool->activation.max)) {
        tflm_opt_clamp_outputs(first, pool->channels, pool->activation.min, pool->activation.max);
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

#endif /* TFLM_OPT_DSP */
