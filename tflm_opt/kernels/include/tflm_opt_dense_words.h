/*
 * Rows of a fully connected layer for cores of Armv7-M (M3) without DSP instructions: not part of
 * the public interface.
 *
 * There a weight costs a load and an MLA. Here one word brings four weights, and one product of
 * halves does two positions: with A = w0 + w2 * 2^16 and B = x2 + x0 * 2^16, modulo 2^32,
 *
 *     A * B = (w0 * x0 + w2 * x2) * 2^16 + w0 * x2
 *
 * whose upper half is the sum of both, but for what the lower half borrows: |w0 * x2| <= 2^14, so
 * 2^15 - A * B has minus that sum above, exactly, and it fits int16 for all int8 values. Unpacked
 * weights have 128 added, for unsigned halves; what that adds to the product is the same for all
 * channels and lies beside B in scratch. Four positions of a channel are eight instructions, of
 * which one is a load, where they were eight with four loads.
 */
#ifndef TFLM_OPT_DENSE_WORDS_H
#define TFLM_OPT_DENSE_WORDS_H

#include "tflm_opt_dot.h"
#include "tflm_opt_tier.h"

#if defined(__GNUC__) && defined(__thumb2__) && defined(__ARM_FEATURE_UNALIGNED) && !TFLM_OPT_DSP
#define TFLM_OPT_DENSE_WORDS 1
#else
#define TFLM_OPT_DENSE_WORDS 0
#endif

#if TFLM_OPT_DENSE_WORDS

#include <string.h>

#define TFLM_OPT_WORDS_TOGETHER 3 /* channels */
#define TFLM_OPT_WORDS_MOST 22    /* of a shift right: halves and offsets stay below 2^31 */

/* What follows a row's pairs in scratch, so that their end is here. Assembly knows the order. */
typedef struct {
    int8_t *output;
    int32_t multiplier;
    int32_t high;      /* half an output step and the output's offset, before the shift */
    int32_t low;       /* half a unit of the product */
    int32_t right;
    const int8_t *end; /* of the output */
    const int32_t *bias;
    const uint32_t *pairs;
    const uint32_t *rest; /* where the pairs begin of which there are a multiple of 16 */
    int32_t r7;
} tflm_opt_words;

/* A word of weights in r12: its even bytes times the word in r8, its odd ones times that in r9. */
#define TFLM_OPT_WORDS_ROW(sum)                                                                    \
    "eor r12, r12, #0x80808080\n\t"                                                                \
    "and lr, r12, r7\n\t"                                                                          \
    "and r12, r7, r12, lsr #8\n\t"                                                                 \
    "mls lr, lr, r8, r10\n\t"                                                                      \
    "mls r12, r12, r9, r11\n\t"                                                                   \
    "sub " sum ", " sum ", lr, asr #16\n\t"                                                        \
    "sub " sum ", " sum ", r12, asr #16\n\t"

/* Four positions of three channels: r1 is in the pairs, r2 in the first channel, r3 the length. */
#define TFLM_OPT_WORDS_STEP                                                                        \
    "ldm r1!, {r8, r9, r10, r11}\n\t"                                                              \
    "ldr r12, [r2, r3]\n\t" TFLM_OPT_WORDS_ROW("r5") "ldr r12, [r2, r3, lsl #1]\n\t"               \
        TFLM_OPT_WORDS_ROW("r6") "ldr r12, [r2], #4\n\t" TFLM_OPT_WORDS_ROW("r4")

#define TFLM_OPT_WORDS_STEPS                                                                       \
    TFLM_OPT_WORDS_STEP TFLM_OPT_WORDS_STEP TFLM_OPT_WORDS_STEP TFLM_OPT_WORDS_STEP                \
        TFLM_OPT_WORDS_STEP TFLM_OPT_WORDS_STEP TFLM_OPT_WORDS_STEP TFLM_OPT_WORDS_STEP

/* As tflm_opt_requantized_down_s8, with the offset added before the shift; and the store. */
#define TFLM_OPT_WORDS_OUTPUT(sum)                                                                 \
    "asr lr, " sum ", #31\n\t"                                                                     \
    "add r12, r10, lr, lsl #31\n\t"                                                                \
    "add lr, lr, r9\n\t"                                                                           \
    "smlal r12, lr, " sum ", r8\n\t"                                                               \
    "asr lr, lr, r11\n\t"                                                                          \
    "ssat lr, #8, lr\n\t"                                                                          \
    "strb lr, [r1], #1\n\t"

