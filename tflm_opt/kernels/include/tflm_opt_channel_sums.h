/*
 * Sums of four neighbouring channels over pixels that lie evenly apart: not part of the public
 * interface.
 */
#ifndef TFLM_OPT_CHANNEL_SUMS_H
#define TFLM_OPT_CHANNEL_SUMS_H

#include "tflm_opt_math.h"
#include "tflm_opt_scale.h"
#include "tflm_opt_tier.h"

#define TFLM_OPT_CHANNELS 4 /* that are summed together */

#if TFLM_OPT_DSP

/* At most 256 pixels: that many int8 values fit the half of a register. */
TFLM_OPT_INLINE void tflm_opt_add_some(int32_t *sums, const int8_t *in, int32_t step, int32_t count)
{
    uint32_t even = 0;
    uint32_t odd = 0;
    if (count & 1) {
        const uint32_t word = tflm_opt_word(in);
        even = tflm_opt_sxtb16(word);
        odd = tflm_opt_sxtb16_odd(word);
        in += step;
    }
    for (count >>= 1; count > 0; count--) {
        const uint32_t word = tflm_opt_word(in);
        const uint32_t next = tflm_opt_word(in + step);
        even = tflm_opt_sxtab16(even, word);
        odd = tflm_opt_sxtab16_odd(odd, word);
        even = tflm_opt_sxtab16(even, next);
        odd = tflm_opt_sxtab16_odd(odd, next);
        in += 2 * step;
    }
    sums[0] += (int16_t)even;
    sums[1] += (int16_t)odd;
    sums[2] += (int32_t)even >> 16;
    sums[3] += (int32_t)odd >> 16;
}

/* sums[i] += the sum over pixels of in[i], for four i. */
TFLM_OPT_INLINE void tflm_opt_add_channels(
    int32_t *sums, const int8_t *in, int32_t step, int32_t count)
{
    do {
        const int32_t some = tflm_opt_min(count, 256);
        tflm_opt_add_some(sums, in, step, some);
        in += some * step;
        count -= some;
    } while (count > 0);
}

#else

/* sums[i] += the sum over pixels of in[i], for four i. */
TFLM_OPT_INLINE void tflm_opt_add_channels(
    int32_t *sums, const int8_t *in, int32_t step, int32_t count)
{
    int32_t sum0 = sums[0];
    int32_t sum1 = sums[1];
    int32_t sum2 = sums[2];
    int32_t sum3 = sums[3];
    for (; count > 0; count--) {
        sum0 += in[0];
        sum1 += in[1];
        sum2 += in[2];
        sum3 += in[3];
        in += step;
    }
    sums[0] = sum0;
    sums[1] = sum1;
    sums[2] = sum2;
    sums[3] = sum3;
}

#endif /* TFLM_OPT_DSP */

#endif /* TFLM_OPT_CHANNEL_SUMS_H */
