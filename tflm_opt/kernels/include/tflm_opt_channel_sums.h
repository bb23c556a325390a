/*
 * Sums of four neighbouring channels over pixels that lie evenly apart: not part of the public
 * interface.
 */
#ifndef TFLM_OPT_CHANNEL_SUMS_H
#define TFLM_OPT_CHANNEL_SUMS_H

#include "tflm_opt_math.h"
#include "tflm_opt_scale.h"
#include "tflm_opt_tier.h"

#include <string.h>

#define TFLM_OPT_CHANNELS 4 /* that are summed together */

#if TFLM_OPT_THUMB1

/*
 * Loads with a sign take two registers there, and four sums more than there are: words do for four
 * channels, in two sums of 16 bits each. Values are 128 more than they are, so that there are no
 * signs; at most 256 of them.
 */
#define TFLM_OPT_PAIRED_MOST 256

typedef struct {
    uint32_t even; /* channels 0 and 2 */
    uint32_t odd;  /* channels 1 and 3 */
} tflm_opt_paired_sums;

TFLM_OPT_INLINE void tflm_opt_add_paired(tflm_opt_paired_sums *sums, const int8_t *in)
{
    uint32_t word;
    memcpy(&word, __builtin_assume_aligned(in, 4), sizeof word);
    word ^= 0x80808080U;
    sums->even += word & 0x00ff00ffU;
    sums->odd += (word >> 8) & 0x00ff00ffU;
}

/* Adds them to four sums; `count` values are in each. */
TFLM_OPT_INLINE void tflm_opt_take_pairs(
    const tflm_opt_paired_sums *paired, int32_t count, int32_t *sums)
{
    const int32_t more = 128 * count;
    sums[0] += (int32_t)(paired->even & 0xffffU) - more;
    sums[1] += (int32_t)(paired->odd & 0xffffU) - more;
    sums[2] += (int32_t)(paired->even >> 16) - more;
    sums[3] += (int32_t)(paired->odd >> 16) - more;
}

/* sums[i] += the sum over pixels of in[i], where all begin at words. */
TFLM_OPT_APART void tflm_opt_add_words(int32_t *sums, const int8_t *in, int32_t step, int32_t count)
{
    while (count > 0) {
        const int32_t some = tflm_opt_min(count, TFLM_OPT_PAIRED_MOST);
        tflm_opt_paired_sums paired = {0, 0};
        int32_t left = some;
        do {
            tflm_opt_add_paired(&paired, in);
            in += step;
        } while (--left != 0);
        tflm_opt_take_pairs(&paired, some, sums);
        count -= some;
    }
}

#endif /* TFLM_OPT_THUMB1 */

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
    int32_t sum0, sum1, sum2, sum3;
#if TFLM_OPT_THUMB1
    if ((((uintptr_t)in | (uintptr_t)step) & 3U) == 0) {
        tflm_opt_add_words(sums, in, step, count);
        return;
    }
#endif
    sum0 = sums[0];
    sum1 = sums[1];
    sum2 = sums[2];
    sum3 = sums[3];
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
