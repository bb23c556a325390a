/*
 * Rows of a fully connected layer for cores with the DSP extension: not part of the public
 * interface.
 *
 * A source includes this with TFLM_OPT_DENSE_PAIRED defined as 0 or 1 and gets tflm_opt_dense_line,
 * in the one form or the other. With TFLM_OPT_DENSE_SPREAD as 1 too, it gets tflm_opt_dense_spread:
 * the same in pairs, with the row unpacked in scratch once and not for each block. Four channels at
 * a time, weights in their natural order, four positions of the row and four words of weights a
 * step. In pairs of positions (Winograd 1968, "A New Algorithm for Inner Product"),
 *
 *     x0 * w0 + x1 * w1 = (x0 + w1) * (x1 + w0) - x0 * x1 - w0 * w1
 *
 * SXTAB16 unpacks bytes and adds them to halves at once: a word of weights takes two of them and
 * one SMLAD, where products of their own take two SXTB16 and two SMLAD. The products of
 * neighbouring inputs are the same for all channels, and come in when the sum is doubled for its
 * output; those of weights are in the biases. With biases below 2^29 and at most 2^13 positions,
 * what is doubled stays below 2^30, so that QDADD saturates only where the true sum does.
 */
#ifndef TFLM_OPT_DENSE_H
#define TFLM_OPT_DENSE_H

#include "tflm_opt_dot.h"
#include "tflm_opt_scale.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * `count` outputs of one row of filter_size elements at `input`, in order, not in pairs. The whole
 * row is read for each block of four, and they are written afterwards.
 */
void tflm_opt_dense_line_s8(const tflm_opt_channels *channels,
                            const int8_t *input,
                            const int8_t *filter,
                            int32_t count,
                            int8_t *output);

#ifdef __cplusplus
}
#endif

#ifdef TFLM_OPT_DENSE_PAIRED

#ifndef TFLM_OPT_DENSE_SPREAD
#define TFLM_OPT_DENSE_SPREAD 0
#endif

/* A row of inputs, and where in the filter and the output it is. Assembly knows the order. */
typedef struct {
    const int32_t *bias;
    const int8_t *filter;
    int32_t length;
    const int8_t *input; /* or the row in scratch: two words for four positions */
    const int8_t *many;  /* where the row's last 32 positions but for a remainder end */
    const int8_t *whole; /* the same of 4 */
    int32_t rest;        /* positions after that */
    int32_t bias_bytes;  /* from a block's biases to the next one's */
    uint32_t offsets;    /* the input's, in both halves */
    int32_t twice;       /* twice what each sum starts with beside its bias */
    int32_t multiplier;  /* 0 where there is no short form for all channels */
    int32_t unit;
    int32_t offset; /* the output's */
    int8_t *output;
    const int8_t *end;
    int32_t r7;
    int32_t sums[4];
    const int8_t *last; /* of a row in scratch, the input after what is there */
} tflm_opt_dense;

#define TFLM_OPT_DENSE_MANY 32 /* positions of TFLM_OPT_DENSE_STEPS */

/*
 * A word of weights in W times four positions: bytes 1 and 3 of the row are in r9, 0 and 2 in r10.
 * A step: r1 is in the row, r2 in the first channel's weights, r3 in the third's, r4 is the length,
 * r5 to r8 are sums, r12 is free in pairs and else has the input's offsets.
 */
#if TFLM_OPT_DENSE_PAIRED
#define TFLM_OPT_DENSE_WORD(w, a)                                                                  \
    "sxtab16 lr, r10, " w ", ror #8\n\t"                                                           \
    "sxtab16 " w ", r9, " w "\n\t"                                                                 \
    "smlad " a ", lr, " w ", " a "\n\t"
#if TFLM_OPT_DENSE_SPREAD
/* Loads of one word follow each other faster than they follow an ldrd. */
#define TFLM_OPT_DENSE_ROW                                                                         \
    "ldr r10, [r1], #4\n\t"                                                                        \
    "ldr r9, [r1], #4\n\t"
#define TFLM_OPT_DENSE_BYTES ""
#define TFLM_OPT_DENSE_LAST "ldr r1, [r0, #80]\n\t"
#else
#define TFLM_OPT_DENSE_ROW "ldr r9, [r1], #4\n\t"
#define TFLM_OPT_DENSE_BYTES                                                                       \
    "sxtb16 r10, r9\n\t"                                                                           \
    "sxtb16 r9, r9, ror #8\n\t"
#define TFLM_OPT_DENSE_LAST ""
#endif
#define TFLM_OPT_DENSE_STEP                                                                        \
    TFLM_OPT_DENSE_ROW                                                                             \
    "ldr r12, [r2, r4]\n\t"                                                                        \
    "ldr r11, [r2], #4\n\t" TFLM_OPT_DENSE_BYTES TFLM_OPT_DENSE_WORD("r11", "r5")                  \
        TFLM_OPT_DENSE_WORD("r12", "r6") "ldr r12, [r3, r4]\n\t"                                   \
    "ldr r11, [r3], #4\n\t" TFLM_OPT_DENSE_WORD("r11", "r7") TFLM_OPT_DENSE_WORD("r12", "r8")
