#include "tflm_opt_gemm.h"
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP

#include "tflm_opt_dot.h"
#include "tflm_opt_dsp.h"

/*
 * Functions of nothing but assembly: of every kind of instruction, the compiler sees no length, and
 * their loops need all fourteen registers. Repeated by the preprocessor.
 */
#define NAKED __attribute__((naked, noinline, used))
#define RARE TFLM_OPT_APART __attribute__((cold)) /* small rather than fast */
#define IGNORED __attribute__((unused))

/* Short forms are for sums below this, and for shifts right of 1 to FARTHEST. */
#define SUM_LIMIT ((int32_t)1 << 30)
#define FARTHEST 22

#define TWICE(text) text text
#define FOUR(text) TWICE(text) TWICE(text)
#define EIGHT(text) FOUR(text) FOUR(text)

/*
 * ---- The core. ----
 *
 * r0 weights, r1 inputs; sums of (channel, pixel): r2 (0, 0), r3 (1, 0), r12 (0, 1), r14 (1, 1);
 * weights r4 to r7, inputs r8 to r11. At sp are words 2 to 12 of tflm_opt_gemm_tiles.
 */
#define UNROLLED 24
#define STEP_BYTES 40

#define FIRST_STEP                                                                                 \
    "ldmia.w r0!, {r2, r3, r4, r5, r6, r7}\n\t"                                                    \
    "ldmia.w r1!, {r8, r9, r10, r11}\n\t"                                                          \
    "smlad r12, r4, r10, r2\n\t"                                                                   \
    "smlad r2, r4, r8, r2\n\t"                                                                     \
    "smlad r14, r6, r10, r3\n\t"                                                                   \
    "smlad r3, r6, r8, r3\n\t"                                                                     \
    "smlad r12, r5, r11, r12\n\t"                                                                  \
    "smlad r2, r5, r9, r2\n\t"                                                                     \
    "smlad r14, r7, r11, r14\n\t"                                                                  \
    "smlad r3, r7, r9, r3\n\t"

#define STEP                                                                                       \
    "ldmia.w r0!, {r4, r5, r6, r7}\n\t"                                                            \
    "ldmia.w r1!, {r8, r9, r10, r11}\n\t"                                                          \
    "smlad r12, r4, r10, r12\n\t"                                                                  \
    "smlad r2, r4, r8, r2\n\t"                                                                     \
    "smlad r14, r6, r10, r14\n\t"                                                                  \
    "smlad r3, r6, r8, r3\n\t"                                                                     \
    "smlad r12, r5, r11, r12\n\t"                                                                  \
    "smlad r2, r5, r9, r2\n\t"                                                                     \
    "smlad r14, r7, r11, r14\n\t"                                                                  \
    "smlad r3, r7, r9, r3\n\t"

/* Sums to int8 in place, with r4 to r6 and r7 to r9 for the two channels' parameters. */
#define REQUANTIZE                                                                                 \
    "ldmia.w r0!, {r4, r5, r6, r7, r8, r9}\n\t"                                                    \
    "smmlar r2, r2, r4, r5\n\t"                                                                   \
    "smmlar r12, r12, r4, r5\n\t"                                                                 \
    "smmlar r3, r3, r7, r8\n\t"                                                                   \
    "smmlar r14, r14, r7, r8\n\t"

#define REQUANTIZE_WITH_KINK                                                                       \
    "ldmia.w r0!, {r4, r5, r6, r7, r8, r9}\n\t"                                                    \
    "add.w r10, r5, r2, asr #31\n\t"                                                              \
    "add.w r11, r5, r12, asr #31\n\t"                                                             \
    "smmlar r2, r2, r4, r10\n\t"                                                                  \
    "smmlar r12, r12, r4, r11\n\t"                                                                \
    "add.w r10, r8, r3, asr #31\n\t"                                                              \
    "add.w r11, r8, r14, asr #31\n\t"                                                             \
    "smmlar r3, r3, r7, r10\n\t"                                                                  \
    "smmlar r14, r14, r7, r11\n\t"

#define NARROW                                                                                     \
    "asr.w r2, r2, r6\n\t"                                                                         \
    "asr.w r12, r12, r6\n\t"                                                                       \
    "asr.w r3, r3, r9\n\t"                                                                         \
    "asr.w r14, r14, r9\n\t"                                                                       \
    "ssat r2, #8, r2\n\t"                                                                          \
    "ssat r12, #8, r12\n\t"                                                                        \
    "ssat r3, #8, r3\n\t"                                                                          \
    "ssat r14, #8, r14\n\t"

