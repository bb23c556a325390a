/*
 * Instructions of the DSP extension as functions, and requantization in short form: not part of the
 * public interface, and empty on other cores.
 *
 * Inline assembly and not intrinsics: compilers from GCC 7 on take it, and it has SMMLA.
 */
#ifndef TFLM_OPT_DSP_H
#define TFLM_OPT_DSP_H

#include "tflm_opt_math.h"
#include "tflm_opt_tier.h"
#include "tflm_opt_types.h"

#if TFLM_OPT_DSP

#include <string.h>

/* sum + a.low * b.low + a.high * b.high, of signed halves. */
TFLM_OPT_INLINE int32_t tflm_opt_smlad(uint32_t a, uint32_t b, int32_t sum)
{
    int32_t result;
    __asm__("smlad %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(sum));
    return result;
}

/* Bytes 0 and 2 as signed halves. */
TFLM_OPT_INLINE uint32_t tflm_opt_sxtb16(uint32_t word)
{
    uint32_t result;
    __asm__("sxtb16 %0, %1" : "=r"(result) : "r"(word));
    return result;
}

/* Bytes 1 and 3 as signed halves. */
TFLM_OPT_INLINE uint32_t tflm_opt_sxtb16_odd(uint32_t word)
{
    uint32_t result;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(result) : "r"(word));
    return result;
}

/* The low half of `low`, and the low half of `high` above it. */
TFLM_OPT_INLINE uint32_t tflm_opt_pack_low(uint32_t low, uint32_t high)
{
    uint32_t result;
    __asm__("pkhbt %0, %1, %2, lsl #16" : "=r"(result) : "r"(low), "r"(high));
    return result;
}

/* The high half of `high`, and the high half of `low` below it. */
TFLM_OPT_INLINE uint32_t tflm_opt_pack_high(uint32_t low, uint32_t high)
{
    uint32_t result;
    __asm__("pkhtb %0, %2, %1, asr #16" : "=r"(result) : "r"(low), "r"(high));
    return result;
}

/* sum + floor(a * b / 2^32) */
TFLM_OPT_INLINE int32_t tflm_opt_smmla(int32_t a, int32_t b, int32_t sum)
{
    int32_t result;
    __asm__("smmla %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(sum));
    return result;
}

/* Clamped to an int8. */
TFLM_OPT_INLINE int32_t tflm_opt_ssat8(int32_t x)
{
    int32_t result;
    __asm__("ssat %0, #8, %1" : "=r"(result) : "r"(x));
    return result;
}

/* sum + the sum of |a - b| over unsigned bytes. */
TFLM_OPT_INLINE uint32_t tflm_opt_usada8(uint32_t a, uint32_t b, uint32_t sum)
{
    uint32_t result;
    __asm__("usada8 %0, %1, %2, %3" : "=r"(result) : "r"(a), "r"(b), "r"(sum));
    return result;
}

/* Four bytes at any address: one LDR, which these cores do unaligned. */
TFLM_OPT_INLINE uint32_t tflm_opt_word(const int8_t *bytes)
{
    uint32_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

/*
 * Requantization of one channel in short form. A sum of products starts at `bias` and grows in units
 * of 2^-8, as weights times 2^8 make it (their unpacking gives the factor away). Then
 *
 *     t = smmla(sum, multiplier, constant)
 *     t += (sum >> 31) * 2^7                 where negative sums don't all end at the lower bound
 *     output = ssat8(t >> shift)
 *
 * is what tflm_opt_requantize, the output's offset and a clamp to int8 give. Why: with a the true
 * sum, smmla adds floor(a * multiplier / 2^24), of which TFLM's first rounding takes
 * h = floor((a * multiplier + 2^30) / 2^31) = floor((that + 2^6) / 2^7). Its second makes
 * floor((h + (h < 0 ? -1 : 0) + 2^(e - 1)) / 2^e) for a shift right by e, and nested floors are one.
 * "h < 0" may be read from a, since both give 0 where h is 0.
 */
typedef struct {
    int32_t bias;
    int32_t multiplier;
    int32_t constant;
    int32_t shift;
} tflm_opt_short;

#define TFLM_OPT_SHORT_SUM ((int32_t)1 << 23) /* true sums are smaller than this */

/*
 * The largest absolute value of an input plus its offset: by it, the absolute weights' sum bounds
 * what products add up to.
 */
TFLM_OPT_INLINE int32_t tflm_opt_reach(int32_t input_offset)
{
    return tflm_opt_max(128 - input_offset, 127 + input_offset);
}

/* Whether negative sums may end above the lower bound; if not, the short form needs no second line. */
TFLM_OPT_INLINE int tflm_opt_has_kink(int32_t output_offset, cmsis_nn_activation activation)
{
    return activation.min < output_offset;
}

/*
 * The short form of a channel, with 1 for an answer, or 0 if it has none. `bias` is that of the sum
 * of weights times inputs, without the inputs' offset; `most` is the largest absolute value that the
 * true sum may take, in which a bias counts.
 */
TFLM_OPT_INLINE int tflm_opt_set_short(int32_t bias,
                                       uint32_t most,
                                       int32_t multiplier,
                                       int32_t shift,
                                       int32_t output_offset,
                                       tflm_opt_short *form)
{
    const uint32_t right = (uint32_t)-shift;
    if (right - 1U > 14U || most >= (uint32_t)TFLM_OPT_SHORT_SUM) {
        return 0;
    }
    form->bias = tflm_opt_shift_left(bias, 8);
    form->multiplier = multiplier;
    form->constant = 64 + ((int32_t)1 << (right + 6)) + output_offset * ((int32_t)1 << (right + 7));
    form->shift = (int32_t)right + 7;
    return 1;
}

#endif /* TFLM_OPT_DSP */

#endif /* TFLM_OPT_DSP_H */
