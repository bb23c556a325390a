/*
 * Eight channels of an output pixel at a time, of which the sums fit 16 bits, or four where windows
 * have more than 256 elements. They are a block.
 */
#include "tflm_opt_kernels.h"
#include "tflm_opt_mve.h"

#if TFLM_OPT_MVE

#include "tflm_opt_pool.h"

#define MOST 256

/* tflm_opt_take_mean of four sums, where it has a reciprocal. */
TFLM_OPT_INLINE int32x4_t take_means(const tflm_opt_mean *mean, int32x4_t sums)
{
    const int32x4_t less = vandq_s32(vshrq_n_s32(sums, 31), vdupq_n_s32(mean->even));
    const int32x4_t from = vaddq_n_s32(vaddq_s32(sums, less), mean->start);
    const uint32x4_t product = vmulq_n_u32(vreinterpretq_u32_s32(from), mean->reciprocal);
    return vaddq_n_s32(vreinterpretq_s32_u32(vshrq_n_u32(product, 23)), -128);
}

/* Windows of up to MOST elements. */
TFLM_OPT_INLINE void average_eight(
    const tflm_opt_pool *pool, const int8_t *in, int32_t count, int8_t *output)
{
    const mve_pred16_t some = vctp16q((uint32_t)count);
    int16x8_t sums = vdupq_n_s16(0);
    TFLM_OPT_POOL_EACH(pool, in, sums = vaddq_s16(sums, vldrbq_z_s16(in, some)));
    if (pool->mean.reciprocal != 0) {
        const int32x4_t even = take_means(&pool->mean, vmovlbq_s16(sums));
        const int32x4_t odd = take_means(&pool->mean, vmovltq_s16(sums));
        const int16x8_t means = vmovntq_s32(vmovnbq_s32(sums, even), odd);
        vstrbq_p_s16(output, means, some);
    } else {
        int16_t each[8];
        int32_t i;
        vst1q_s16(each, sums);
        for (i = 0; i < tflm_opt_min(count, 8); i++) {
            output[i] = tflm_opt_take_mean(&pool->mean, each[i]);
        }
    }
}

/* Larger ones. */
TFLM_OPT_INLINE void average_four(
    const tflm_opt_pool *pool, const int8_t *in, int32_t count, int8_t *output)
{
    const mve_pred16_t some = vctp32q((uint32_t)count);
    int32x4_t sums = vdupq_n_s32(0);
    int32_t each[4];
    int32_t i;
    TFLM_OPT_POOL_EACH(pool, in, sums = vaddq_s32(sums, vldrbq_z_s32(in, some)));
    vst1q_s32(each, sums);
    for (i = 0; i < tflm_opt_min(count, 4); i++) {
        output[i] = tflm_opt_take_mean(&pool->mean, each[i]);
    }
}

static void average_window(const tflm_opt_pool *pool, const int8_t *pixel, int8_t *output)
{
    int32_t done;
    if (pool->count <= MOST) {
        for (done = 0; done < pool->channels; done += 8) {
            average_eight(pool, pixel + done, pool->channels - done, output + done);
        }
    } else {
        for (done = 0; done < pool->channels; done += 4) {
            average_four(pool, pixel + done, pool->channels - done, output + done);
        }
    }
    tflm_opt_clamp_all(output, pool->channels, pool->activation);
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

#endif