#define TFLM_OPT_DENSE_ELEMENT ""
#define TFLM_OPT_DENSE_TWICE(a) "qdadd " a ", r12, " a "\n\t"
#else
#define TFLM_OPT_DENSE_WORD(w, a)                                                                  \
    "sxtb16 lr, " w "\n\t"                                                                         \
    "sxtb16 " w ", " w ", ror #8\n\t"                                                              \
    "smlad " a ", lr, r10, " a "\n\t"                                                              \
    "smlad " a ", " w ", r9, " a "\n\t"
#define TFLM_OPT_DENSE_STEP                                                                        \
    "ldr r9, [r1], #4\n\t"                                                                         \
    "ldr r11, [r2, r4]\n\t"                                                                        \
    "sxtab16 r10, r12, r9\n\t"                                                                     \
    "sxtab16 r9, r12, r9, ror #8\n\t" TFLM_OPT_DENSE_WORD("r11", "r6")                             \
    "ldr r11, [r2], #4\n\t" TFLM_OPT_DENSE_WORD("r11", "r5")                                       \
    "ldr r11, [r3, r4]\n\t" TFLM_OPT_DENSE_WORD("r11", "r8")                                       \
    "ldr r11, [r3], #4\n\t" TFLM_OPT_DENSE_WORD("r11", "r7")
#define TFLM_OPT_DENSE_LAST ""
#define TFLM_OPT_DENSE_ELEMENT "sxtah r9, r9, r12\n\t"
#define TFLM_OPT_DENSE_TWICE(a) "qadd " a ", " a ", " a "\n\t"
#endif

#define TFLM_OPT_DENSE_STEPS                                                                       \
    TFLM_OPT_DENSE_STEP TFLM_OPT_DENSE_STEP TFLM_OPT_DENSE_STEP TFLM_OPT_DENSE_STEP                \
        TFLM_OPT_DENSE_STEP TFLM_OPT_DENSE_STEP TFLM_OPT_DENSE_STEP TFLM_OPT_DENSE_STEP

/* What tflm_opt_scaled_s8 does with twice a sum, and the store. */
#define TFLM_OPT_DENSE_OUTPUT(a)                                                                   \
    TFLM_OPT_DENSE_TWICE(a)                                                                        \
    "smmulr " a ", " a ", lr\n\t"                                                                  \
    "add " a ", " a ", " a ", asr #31\n\t"                                                         \
    "smmlar " a ", " a ", r9, r10\n\t"                                                             \
    "ssat " a ", #8, " a "\n\t"                                                                    \
    "strb " a ", [r11], #1\n\t"

/*
 * Blocks of four outputs, up to `end`; or, where there is no short form for all, the sums of one,
 * without `twice`. All registers are taken, whatever the compiler wants r7 for.
 */
