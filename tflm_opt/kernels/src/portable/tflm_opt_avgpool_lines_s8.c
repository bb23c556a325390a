#include "tflm_opt_tier.h"

#if !TFLM_OPT_DSP

#include "tflm_opt_channel_sums.h"
#include "tflm_opt_kernels.h"
#include "tflm_opt_pool.h"

#if TFLM_OPT_THUMB1

/* Whether the windows' pixels begin at words, and can be summed in pairs. */
static int are_words(const tflm_opt_pool *pool, const int8_t *pixel)
{
    const tflm_opt_pool_rows *rows;
    uintptr_t any = (uintptr_t)pixel | (uintptr_t)pool->channels;
    for (rows = pool->rows; rows->rows != 0; rows++) {
        any |= (uintptr_t)rows->skip | (uintptr_t)rows->jump;
    }
    return (any & 3U) == 0 && pool->count <= TFLM_OPT_PAIRED_MOST;
}

TFLM_OPT_APART void average_words(const tflm_opt_pool *pool, const int8_t *pixel, int8_t *output)
{
    const int8_t *end = output + pool->channels;
    while (output != end) {
        const int8_t *in = pixel;
        tflm_opt_paired_sums paired = {0, 0};
        int32_t sums[TFLM_OPT_CHANNELS] = {0, 0, 0, 0};
        int32_t i;
        TFLM_OPT_POOL_EACH(pool, in, tflm_opt_add_paired(&paired, in));
        tflm_opt_take_pairs(&paired, pool->count, sums);
        for (i = 0; i < TFLM_OPT_CHANNELS; i++) {
            *output++ = (int8_t)tflm_opt_clamp(tflm_opt_take_mean(&pool->mean, sums[i]),
                                               pool->activation.min, pool->activation.max);
        }
        pixel += TFLM_OPT_CHANNELS;
    }
}

#endif

static void average_window(const tflm_opt_pool *pool, const int8_t *pixel, int8_t *output)
{
    const int32_t low = pool->activation.min;
    const int32_t high = pool->activation.max;
    int32_t left = pool->channels;
#if TFLM_OPT_THUMB1
    if (are_words(pool, pixel)) {
        average_words(pool, pixel, output);
        return;
    }
#endif
    for (; left >= 4; left -= 4) {
        const int8_t *in = pixel;
        int32_t sum0 = 0;
        int32_t sum1 = 0;
        int32_t sum2 = 0;
        int32_t sum3 = 0;
        TFLM_OPT_POOL_EACH(pool, in, sum0 += in[0]; sum1 += in[1]; sum2 += in[2]; sum3 += in[3]);
        output[0] = (int8_t)tflm_opt_clamp(tflm_opt_take_mean(&pool->mean, sum0), low, high);
        output[1] = (int8_t)tflm_opt_clamp(tflm_opt_take_mean(&pool->mean, sum1), low, high);
        output[2] = (int8_t)tflm_opt_clamp(tflm_opt_take_mean(&pool->mean, sum2), low, high);
        output[3] = (int8_t)tflm_opt_clamp(tflm_opt_take_mean(&pool->mean, sum3), low, high);
        pixel += 4;
        output += 4;
    }
    for (; left > 0; left--) {
        const int8_t *in = pixel++;
        int32_t sum = 0;
        TFLM_OPT_POOL_EACH(pool, in, sum += *in);
        *output++ = (int8_t)tflm_opt_clamp(tflm_opt_take_mean(&pool->mean, sum), low, high);
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

#endif /* !TFLM_OPT_DSP */