/*
 * The same inputs meet the next channels. A second pixel at the first one's place is overwritten. At
 * last there may be a channel alone: it is made together with the one before once more, from 8 on.
 */
#define STORE_ALONG                                                                                \
    "ldmia.w sp, {r1, r4, r5, r6}\n\t"                                                             \
    "subs r5, r5, #2\n\t"                                                                          \
    "strb.w r12, [r6, r4]\n\t"                                                                     \
    "strb r2, [r6], #1\n\t"                                                                        \
    "strb.w r14, [r6, r4]\n\t"                                                                     \
    "strb r3, [r6], #1\n\t"                                                                        \
    "strd r5, r6, [sp, #8]\n\t"                                                                    \
    "bgt.w 1b\n\t"                                                                                 \
    "bne.w 2f\n\t"                                                                                 \
    "b.w 8f\n\t"

/*
 * The same weights meet the next pixels. Here a second channel may also be at the first's place, and
 * at last a pixel alone: where its outputs are is changed for it, at 7.
 */
#define STORE_ACROSS                                                                               \
    "ldmia.w sp, {r0, r4, r5, r6, r7, r8, r9}\n\t"                                                 \
    "subs r5, r5, #2\n\t"                                                                          \
    "strb.w r14, [r6, r8]\n\t"                                                                     \
    "strb.w r12, [r6, r4]\n\t"                                                                     \
    "strb.w r3, [r6, r7]\n\t"                                                                      \
    "strb.w r2, [r6]\n\t"                                                                          \
    "add.w r6, r6, r9\n\t"                                                                         \
    "strd r5, r6, [sp, #8]\n\t"                                                                    \
    "bgt.w 1b\n\t"                                                                                 \
    "bne.w 2f\n\t"                                                                                 \
    "b.w 7f\n\t"

/* Another round of the unrolled loop, or not. */
#define AGAIN(shared)                                                                              \
    "ldr.w r4, [sp, #36]\n\t"                                                                      \
    "cmp " shared ", r4\n\t"                                                                       \
    "bne.w 5b\n\t"                                                                                 \
    "ldr.w pc, [sp, #40]\n\t"

/* What comes after the loop. */
enum { ALONG = 0, ACROSS = 2, WITH_KINK = 1, LOOP = 4 };

/*
 * All tiles; or where `back` isn't 0, their addresses of code: the loop's first round begins
 * back - 1 bytes before its end, then `next` and at last `tail` come, so far places in a table.
 */
NAKED static void run_tiles(tflm_opt_gemm_tiles *tiles IGNORED,
                            int32_t back IGNORED)
{
    __asm__(".syntax unified\n\t"
            "cbz r1, 3f\n\t"
            "adr.w r12, 6f\n\t"
            "sub.w r12, r12, r1\n\t"
            "add.w r12, r12, #2\n\t"
            "str.w r12, [r0, #36]\n\t"
            "adr.w r12, 4f\n\t"
            "ldr.w r2, [r0, #40]\n\t"
            "ldr.w r3, [r0, #48]\n\t"
            "ldr.w r2, [r12, r2, lsl #2]\n\t"
            "ldr.w r3, [r12, r3, lsl #2]\n\t"
            "add.w r2, r2, r12\n\t"
            "add.w r3, r3, r12\n\t"
            "str.w r2, [r0, #40]\n\t"
            "str.w r3, [r0, #48]\n\t"
            "bx lr\n\t"
            ".balign 4\n"
            "4:\n\t"
            ".word 10f - 4b + 1, 11f - 4b + 1, 12f - 4b + 1, 13f - 4b + 1\n\t"
            ".word 14f - 4b + 1, 14f - 4b + 1, 15f - 4b + 1, 15f - 4b + 1\n"
            "3:\n\t"
            "push.w {r4, r5, r6, r7, r8, r9, r10, r11, lr}\n\t"
            "ldmia.w r0, {r0, r1, r2, r3, r4, r5, r6, r7, r8, r9, r10, r11, r12}\n\t"
            "push.w {r2, r3, r4, r5, r6, r7, r8, r9, r10, r11, r12}\n"
            "1:\n\t" FIRST_STEP
            "ldr.w pc, [sp, #28]\n"
            "5:\n\t" EIGHT(STEP) EIGHT(STEP) EIGHT(STEP)
            "6:\n\t"
            "ldr.w pc, [sp, #32]\n"
            "10:\n\t" REQUANTIZE NARROW STORE_ALONG
            "11:\n\t" REQUANTIZE_WITH_KINK NARROW STORE_ALONG
            "12:\n\t" REQUANTIZE NARROW STORE_ACROSS
            "13:\n\t" REQUANTIZE_WITH_KINK NARROW STORE_ACROSS
            "14:\n\t" AGAIN("r1")
            "15:\n\t" AGAIN("r0")
            "7:\n\t"
            "mov.w r4, #0\n\t"
            "str.w r4, [sp, #4]\n\t"
            "str.w r7, [sp, #20]\n\t"
            "b.w 1b\n"
            "8:\n\t"
            "sub.w r6, r6, #1\n\t"
            "str.w r6, [sp, #12]\n\t"
            "b.w 1b\n"
            "2:\n\t"
            "add.w sp, sp, #44\n\t"
            "pop.w {r4, r5, r6, r7, r8, r9, r10, r11, pc}\n\t");
}

