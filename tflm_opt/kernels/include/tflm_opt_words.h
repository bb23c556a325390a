/*
 * Moving bytes by words: not part of the public interface.
 */
#ifndef TFLM_OPT_WORDS_H
#define TFLM_OPT_WORDS_H

#include <stdint.h>
#include <string.h>

#include "tflm_opt_math.h"

/* Whether words may lie anywhere; else `TFLM_OPT_AT_WORD` tells the compiler that one is at one. */
#if !defined(TFLM_OPT_PORTABLE) &&                                                                  \
    (defined(__ARM_FEATURE_UNALIGNED) || defined(__i386__) || defined(__x86_64__))
#define TFLM_OPT_WORDS_ANYWHERE 1
#define TFLM_OPT_AT_WORD(place) (place)
#else
#define TFLM_OPT_WORDS_ANYWHERE 0
#if defined(__GNUC__)
#define TFLM_OPT_AT_WORD(place) __builtin_assume_aligned((place), 4)
#else
#define TFLM_OPT_AT_WORD(place) (place)
#endif
#endif

/* Both ends may lie anywhere, or are at words. */
TFLM_OPT_INLINE void tflm_opt_move_word(void *to, const void *from)
{
    uint32_t word;
    memcpy(&word, TFLM_OPT_AT_WORD(from), sizeof word);
    memcpy(TFLM_OPT_AT_WORD(to), &word, sizeof word);
}

/* Four words, all read before the first is written. */
TFLM_OPT_INLINE void tflm_opt_move_words(uint8_t *to, const uint8_t *from)
{
    uint32_t a, b, c, d;
    memcpy(&a, TFLM_OPT_AT_WORD(from), sizeof a);
    memcpy(&b, TFLM_OPT_AT_WORD(from + 4), sizeof b);
    memcpy(&c, TFLM_OPT_AT_WORD(from + 8), sizeof c);
    memcpy(&d, TFLM_OPT_AT_WORD(from + 12), sizeof d);
    memcpy(TFLM_OPT_AT_WORD(to), &a, sizeof a);
    memcpy(TFLM_OPT_AT_WORD(to + 4), &b, sizeof b);
    memcpy(TFLM_OPT_AT_WORD(to + 8), &c, sizeof c);
    memcpy(TFLM_OPT_AT_WORD(to + 12), &d, sizeof d);
}

#endif /* TFLM_OPT_WORDS_H */