TFLM_OPT_APART void tflm_opt_dense_blocks(tflm_opt_dense *d)
{
    register tflm_opt_dense *r0 __asm__("r0") = d;
    __asm__ volatile("str r7, [r0, #60]\n\t"
                     "ldrd r2, r4, [r0, #4]\n"
                     "1:\n\t" /* a block: biases, and the row from its start */
                     "ldr r1, [r0]\n\t"
                     "ldr lr, [r0, #28]\n\t"
                     "ldm r1, {r5, r6, r7, r8}\n\t"
                     "add r1, r1, lr\n\t"
                     "str r1, [r0]\n\t"
                     "ldrd r1, lr, [r0, #12]\n\t"
                     "ldr r12, [r0, #32]\n\t"
                     "add r3, r2, r4, lsl #1\n\t"
                     "cmp r1, lr\n\t"
                     "beq 3f\n"
                     "2:\n\t" TFLM_OPT_DENSE_STEPS "ldr lr, [r0, #16]\n\t"
                     "cmp r1, lr\n\t"
                     "bne 2b\n"
                     "3:\n\t"
                     "ldr lr, [r0, #20]\n\t"
                     "cmp r1, lr\n\t"
                     "beq 5f\n"
                     "4:\n\t" TFLM_OPT_DENSE_STEP "ldr lr, [r0, #20]\n\t"
                     "cmp r1, lr\n\t"
                     "bne 4b\n"
                     "5:\n\t" /* the last one to three positions */
                     "ldr lr, [r0, #24]\n\t"
                     "cmp lr, #0\n\t"
                     "beq 7f\n\t" TFLM_OPT_DENSE_LAST "\n"
                     "6:\n\t"
                     "ldrsb r9, [r1], #1\n\t" TFLM_OPT_DENSE_ELEMENT "ldrsb r10, [r2, r4]\n\t"
                     "ldrsb r11, [r2], #1\n\t"
                     "mla r6, r9, r10, r6\n\t"
                     "mla r5, r9, r11, r5\n\t"
                     "ldrsb r10, [r3, r4]\n\t"
                     "ldrsb r11, [r3], #1\n\t"
                     "mla r8, r9, r10, r8\n\t"
                     "mla r7, r9, r11, r7\n\t"
                     "subs lr, lr, #1\n\t"
                     "bne 6b\n"
                     "7:\n\t" /* outputs */
                     "ldr lr, [r0, #40]\n\t"
                     "cmp lr, #0\n\t"
                     "beq 8f\n\t"
                     "ldr r12, [r0, #36]\n\t"
                     "ldrd r9, r10, [r0, #44]\n\t"
                     "ldr r11, [r0, #52]\n\t" TFLM_OPT_DENSE_OUTPUT("r5")
                         TFLM_OPT_DENSE_OUTPUT("r6") TFLM_OPT_DENSE_OUTPUT("r7")
                             TFLM_OPT_DENSE_OUTPUT("r8") "str r11, [r0, #52]\n\t"
                     "ldr lr, [r0, #56]\n\t"
                     "add r2, r2, r4\n\t"
                     "add r2, r2, r4, lsl #1\n\t"
                     "cmp r11, lr\n\t"
                     "bne 1b\n\t"
                     "b 9f\n"
                     "8:\n\t"
                     "add r1, r0, #64\n\t"
                     "stm r1, {r5, r6, r7, r8}\n"
                     "9:\n\t"
                     "ldr r7, [r0, #60]"
                     :
                     : "r"(r0)
                     : "r1", "r2", "r3", "r4", "r5", "r6", "r8", "r9", "r10", "r11", "r12", "lr",
                       "cc", "memory");
}

TFLM_OPT_INLINE int32_t tflm_opt_wrapped(int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)a + (uint32_t)b);
}

/* The sum of one channel, its bias but not `twice` in it. */
static int32_t tflm_opt_dense_channel(const tflm_opt_dense *d, int32_t bias)
{
    const int8_t *in = d->input;
    const int8_t *filter = d->filter;
    const uint32_t offsets = d->offsets;
    int32_t sum = bias;
    while (in != d->whole) {
        const uint32_t x = tflm_opt_word(in);
        const uint32_t w = tflm_opt_word(filter);
#if TFLM_OPT_DENSE_SPREAD
        const uint32_t even = x;
        const uint32_t odd = tflm_opt_word(in + 4);
        in += 8;
#else
        const uint32_t even = tflm_opt_sxtab16(offsets, x);
        const uint32_t odd = tflm_opt_sxtab16_odd(offsets, x);
        in += 4;
#endif
#if TFLM_OPT_DENSE_PAIRED
        sum = tflm_opt_smlad(tflm_opt_sxtab16_odd(even, w), tflm_opt_sxtab16(odd, w), sum);
#else
        sum = tflm_opt_smlad(even, tflm_opt_sxtb16(w), sum);
        sum = tflm_opt_smlad(odd, tflm_opt_sxtb16_odd(w), sum);
#endif
        filter += 4;
    }
#if TFLM_OPT_DENSE_SPREAD
    in = d->last;
#endif
    return tflm_opt_dot_s8(sum, in, filter, d->rest, (int16_t)offsets);
}

/* Products of neighbours among four positions, which it unpacks where rows are spread. */
TFLM_OPT_INLINE int32_t tflm_opt_dense_pair(const int8_t *in, int32_t sum, uint32_t *words)
{
    const uint32_t x = tflm_opt_word(in);
    const uint32_t even = tflm_opt_sxtb16(x);
    const uint32_t odd = tflm_opt_sxtb16_odd(x);
    if (TFLM_OPT_DENSE_SPREAD) {
        words[0] = even;
        words[1] = odd;
    }
    return tflm_opt_smlad(even, odd, sum);
}

/* Those of the whole row. */
TFLM_OPT_INLINE int32_t tflm_opt_dense_pairs(const int8_t *in, const int8_t *end, uint32_t *words)
{
    const int8_t *many = in + ((end - in) & -16);
    int32_t sum = 0;
    while (in != many) {
        sum = tflm_opt_dense_pair(in, sum, words);
        sum = tflm_opt_dense_pair(in + 4, sum, words + 2 * TFLM_OPT_DENSE_SPREAD);
        sum = tflm_opt_dense_pair(in + 8, sum, words + 4 * TFLM_OPT_DENSE_SPREAD);
        sum = tflm_opt_dense_pair(in + 12, sum, words + 6 * TFLM_OPT_DENSE_SPREAD);
        in += 16;
        words += 8 * TFLM_OPT_DENSE_SPREAD;
        TFLM_OPT_KEEP(in);
    }
    while (in != end) {
        sum = tflm_opt_dense_pair(in, sum, words);
        in += 4;
        words += 2 * TFLM_OPT_DENSE_SPREAD;
    }
    return sum;
}