/*
 * ---- Spreading out. ----
 *
 * r0 target, r1 first of the pair, r2 from there to the second, r4 words of a row, r5 rows, r6 skip,
 * r7 constant, r12 rest of a row, r14 its place. A step alone, two, then four at a time.
 */
#define SPREAD_INPUTS                                                                              \
    "ldr.w r11, [r1, r2]\n\t"                                                                      \
    "ldr r9, [r1], #4\n\t"                                                                         \
    "sxtab16 r10, r7, r11\n\t"                                                                    \
    "sxtab16 r11, r7, r11, ror #8\n\t"                                                            \
    "sxtab16 r8, r7, r9\n\t"                                                                      \
    "sxtab16 r9, r7, r9, ror #8\n\t"                                                              \
    "stmia.w r0!, {r8, r9, r10, r11}\n\t"

#define SPREAD_WEIGHTS                                                                             \
    "ldr.w r11, [r1, r2]\n\t"                                                                      \
    "ldr r9, [r1], #4\n\t"                                                                         \
    "sxtb16 r10, r11\n\t"                                                                         \
    "sxtb16 r7, r11, ror #8\n\t"                                                                  \
    "sxtab16 r10, r10, r11\n\t"                                                                   \
    "sxtab16 r11, r7, r11, ror #8\n\t"                                                            \
    "sxtb16 r8, r9\n\t"                                                                           \
    "sxtb16 r7, r9, ror #8\n\t"                                                                   \
    "sxtab16 r8, r8, r9\n\t"                                                                      \
    "sxtab16 r9, r7, r9, ror #8\n\t"                                                              \
    "stmia.w r0!, {r8, r9, r10, r11}\n\t"

#define REST_BYTE                                                                                  \
    "ldrb.w r10, [r1, r2]\n\t"                                                                    \
    "ldrb r11, [r1], #1\n\t"                                                                       \
    "strb.w r10, [r14, #12]\n\t"                                                                  \
    "strb r11, [r14], #1\n\t"

/* From the end of what was written, where what rows left over is, and that there is no more. */
#define REST_ROW                                                                                   \
    "add.w r1, r4, r4, lsl #1\n\t"                                                                \
    "add.w r1, r0, r1, lsl #2\n\t"                                                                \
    "sub.w r1, r1, #12\n\t"                                                                       \
    "mov.w r2, #12\n\t"