/* Blocks of three outputs, up to `end`. All registers are taken, r7 too. */
TFLM_OPT_APART void tflm_opt_words_blocks(tflm_opt_words *w, const int8_t *filter, int32_t length)
{
    register tflm_opt_words *r0 __asm__("r0") = w;
    register const int8_t *r2 __asm__("r2") = filter;
    register int32_t r3 __asm__("r3") = length;
    __asm__ volatile("str r7, [r0, #36]\n\t"
                     "mov r7, #0x00ff00ff\n"
                     "1:\n\t"
                     "ldr r1, [r0, #24]\n\t"
                     "ldm r1!, {r4, r5, r6}\n\t"
                     "str r1, [r0, #24]\n\t"
                     "ldrd r1, lr, [r0, #28]\n\t"
                     "cmp r1, lr\n\t"
                     "beq 3f\n"
                     "2:\n\t" TFLM_OPT_WORDS_STEP "ldr lr, [r0, #32]\n\t"
                     "cmp r1, lr\n\t"
                     "bne 2b\n\t"
                     "cmp r1, r0\n\t"
                     "beq 4f\n"
                     "3:\n\t" TFLM_OPT_WORDS_STEPS "cmp r1, r0\n\t"
                     "bne 3b\n"
                     "4:\n\t"
                     "ldm r0, {r1, r8, r9, r10, r11}\n\t" TFLM_OPT_WORDS_OUTPUT("r4")
                         TFLM_OPT_WORDS_OUTPUT("r5") TFLM_OPT_WORDS_OUTPUT("r6")
                     "ldr lr, [r0, #20]\n\t"
                     "str r1, [r0]\n\t"
                     "add r2, r2, r3, lsl #1\n\t"
                     "cmp r1, lr\n\t"
                     "bne 1b\n\t"
                     "ldr r7, [r0, #36]"
                     : "+r"(r2)
                     : "r"(r0), "r"(r3)
                     : "r1", "r4", "r5", "r6", "r8", "r9", "r10", "r11", "r12", "lr", "cc",
                       "memory");
}

/* The row as halves of words, two words at a time, and what their products are taken from. */
TFLM_OPT_APART uint32_t *tflm_opt_words_pairs(const int8_t *in, const int8_t *end, uint32_t *pairs)
{
    uint32_t added = 0x00800080U; /* to the halves */
    uint32_t half = 0x8000U;
    TFLM_OPT_KEEP(added);
    TFLM_OPT_KEEP(half);
    while (in != end) {
        uint32_t word;
        uint32_t even;
        uint32_t odd;
        memcpy(&word, in, sizeof word);
        word ^= 0x80808080U;
        even = word & 0x00ff00ffU;
        odd = (word >> 8) & 0x00ff00ffU;
        even = ((even >> 16) | (even << 16)) - added;
        odd = ((odd >> 16) | (odd << 16)) - added;
        pairs[0] = even;
        pairs[1] = odd;
        pairs[2] = even * added + half;
        pairs[3] = odd * added + half;
        in += 4;
        pairs += 4;
        TFLM_OPT_KEEP(in);
        TFLM_OPT_KEEP(pairs);
    }
    return pairs;
}

/*
 * `count` outputs of one row, with 1 for an answer; or 0 if these need another kernel: scratch is
 * for rows of a multiple of four positions, three channels or more, one scale with a shift right,
 * and an input offset in the biases. The row is read before an output is written.
 */
TFLM_OPT_INLINE int tflm_opt_words_line(const cmsis_nn_context *ctx,
                                        const tflm_opt_channels *channels,
                                        const int8_t *input,
                                        const int8_t *filter,
                                        int32_t count,
                                        int8_t *output)
{
    const int32_t length = channels->filter_size;
    const int32_t right = -1 - *channels->shift;
    const int32_t bytes = 4 * length + (int32_t)sizeof(tflm_opt_words);
    const int32_t rest = count % TFLM_OPT_WORDS_TOGETHER;
    tflm_opt_words *w;
    uint32_t *pairs;
    if (ctx == NULL || ctx->buf == NULL || ctx->size < bytes || (length & 3) != 0 ||
        count < TFLM_OPT_WORDS_TOGETHER || channels->quant_step != 0 || right < 1 ||
        right > TFLM_OPT_WORDS_MOST || channels->input_offset != 0 || channels->bias_step != 1) {
        return 0;
    }
    pairs = (uint32_t *)ctx->buf;
    w = (tflm_opt_words *)tflm_opt_words_pairs(input, input + length, pairs);
    w->pairs = pairs;
    w->rest = pairs + (length & 31);
    w->multiplier = *channels->multiplier;
    w->high = ((int32_t)1 << (right - 1)) + channels->output_offset * ((int32_t)1 << right);
    w->low = (int32_t)1 << 30;
    w->right = right;
    w->bias = channels->bias;
    w->output = output;
    w->end = output + (count - rest);
    tflm_opt_words_blocks(w, filter, length);
    if (rest != 0) { /* the last three once more */
        const int32_t last = count - TFLM_OPT_WORDS_TOGETHER;
        w->bias = channels->bias + last;
        w->output = output + last;
        w->end = output + count;
        tflm_opt_words_blocks(w, filter + last * length, length);
    }
    tflm_opt_clamp_line(channels->activation, output, count);
    return 1;
}

#endif /* TFLM_OPT_DENSE_WORDS */

#endif /* TFLM_OPT_DENSE_WORDS_H */