TFLM_OPT_INLINE void tflm_opt_set_dense(const tflm_opt_channels *channels,
                                        const int8_t *input,
                                        uint32_t *words,
                                        const int8_t *filter,
                                        int8_t *output,
                                        tflm_opt_dense *d)
{
    const int8_t *row = TFLM_OPT_DENSE_SPREAD ? (const int8_t *)words : input;
    const uint32_t offset = (uint32_t)channels->input_offset;
    const int32_t length = channels->filter_size;
    tflm_opt_scale scale = {0, 0, 0};
    d->bias = channels->bias;
    d->filter = filter;
    d->length = length;
    d->input = row;
    d->many = row + ((length & -TFLM_OPT_DENSE_MANY) << TFLM_OPT_DENSE_SPREAD);
    d->whole = row + ((length & -4) << TFLM_OPT_DENSE_SPREAD);
    d->last = input + (length & -4);
    d->rest = length & 3;
    d->bias_bytes = 16 * channels->bias_step;
    d->offsets = tflm_opt_pack_low(offset, offset);
    d->twice = TFLM_OPT_DENSE_PAIRED ? -2 * tflm_opt_dense_pairs(input, d->last, words) : 0;
    if (channels->quant_step != 0 ||
        !tflm_opt_set_scale(channels->multiplier[0], channels->shift[0], channels->output_offset,
                            TFLM_OPT_SCALE_ANY, &scale)) {
        scale.multiplier = 0;
    }
    d->multiplier = scale.multiplier;
    d->unit = scale.unit;
    d->offset = scale.offset;
    d->output = output;
}

/* Outputs of `count` channels, from sums without `twice`, each with the scale it has. */
static void tflm_opt_dense_outputs(const tflm_opt_channels *channels,
                                   tflm_opt_dense *d,
                                   const int32_t *multiplier,
                                   const int32_t *shift,
                                   int32_t count)
{
    int32_t i;
    for (i = 0; i < count; i++) {
        const int32_t sum = tflm_opt_wrapped(d->sums[i], d->twice / 2);
        tflm_opt_scale scale;
        if (tflm_opt_set_scale(*multiplier, *shift, channels->output_offset, TFLM_OPT_SCALE_ANY,
                               &scale)) {
            *d->output++ = (int8_t)tflm_opt_scaled_s8(&scale, tflm_opt_twice(sum));
        } else {
            *d->output++ = tflm_opt_one_output(channels, multiplier, shift, sum);
        }
        multiplier += channels->quant_step;
        shift += channels->quant_step;
    }
}

/* `count` outputs of one row; words: room for half a word for each position, if it is spread. */
TFLM_OPT_INLINE void tflm_opt_dense_spread(const tflm_opt_channels *channels,
                                           const int8_t *input,
                                           uint32_t *words,
                                           const int8_t *filter,
                                           int32_t count,
                                           int8_t *output)
{
    const int32_t *multiplier = channels->multiplier;
    const int32_t *shift = channels->shift;
    const int8_t *const end = output + count;
    tflm_opt_dense d;
    tflm_opt_set_dense(channels, input, words, filter, output, &d);
    while (d.output != end) {
        const int32_t left = (int32_t)(end - d.output);
        int32_t made = 1;
        if (left >= 4 && d.multiplier != 0) {
            made = left & -4;
            d.end = d.output + made;
            tflm_opt_dense_blocks(&d);
        } else {
            if (left >= 4) {
                made = 4;
                tflm_opt_dense_blocks(&d);
            } else {
                d.sums[0] = tflm_opt_dense_channel(&d, *d.bias);
                d.bias += channels->bias_step;
            }
            tflm_opt_dense_outputs(channels, &d, multiplier, shift, made);
        }
        d.filter += made * d.length;
        multiplier += made * channels->quant_step;
        shift += made * channels->quant_step;
    }
    if (tflm_opt_is_narrow(channels->activation.min, channels->activation.max)) {
        tflm_opt_clamp_outputs(output, count, channels->activation.min, channels->activation.max);
    }
}

/* The same without scratch. */
TFLM_OPT_INLINE void tflm_opt_dense_line(const tflm_opt_channels *channels,
                                         const int8_t *input,
                                         const int8_t *filter,
                                         int32_t count,
                                         int8_t *output)
{
    tflm_opt_dense_spread(channels, input, NULL, filter, count, output);
}

#endif /* TFLM_OPT_DENSE_PAIRED */

#endif /* TFLM_OPT_DENSE_H */