#define SPREAD_ROWS(step)                                                                          \
    ".syntax unified\n\t"                                                                         \
    "push.w {r3, r4, r5, r6, r7, r8, r9, r10, r11, lr}\n\t"                                       \
    "ldmia.w r3, {r4, r5, r6, r7, r12, r14}\n"                                                    \
    "1:\n\t"                                                                                      \
    "lsrs.w r3, r4, #1\n\t"                                                                       \
    "bcc.w 2f\n\t" step "2:\n\t"                                                                 \
    "beq.w 5f\n\t"                                                                                \
    "lsrs.w r3, r3, #1\n\t"                                                                       \
    "bcs.w 4f\n\t"                                                                                \
    "sub.w r3, r3, #1\n"                                                                          \
    "3:\n\t" TWICE(step) "4:\n\t" TWICE(step) "subs.w r3, r3, #1\n\t"                           \
    "bpl.w 3b\n"                                                                                  \
    "5:\n\t"                                                                                      \
    "cmp.w r12, #0\n\t"                                                                           \
    "bne.w 6f\n\t"                                                                                \
    "add.w r1, r1, r6\n\t"                                                                        \
    "subs.w r5, r5, #1\n\t"                                                                       \
    "bne.w 1b\n\t"                                                                                \
    "pop.w {r3, r4, r5, r6, r7, r8, r9, r10, r11, pc}\n"                                          \
    "6:\n\t"                                                                                      \
    "lsls.w r3, r12, #31\n\t"                                                                     \
    "bcc.w 7f\n\t"                                                                                \
    "ldrh.w r10, [r1, r2]\n\t"                                                                    \
    "ldrh r11, [r1], #2\n\t"                                                                       \
    "strh.w r10, [r14, #12]\n\t"                                                                  \
    "strh r11, [r14], #2\n"                                                                        \
    "7:\n\t"                                                                                      \
    "bpl.w 8f\n\t" REST_BYTE "8:\n\t"                                                            \
    "add.w r1, r1, r6\n\t"                                                                        \
    "subs.w r5, r5, #1\n\t"                                                                       \
    "bne.w 1b\n\t"                                                                                \
    "ldr.w r3, [sp]\n\t" /* what rows left over is one more row */                               \
    "ldr.w r4, [r3, #24]\n\t"                                                                     \
    "cmp.w r4, #0\n\t"                                                                            \
    REST_ROW                                                                                       \
    "mov.w r12, #0\n\t"                                                                           \
    "mov.w r5, #1\n\t"                                                                            \
    "bne.w 1b\n\t"                                                                                \
    "pop.w {r3, r4, r5, r6, r7, r8, r9, r10, r11, pc}\n\t"

/* Rows of a pair of windows; the end of what was written. */
NAKED static uint32_t *spread_inputs(uint32_t *target IGNORED,
                                     const int8_t *first IGNORED,
                                     ptrdiff_t second IGNORED,
                                     const tflm_opt_gemm_rows *rows IGNORED)
{
    __asm__(SPREAD_ROWS(SPREAD_INPUTS));
}

/* The same for rows of nine bytes, those of 3x3 windows of three channels. */
NAKED static uint32_t *spread_threes(uint32_t *target IGNORED,
                                     const int8_t *first IGNORED,
                                     ptrdiff_t second IGNORED,
                                     const tflm_opt_gemm_rows *rows IGNORED)
{
    __asm__(".syntax unified\n\t"
            "push.w {r3, r4, r5, r6, r7, r8, r9, r10, r11, lr}\n\t"
            "ldmia.w r3, {r4, r5, r6, r7, r12, r14}\n"
            "1:\n\t" TWICE(SPREAD_INPUTS) REST_BYTE
            "add.w r1, r1, r6\n\t"
            "subs.w r5, r5, #1\n\t"
            "bne.w 1b\n\t"
            "ldr.w r4, [r3, #24]\n\t"
            "cmp.w r4, #0\n\t"
            "beq.w 3f\n\t" REST_ROW
            "2:\n\t" SPREAD_INPUTS
            "subs.w r4, r4, #1\n\t"
            "bne.w 2b\n"
            "3:\n\t"
            "pop.w {r3, r4, r5, r6, r7, r8, r9, r10, r11, pc}\n\t");
}

/* The same for weights. */
NAKED static uint32_t *spread_weights(uint32_t *target IGNORED,
                                      const int8_t *first IGNORED,
                                      ptrdiff_t second IGNORED,
                                      const tflm_opt_gemm_rows *rows IGNORED)
{
    __asm__(SPREAD_ROWS(SPREAD_WEIGHTS));
}

/* ---- Around it. ---- */

/* Where the code of tiles continues, for a depth of so many words. */
static void set_code(tflm_opt_gemm_tiles *tiles, int32_t words, int32_t tail)
{
    const int32_t rounds = (words - 2 + UNROLLED) / UNROLLED; /* words - 1 steps of the loop */
    const int32_t first = words - 1 - (rounds - 1) * UNROLLED;
    tiles->next = (uint32_t)(rounds > 1 ? tail | LOOP : tail);
    tiles->tail = (uint32_t)tail;
    run_tiles(tiles, rounds == 0 ? 1 : first * STEP_BYTES + 1);
}

/*
 * The short form of a channel to where its parameters are; 0 where it has none. Sums are doubled, so
 * that SMMLAR gives TFLM's first rounding, h. Its second one is
 * floor((h - (h < 0) + 2^(e - 1)) / 2^e) for a shift right by e; h < 0 may be read from the sum, since
 * both give 0 where h is 0.
 */
