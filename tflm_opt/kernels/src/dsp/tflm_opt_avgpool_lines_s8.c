/*
 * Sums of eight or four channels at a time, two to a register: SXTAB16 adds two bytes. 256 values
 * fit the 16 bits of one; larger windows are summed byte by byte. An output pixel after the other.
 */
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP && !TFLM_OPT_MVE

#include "tflm_opt_kernels.h"
#include "tflm_opt_pool.h"
#include "tflm_opt_scale.h"

#define MOST 256

TFLM_OPT_INLINE void add_word(uint32_t *even, uint32_t *odd, const int8_t *in)
{
    const uint32_t word = tflm_opt_word(in);
    *even = tflm_opt_sxtab16(*even, word);
    *odd = tflm_opt_sxtab16_odd(*odd, word);
}

TFLM_OPT_INLINE void write_four(
    const tflm_opt_mean *mean, uint32_t even, uint32_t odd, int8_t *output)
{
    output[0] = tflm_opt_take_mean(mean, (int16_t)even);
    output[1] = tflm_opt_take_mean(mean, (int16_t)odd);
    output[2] = tflm_opt_take_mean(mean, (int32_t)even >> 16);
    output[3] = tflm_opt_take_mean(mean, (int32_t)odd >> 16);
}

static void average_window(const tflm_opt_pool *pool, const int8_t *pixel, int8_t *output)
{
    int8_t *const first = output;
    int32_t left = pool->channels;
    if (pool->count <= MOST) {
        const tflm_opt_mean mean = pool->mean;
        for (; left >= 8; left -= 8) {
            const int8_t *in = pixel;
            uint32_t even0 = 0;
            uint32_t odd0 = 0;
            uint32_t even1 = 0;
            uint32_t odd1 = 0;
            TFLM_OPT_POOL_EACH(pool, in, add_word(&even0, &odd0, in);
                               add_word(&even1, &odd1, in + 4));
            write_four(&mean, even0, odd0, output);
            write_four(&mean, even1, odd1, output + 4);
            pixel += 8;
            output += 8;
        }
        for (; left >= 4; left -= 4) {
            const int8_t *in = pixel;
            uint32_t even = 0;
            uint32_t odd = 0;
            TFLM_OPT_POOL_EACH(pool, in, add_word(&even, &odd, in));
            write_four(&mean, even, odd, output);
            pixel += 4;
            output += 4;
        }
    }
    for (; left > 0; left--) {
        const int8_t *in = pixel++;
        int32_t sum = 0;
        TFLM_OPT_POOL_EACH(pool, in, sum += *in);
        *output++ = tflm_opt_take_mean(&pool->mean, sum);
    }
    if (tflm_opt_is_narrow(pool->activation.min, pool->activation.max)) {
        tflm_opt_clamp_outputs(first, pool->channels, pool->activation.min, pool->activation.max);
    }
}

arm_cmsis_nn_status tflm_opt_avgpool_lines_s8(const cmsis_nn_context *ctx,
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
    return tflm_opt_pool_lines(pool_params, input_dims, input, filter_dims, span, average_window,
                               output_data);
}

#endif /* TFLM_OPT_DSP */