TFLM_OPT_INLINE int set_form(const tflm_opt_gemm *gemm,
                             int32_t bias,
                             int32_t multiplier,
                             int32_t shift,
                             uint32_t *doubled_bias,
                             uint32_t *parameters)
{
    const uint32_t limit = (uint32_t)gemm->bias_limit;
    uint32_t right = 0U - (uint32_t)shift - 1U;
    parameters[2] = 0; /* a shift that no short form has */
    if ((uint32_t)bias + limit >= 2U * limit) {
        return 0;
    }
    if (right >= FARTHEST) {
        const uint32_t most = SUM_LIMIT - limit + (uint32_t)(bias < 0 ? -bias : bias);
        if (right > 31U || most >> right != 0) {
            return 0;
        }
        multiplier = 0; /* all sums give 0 */
        right = FARTHEST - 1;
    }
    *doubled_bias = 2U * (uint32_t)bias;
    parameters[0] = (uint32_t)multiplier;
    parameters[1] = gemm->unit << right;
    parameters[2] = right + 1U;
    return 1;
}

/*
 * The weights and short forms of a pair of channels, of which the first is `channel`: the same one
 * twice where there is no other. Where one of them has no short form, the first shift is 0.
 */
TFLM_OPT_APART int spread_pair(tflm_opt_gemm *gemm, int32_t channel, uint32_t *target)
{
    const tflm_opt_gemm_problem *problem = gemm->problem;
    const int32_t next = channel + gemm->second;
    uint32_t *parameters = target + 2 + gemm->words;
    const int32_t *bias = problem->bias;
    int32_t bias0 = 0;
    int32_t bias1 = 0;
    if (gemm->filter_rows.rest != 0) {
        uint32_t *rests = target + 2 + gemm->rests;
        gemm->filter_rows.rests = (int8_t *)rests;
        rests[gemm->filter_rows.rest_words - 1] = 0;
        rests[gemm->filter_rows.rest_words + 2] = 0;
    }
    (void)spread_weights(target + 2, problem->filter + channel * gemm->depth,
                         gemm->second * gemm->depth, &gemm->filter_rows);
    if (bias != NULL) {
        bias0 = bias[channel];
        bias1 = bias[next];
    }
    if (set_form(gemm, bias0, problem->multiplier[channel], problem->shift[channel], target,
                 parameters) &&
        set_form(gemm, bias1, problem->multiplier[next], problem->shift[next], target + 1,
                 parameters + 3)) {
        return 1;
    }
    parameters[2] = 0;
    return 0;
}

/* The first channel of a pair: a last one alone is made together with the one before. */
TFLM_OPT_INLINE int32_t first_of(const tflm_opt_gemm *gemm, int32_t channel)
{
    return tflm_opt_min(channel, gemm->last_pair);
}

/* The sum of doubled products of a channel and a pixel of a tile, whatever it may reach, halved. */
RARE int32_t general_sum(const uint32_t *weights, const uint32_t *inputs, int32_t words)
{
    int64_t sum = 0;
    const uint32_t *end = weights + words;
    for (; weights != end; weights += 4, inputs += 4) {
        __asm__("smlald %Q0, %R0, %1, %2" : "+r"(sum) : "r"(weights[0]), "r"(inputs[0]));
        __asm__("smlald %Q0, %R0, %1, %2" : "+r"(sum) : "r"(weights[1]), "r"(inputs[1]));
    }
    return (int32_t)(uint32_t)(uint64_t)(sum >> 1);
}

/* One pixel's outputs of a pair of channels without short forms. */
RARE void general_pixel(const tflm_opt_gemm *gemm,
                                  int32_t channel,
                                  const uint32_t *weights,
                                  const uint32_t *inputs,
                                  int8_t *output)
{
    const tflm_opt_gemm_problem *problem = gemm->problem;
    const int32_t end = tflm_opt_min(channel + 2, problem->channels);
    for (; channel < end; channel++) {
        const int32_t bias = problem->bias != NULL ? problem->bias[channel] : 0;
        const uint32_t sum = (uint32_t)general_sum(weights, inputs, gemm->words);
        *output++ = tflm_opt_output_s8((int32_t)((uint32_t)bias + sum),
                                       problem->multiplier[channel], problem->shift[channel],
                                       problem->output_offset, problem->activation);
        weights += 2;
    }
}

/* What is the same for all pairs of channels of a block. */
static void set_across(tflm_opt_gemm *gemm, int32_t pixels)
{
    gemm->across.second_channel = gemm->second;
    gemm->across.second_pixel = pixels > 1 ? gemm->problem->channels : 0;
    gemm->across.both = gemm->across.second_pixel + gemm->second;
    gemm->across.count = pixels > 1 ? pixels - 1 : 1; /* by twos: 0 is a pixel alone */
}

/* A pair of channels without short forms of a block of pixels. */
RARE void cross_generally(const tflm_opt_gemm *gemm,
                                    int32_t channel,
                                    const uint32_t *weights,
                                    int32_t pixels,
                                    int8_t *output)
{
    int32_t pixel;
    for (pixel = 0; pixel < pixels; pixel++) {
        general_pixel(gemm, channel, weights + 2,
                      gemm->inputs + (pixel >> 1) * gemm->words + 2 * (pixel & 1), output);
        output += gemm->problem->channels;
    }
}

/* All weights are there, but not all have short forms; or there is but one channel. */
TFLM_OPT_APART void cross_all(tflm_opt_gemm *gemm, int32_t pixels, int8_t *output)
{
    uint32_t *weights = gemm->weights;
    int32_t channel;
    set_across(gemm, pixels);
    for (channel = 0; channel < gemm->problem->channels; channel += 2) {
        const int32_t first = first_of(gemm, channel);
        if (weights[gemm->words + 4] == 0) {
            cross_generally(gemm, first, weights, pixels, output + first);
        } else {
            gemm->across.weights = weights;
            gemm->across.fixed = weights;
            gemm->across.end = weights + 2 + gemm->words;
            gemm->across.output = output + first;
            run_tiles(&gemm->across, 0);
        }
        weights += gemm->pair_words;
    }
}

/* The weights of one pair of channels after the other. */
static void cross_each(tflm_opt_gemm *gemm, int32_t pixels, int8_t *output)
{
    const int32_t channels = gemm->problem->channels;
    int32_t channel;
    set_across(gemm, pixels);
    for (channel = 0; channel < channels; channel += 2) {
        const int32_t first = first_of(gemm, channel);
        gemm->across.output = output + first;
        if (spread_pair(gemm, first, gemm->weights)) {
            run_tiles(&gemm->across, 0);
        } else {
            cross_generally(gemm, first, gemm->weights, pixels, output + first);
        }
    }
}

RARE void clamp_outputs(cmsis_nn_activation activation, int8_t *output, int32_t count)
{
    const int8_t *end = output + count;
    for (; output != end; output++) {
        *output = (int8_t)tflm_opt_clamp(*output, activation.min, activation.max);
    }
}

static void make_block(tflm_opt_gemm *gemm, int32_t pixels, int8_t *output)
{
    const tflm_opt_gemm_problem *problem = gemm->problem;
    if (!gemm->plan.all_weights) {
        cross_each(gemm, pixels, output);
    } else if (gemm->all_short && gemm->second) {
        gemm->along.output = output;
        gemm->along.second_pixel = pixels > 1 ? problem->channels : 0;
        run_tiles(&gemm->along, 0);
    } else {
        cross_all(gemm, pixels, output);
    }
    if (gemm->narrow) {
        clamp_outputs(problem->activation, output, pixels * problem->channels);
    }
}

void tflm_opt_gemm_s8(tflm_opt_gemm *gemm, int32_t pixels, int8_t *output)
{
    make_block(gemm, pixels, output);
}

/* A pair of windows, all rows in one run. */
TFLM_OPT_INLINE uint32_t *spread(const tflm_opt_gemm *gemm,
                                 uint32_t *target,
                                 const int8_t *window,
                                 ptrdiff_t second)
{
    return gemm->threes ? spread_threes(target, window, second, &gemm->input_rows)
                        : spread_inputs(target, window, second, &gemm->input_rows);
}

/* Words of padding up to `end`. */
TFLM_OPT_INLINE uint32_t *pad(uint32_t *target, const uint32_t *end)
{
    while (target != end) {
        target[0] = 0;
        target[1] = 0;
        target[2] = 0;
        target[3] = 0;
        target += 4;
    }
    return target;
}

void tflm_opt_gemm_inputs(tflm_opt_gemm *gemm,
                          int32_t pair,
                          const int8_t *window,
                          ptrdiff_t second,
                          const tflm_opt_run *runs,
                          int32_t above)
{
    uint32_t *target = gemm->inputs + pair * gemm->words;
    tflm_opt_gemm_rows *rows = &gemm->input_rows;
    const int32_t rest_words = rows->rest_words;
    const uint32_t *end = target + gemm->words;
    rows->rests = (int8_t *)(target + gemm->rests);
    target = pad(target, target + 4 * above * rows->words);
    for (; runs->rows > 0; runs++) {
        rows->rows = runs->rows;
        rows->skip = runs->step - gemm->problem->length;
        rows->rest_words = runs[1].rows > 0 ? 0 : rest_words;
        target = spread(gemm, target, window, second);
        rows->rests += runs->rows * rows->rest;
        window += runs->rows * runs->step + runs->jump;
    }
    if (rest_words == 0) {
        (void)pad(target, end);
    }
}

int32_t tflm_opt_gemm_windows(tflm_opt_gemm *gemm,
                              const int8_t *window,
                              ptrdiff_t step,
                              const tflm_opt_run *run,
                              int32_t pixels,
                              int8_t *output)
{
    const int32_t channels = gemm->problem->channels;
    const int32_t pairs = pixels >> 1;
    const int32_t threes = gemm->threes ? pairs : 0;
    int32_t i;
    if (!gemm->plan.all_weights || !gemm->all_short || !gemm->second || gemm->narrow ||
        run->rows != gemm->problem->rows) {
        return 0;
    }
    gemm->input_rows.rests = (int8_t *)(gemm->inputs + gemm->rests);
    gemm->input_rows.rows = run->rows;
    gemm->input_rows.skip = run->step - gemm->problem->length;
    gemm->along.second_pixel = channels;
    for (i = 0; i < threes; i++) {
        (void)spread_threes(gemm->inputs, window + 2 * i * step, step, &gemm->input_rows);
        gemm->along.output = output + 2 * i * channels;
        run_tiles(&gemm->along, 0);
    }
    for (; i < pairs; i++) {
        (void)spread_inputs(gemm->inputs, window + 2 * i * step, step, &gemm->input_rows);
        gemm->along.output = output + 2 * i * channels;
        run_tiles(&gemm->along, 0);
    }
    return 2 * pairs;
}

/* The inputs of a block of neighbouring pixels. */
static void spread_pixels(tflm_opt_gemm *gemm, const int8_t *input, int32_t pixels)
{
    const int32_t depth = gemm->problem->length;
    tflm_opt_gemm_rows *rows = &gemm->input_rows;
    uint32_t *target = gemm->inputs;
    rows->skip = depth;
    while (pixels > 0) {
        if (rows->rest == 0 && pixels > 1) { /* pairs follow each other like rows */
            rows->rows = pixels >> 1;
        }
        rows->rests = (int8_t *)(target + gemm->rests);
        target = spread_inputs(target, input, pixels > 1 ? depth : 0, rows);
        input += 2 * rows->rows * depth;
        pixels -= 2 * rows->rows;
        rows->rows = 1;
    }
}

void tflm_opt_gemm_pixels(tflm_opt_gemm *gemm, const int8_t *input, int32_t pixels, int8_t *output)
{
    static const tflm_opt_run line[2] = {{1, 0, 0}, {0, 0, 0}};
    const int32_t depth = gemm->problem->length;
    const int32_t channels = gemm->problem->channels;
    int32_t count = tflm_opt_gemm_windows(gemm, input, depth, line, pixels, output);
    while (count < pixels) {
        const int32_t block = tflm_opt_min(pixels - count, gemm->plan.block);
        spread_pixels(gemm, input + count * depth, block);
        make_block(gemm, block, output + count * channels);
        count += block;
    }
}

/* The first one lies at the end of its target, where it is read before it is overwritten. */
int8_t *tflm_opt_gemm_place(const tflm_opt_gemm *gemm, int32_t second)
{
    if (gemm->plan.all_weights) {
        return second ? gemm->staging : (int8_t *)gemm->inputs + 3 * gemm->words;
    }
    return gemm->staging + second * gemm->words;
}

void tflm_opt_gemm_gathered(tflm_opt_gemm *gemm,
                            int32_t pair,
                            const int8_t *window,
                            ptrdiff_t second)
{
    tflm_opt_gemm_rows rows = gemm->input_rows;
    rows.words = gemm->words >> 2;
    rows.rows = 1;
    rows.rest = 0;
    spread_inputs(gemm->inputs + pair * gemm->words, window, second, &rows);
}

static void set_rows(tflm_opt_gemm *gemm)
{
    const tflm_opt_gemm_problem *problem = gemm->problem;
    const uint32_t offset = (uint32_t)problem->input_offset;
    tflm_opt_gemm_rows *rows = &gemm->input_rows;
    rows->words = problem->length >> 2;
    rows->rows = problem->rows;
    rows->skip = 0;
    rows->offsets = (offset & 0xFFFFU) | (offset << 16);
    rows->rest = problem->length & 3;
    rows->rests = NULL;
    rows->rest_words = tflm_opt_gemm_round(problem->rows * rows->rest) >> 2;
    gemm->rests = 4 * rows->words * rows->rows + 3 * (rows->rest_words - 1);
    gemm->filter_rows = *rows;
    if (rows->rest == 0) { /* a filter's rows follow each other without a gap */
        gemm->filter_rows.words *= problem->rows;
        gemm->filter_rows.rows = 1;
    }
}

static void set_tiles(tflm_opt_gemm *gemm)
{
    const tflm_opt_gemm_problem *problem = gemm->problem;
    const int32_t kink = problem->activation.min < problem->output_offset ? WITH_KINK : 0;
    gemm->across.weights = gemm->weights;
    gemm->across.inputs = gemm->inputs;
    gemm->across.fixed = gemm->weights;
    gemm->across.end = gemm->weights + 2 + gemm->words;
    gemm->across.step = 2 * problem->channels;
    set_code(&gemm->across, gemm->words / 4, ACROSS | kink);
    if (gemm->plan.all_weights) {
        gemm->along.weights = gemm->weights;
        gemm->along.inputs = gemm->inputs;
        gemm->along.fixed = gemm->inputs;
        gemm->along.end = gemm->inputs + gemm->words;
        gemm->along.count = problem->channels - 1;
        set_code(&gemm->along, gemm->words / 4, ALONG | kink);
    }
}

/* What a bias may reach beside products of the largest values. */
static int32_t bias_limit(const tflm_opt_gemm_problem *problem, int32_t depth)
{
    const int32_t offset = problem->input_offset;
    const int32_t reach = 128 * tflm_opt_max(128 - offset, 127 + offset);
    return depth < SUM_LIMIT / (128 * 256) ? SUM_LIMIT - reach * depth : 0;
}

arm_cmsis_nn_status tflm_opt_gemm_start(tflm_opt_gemm *gemm,
                                        const tflm_opt_gemm_problem *problem,
                                        void *scratch,
                                        int32_t size)
{
    const int32_t depth = problem->rows * problem->length;
    uint32_t *weights = (uint32_t *)scratch;
    int32_t pairs = 1;
    int32_t channel;
    gemm->plan = tflm_opt_gemm_divide(depth, problem->channels, problem->staging, size);
    if (gemm->plan.block == 0 || ((uintptr_t)scratch & 3U) != 0) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    if (gemm->plan.all_weights) {
        pairs = (problem->channels + 1) / 2;
    }
    gemm->problem = problem;
    gemm->depth = depth;
    gemm->second = problem->channels > 1;
    gemm->last_pair = tflm_opt_max(problem->channels - 2, 0);
    gemm->words = tflm_opt_gemm_round(depth);
    gemm->pair_words = gemm->words + TFLM_OPT_GEMM_FORMS / 4;
    gemm->bias_limit = bias_limit(problem, depth);
    gemm->threes = (problem->length == 9);
    gemm->unit = 2U * (uint32_t)problem->output_offset + 1U;
    gemm->narrow = problem->activation.min > INT8_MIN || problem->activation.max < INT8_MAX;
    gemm->weights = weights;
    gemm->inputs = weights + pairs * gemm->pair_words;
    set_rows(gemm);
    set_tiles(gemm);
    gemm->staging = (int8_t *)weights;
    gemm->all_short = 1;
    if (gemm->plan.all_weights) {
        gemm->staging = (int8_t *)(gemm->inputs + gemm->words);
        for (channel = 0; channel < problem->channels; channel += 2) {
            gemm->all_short &= spread_pair(gemm, first_of(gemm, channel), weights);
            weights += gemm->pair_words;
        }
    }
    return ARM_CMSIS_NN_SUCCESS;
}

#endif /* TFLM_OPT_DSP */
