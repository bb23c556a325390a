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
#define IGNORED __attribute__((unused))

#define TWICE(text) text text
#define FOUR(text) TWICE(text) TWICE(text)
#define SIXTEEN(text) FOUR(text) FOUR(text) FOUR(text) FOUR(text)

/*
 * ---- The core. ----
 *
 * r0 weights, r1 inputs; sums of (channel, pixel): r2 (0, 0), r3 (1, 0), r12 (0, 1), r14 (1, 1);
 * weights r4 to r7, inputs r8 to r11. At sp are words 2 to 12 of tflm_opt_gemm_tiles.
 */
#define UNROLLED 16
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
    "smmla r2, r2, r4, r5\n\t"                                                                     \
    "smmla r12, r12, r4, r5\n\t"                                                                   \
    "smmla r3, r3, r7, r8\n\t"                                                                     \
    "smmla r14, r14, r7, r8\n\t"

#define REQUANTIZE_WITH_KINK                                                                       \
    "ldmia.w r0!, {r4, r5, r6, r7, r8, r9}\n\t"                                                    \
    "asr.w r10, r2, #31\n\t"                                                                       \
    "asr.w r11, r12, #31\n\t"                                                                      \
    "smmla r2, r2, r4, r5\n\t"                                                                     \
    "smmla r12, r12, r4, r5\n\t"                                                                   \
    "add.w r2, r2, r10, lsl #7\n\t"                                                                \
    "add.w r12, r12, r11, lsl #7\n\t"                                                              \
    "asr.w r10, r3, #31\n\t"                                                                       \
    "asr.w r11, r14, #31\n\t"                                                                      \
    "smmla r3, r3, r7, r8\n\t"                                                                     \
    "smmla r14, r14, r7, r8\n\t"                                                                   \
    "add.w r3, r3, r10, lsl #7\n\t"                                                                \
    "add.w r14, r14, r11, lsl #7\n\t"

#define NARROW                                                                                     \
    "asr.w r2, r2, r6\n\t"                                                                         \
    "asr.w r12, r12, r6\n\t"                                                                       \
    "asr.w r3, r3, r9\n\t"                                                                         \
    "asr.w r14, r14, r9\n\t"                                                                       \
    "ssat r2, #8, r2\n\t"                                                                          \
    "ssat r12, #8, r12\n\t"                                                                        \
    "ssat r3, #8, r3\n\t"                                                                          \
    "ssat r14, #8, r14\n\t"

/* The same inputs meet the next channels. A second pixel at the first one's place is overwritten. */
#define STORE_ALONG                                                                                \
    "ldmia.w sp, {r1, r4, r5, r6}\n\t"                                                             \
    "subs r5, r5, #1\n\t"                                                                          \
    "strb.w r12, [r6, r4]\n\t"                                                                     \
    "strb.w r2, [r6], #1\n\t"                                                                      \
    "strb.w r14, [r6, r4]\n\t"                                                                     \
    "strb.w r3, [r6], #1\n\t"                                                                      \
    "strd r5, r6, [sp, #8]\n\t"                                                                    \
    "bne.w 1b\n\t"                                                                                 \
    "b.w 2f\n\t"

/* The same weights meet the next pixels. Here a second channel may also be at the first's place. */
#define STORE_ACROSS                                                                               \
    "ldmia.w sp, {r0, r4, r5, r6, r7, r8, r9}\n\t"                                                 \
    "subs r5, r5, #1\n\t"                                                                          \
    "strb.w r14, [r6, r8]\n\t"                                                                     \
    "strb.w r12, [r6, r4]\n\t"                                                                     \
    "strb.w r3, [r6, r7]\n\t"                                                                      \
    "strb.w r2, [r6]\n\t"                                                                          \
    "add.w r6, r6, r9\n\t"                                                                         \
    "strd r5, r6, [sp, #8]\n\t"                                                                    \
    "bne.w 1b\n\t"                                                                                 \
    "b.w 2f\n\t"

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
 * back - 1 bytes before its end, then comes `next` of the table and at last `tail`.
 */
NAKED static void run_tiles(tflm_opt_gemm_tiles *tiles IGNORED,
                            int32_t back IGNORED,
                            int32_t next IGNORED,
                            int32_t tail IGNORED)
{
    __asm__(".syntax unified\n\t"
            "cbz r1, 3f\n\t"
            "adr.w r12, 6f\n\t"
            "sub.w r12, r12, r1\n\t"
            "add.w r12, r12, #2\n\t"
            "str.w r12, [r0, #36]\n\t"
            "adr.w r12, 4f\n\t"
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
            "5:\n\t" SIXTEEN(STEP)
            "6:\n\t"
            "ldr.w pc, [sp, #32]\n"
            "10:\n\t" REQUANTIZE NARROW STORE_ALONG
            "11:\n\t" REQUANTIZE_WITH_KINK NARROW STORE_ALONG
            "12:\n\t" REQUANTIZE NARROW STORE_ACROSS
            "13:\n\t" REQUANTIZE_WITH_KINK NARROW STORE_ACROSS
            "14:\n\t" AGAIN("r1")
            "15:\n\t" AGAIN("r0")
            "2:\n\t"
            "add.w sp, sp, #44\n\t"
            "pop.w {r4, r5, r6, r7, r8, r9, r10, r11, pc}\n\t");
}

/*
 * ---- Spreading out. ----
 *
 * r0 target, r1 first of the pair, r2 from there to the second, r4 words of a row, r5 rows, r6 skip,
 * r7 constant, r12 rest of a row, r14 its place.
 */
#define SPREAD_STEP(first, second, third, fourth)                                                  \
    "ldr.w r11, [r1, r2]\n\t"                                                                      \
    "ldr.w r9, [r1], #4\n\t" first second third fourth "stmia.w r0!, {r8, r9, r10, r11}\n\t"

#define SPREAD_INPUTS                                                                              \
    SPREAD_STEP("sxtab16 r8, r7, r9\n\t", "sxtab16 r9, r7, r9, ror #8\n\t",                        \
                "sxtab16 r10, r7, r11\n\t", "sxtab16 r11, r7, r11, ror #8\n\t")

#define SPREAD_WEIGHTS                                                                             \
    SPREAD_STEP("and.w r8, r7, r9, lsl #8\n\t", "and.w r9, r7, r9\n\t",                            \
                "and.w r10, r7, r11, lsl #8\n\t", "and.w r11, r7, r11\n\t")

#define SPREAD_ROWS(step)                                                                          \
    ".syntax unified\n\t"                                                                          \
    "push.w {r3, r4, r5, r6, r7, r8, r9, r10, r11, lr}\n\t"                                        \
    "ldmia.w r3, {r4, r5, r6, r7, r12, r14}\n"                                                     \
    "1:\n\t"                                                                                       \
    "lsrs.w r3, r4, #1\n\t"                                                                        \
    "bcc.w 2f\n\t" step "2:\n\t"                                                                   \
    "beq.w 4f\n"                                                                                   \
    "3:\n\t" TWICE(step) "subs.w r3, r3, #1\n\t"                                                   \
    "bne.w 3b\n"                                                                                   \
    "4:\n\t"                                                                                       \
    "cmp.w r12, #0\n\t"                                                                            \
    "bne.w 6f\n"                                                                                   \
    "5:\n\t"                                                                                       \
    "add.w r1, r1, r6\n\t"                                                                         \
    "subs.w r5, r5, #1\n\t"                                                                        \
    "bne.w 1b\n\t"                                                                                 \
    "pop.w {r3, r4, r5, r6, r7, r8, r9, r10, r11, pc}\n"                                           \
    "6:\n\t"                                                                                       \
    "ldr.w r8, [sp]\n\t"                                                                           \
    "ldr.w r8, [r8, #24]\n\t"                                                                      \
    "mov.w r9, r12\n"                                                                              \
    "7:\n\t"                                                                                       \
    "ldrb.w r10, [r1, r2]\n\t"                                                                     \
    "ldrb.w r11, [r1], #1\n\t"                                                                     \
    "strb.w r10, [r14, r8]\n\t"                                                                    \
    "strb.w r11, [r14], #1\n\t"                                                                    \
    "subs.w r9, r9, #1\n\t"                                                                        \
    "bne.w 7b\n\t"                                                                                 \
    "b.w 5b\n\t"

/* Rows of a pair of windows; the end of what was written. */
NAKED static uint32_t *spread_inputs(uint32_t *target IGNORED,
                                     const int8_t *first IGNORED,
                                     ptrdiff_t second IGNORED,
                                     const tflm_opt_gemm_rows *rows IGNORED)
{
    __asm__(SPREAD_ROWS(SPREAD_INPUTS));
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
    run_tiles(tiles, rounds == 0 ? 1 : first * STEP_BYTES + 1, rounds > 1 ? tail | LOOP : tail,
              tail);
}

/* The sum of absolute values of a row of weights: |w - 128| of unsigned bytes is 128 - |w|. */
TFLM_OPT_APART uint32_t absolute_sum(const int8_t *weights, int32_t count)
{
    uint32_t less = 0;
    uint32_t sum = 128U * (uint32_t)count;
    const int8_t *end = weights + (count & ~15);
    while (weights != end) {
        less = tflm_opt_usada8(tflm_opt_word(weights), 0x80808080U, less);
        less = tflm_opt_usada8(tflm_opt_word(weights + 4), 0x80808080U, less);
        less = tflm_opt_usada8(tflm_opt_word(weights + 8), 0x80808080U, less);
        less = tflm_opt_usada8(tflm_opt_word(weights + 12), 0x80808080U, less);
        weights += 16;
    }
    for (end += count & 15; weights != end; weights++) {
        less += 128U - (uint32_t)(*weights < 0 ? -*weights : *weights);
    }
    return sum - less;
}

/* One that always gives the output that `most` and -most have in common, if they have. */
TFLM_OPT_APART int set_constant(const tflm_opt_gemm_problem *problem,
                                int32_t channel,
                                uint32_t most,
                                tflm_opt_short *form)
{
    const int32_t multiplier = problem->multiplier[channel];
    const int32_t shift = problem->shift[channel];
    const int32_t bound = (int32_t)most;
    const int32_t low = tflm_opt_output_s8(-bound, multiplier, shift, problem->output_offset,
                                           problem->activation);
    if (shift > 0 || most > INT32_MAX ||
        low != tflm_opt_output_s8(bound, multiplier, shift, problem->output_offset,
                                  problem->activation)) {
        return 0;
    }
    form->bias = 0;
    form->multiplier = 0;
    form->constant = low * (1 << 15) + (1 << 14);
    form->shift = 15;
    return 1;
}

TFLM_OPT_INLINE int set_form(const tflm_opt_gemm *gemm, int32_t channel, tflm_opt_short *form)
{
    const tflm_opt_gemm_problem *problem = gemm->problem;
    const int32_t bias = problem->bias != NULL ? problem->bias[channel] : 0;
    uint32_t most = bias < 0 ? 0U - (uint32_t)bias : (uint32_t)bias;
    uint32_t share = gemm->products;
    if (most + share >= (uint32_t)TFLM_OPT_SHORT_SUM) {
        const int32_t depth = problem->rows * problem->length;
        share = (uint32_t)tflm_opt_reach(problem->input_offset) *
                absolute_sum(problem->filter + channel * depth, depth);
    }
    most += share;
    return tflm_opt_set_short(bias, most, problem->multiplier[channel], problem->shift[channel],
                              problem->output_offset, form) ||
           set_constant(problem, channel, most, form);
}

/* The weights and short forms of a pair of channels, the last channel twice where it is alone. */
static int spread_pair(const tflm_opt_gemm *gemm, int32_t channel, uint32_t *target)
{
    const tflm_opt_gemm_problem *problem = gemm->problem;
    const int32_t depth = problem->rows * problem->length;
    const int32_t more = channel + 1 < problem->channels ? 1 : 0;
    const int8_t *filter = problem->filter + channel * depth;
    tflm_opt_short forms[2];
    tflm_opt_gemm_rows rows = gemm->filter_rows;
    uint32_t *end;
    if (rows.rest != 0) {
        uint32_t *rests = target + 2 + (gemm->whole + gemm->words) / 2;
        rows.rests = (int8_t *)rests;
        rests[rows.rest_step / 4 - 1] = 0;
        rests[rows.rest_step / 2 - 1] = 0;
    }
    end = spread_weights(target + 2, filter, more * depth, &rows);
    if (rows.rest != 0) {
        end = spread_weights(end, rows.rests, rows.rest_step, &gemm->filter_rests);
    }
    if (!set_form(gemm, channel, &forms[0]) || !set_form(gemm, channel + more, &forms[1])) {
        end[2] = 0; /* a shift that no short form has */
        return 0;
    }
    target[0] = (uint32_t)forms[0].bias;
    target[1] = (uint32_t)forms[1].bias;
    end[0] = (uint32_t)forms[0].multiplier;
    end[1] = (uint32_t)forms[0].constant;
    end[2] = (uint32_t)forms[0].shift;
    end[3] = (uint32_t)forms[1].multiplier;
    end[4] = (uint32_t)forms[1].constant;
    end[5] = (uint32_t)forms[1].shift;
    return 1;
}

/* sum + the sum of products of a channel and a pixel of a tile, whatever it may reach. */
TFLM_OPT_APART int32_t general_sum(const uint32_t *weights,
                                   const uint32_t *inputs,
                                   int32_t words,
                                   int32_t bias)
{
    int64_t sum = 0;
    const uint32_t *end = weights + words;
    for (; weights != end; weights += 4, inputs += 4) {
        __asm__("smlald %Q0, %R0, %1, %2" : "+r"(sum) : "r"(weights[0]), "r"(inputs[0]));
        __asm__("smlald %Q0, %R0, %1, %2" : "+r"(sum) : "r"(weights[1]), "r"(inputs[1]));
    }
    return (int32_t)((uint32_t)bias + (uint32_t)(uint64_t)(sum >> 8));
}

/* One pixel's outputs of a pair of channels without short forms. */
TFLM_OPT_APART void general_pixel(const tflm_opt_gemm *gemm,
                                  int32_t channel,
                                  const uint32_t *weights,
                                  const uint32_t *inputs,
                                  int8_t *output)
{
    const tflm_opt_gemm_problem *problem = gemm->problem;
    const int32_t end = tflm_opt_min(channel + 2, problem->channels);
    for (; channel < end; channel++) {
        const int32_t bias = problem->bias != NULL ? problem->bias[channel] : 0;
        const int32_t sum = general_sum(weights, inputs, gemm->words, bias);
        *output++ = tflm_opt_output_s8(sum, problem->multiplier[channel], problem->shift[channel],
                                       problem->output_offset, problem->activation);
        weights += 2;
    }
}

/* A pair of channels of `pixels` pixels, from `channel` on. */
static void cross_pair(
    tflm_opt_gemm *gemm, int32_t channel, const uint32_t *weights, int32_t pixels, int8_t *output)
{
    const int32_t channels = gemm->problem->channels;
    const int32_t words = gemm->words;
    tflm_opt_gemm_tiles *tiles = &gemm->across;
    const uint32_t *inputs = gemm->inputs;
    int32_t pixel;
    if (weights[words + 4] == 0) {
        for (pixel = 0; pixel < pixels; pixel++) {
            general_pixel(gemm, channel, weights + 2,
                          inputs + (pixel >> 1) * words + 2 * (pixel & 1), output);
            output += channels;
        }
        return;
    }
    tiles->weights = weights;
    tiles->inputs = inputs;
    tiles->fixed = weights;
    tiles->end = weights + 2 + words;
    tiles->second_channel = channel + 1 < channels ? 1 : 0;
    tiles->output = output;
    if (pixels > 1) {
        tiles->second_pixel = channels;
        tiles->both = channels + tiles->second_channel;
        tiles->count = pixels >> 1;
        run_tiles(tiles, 0, 0, 0);
    }
    if (pixels & 1) {
        tiles->inputs += (pixels >> 1) * words;
        tiles->output += (pixels - 1) * channels;
        tiles->second_pixel = 0;
        tiles->both = tiles->second_channel;
        tiles->count = 1;
        run_tiles(tiles, 0, 0, 0);
    }
}

/* All channels of one or two pixels. */
static void run_along(tflm_opt_gemm *gemm, int32_t pixels, int8_t *output)
{
    const int32_t channels = gemm->problem->channels;
    const int32_t step = gemm->words + TFLM_OPT_GEMM_FORMS / 4;
    int32_t channel = 0;
    const uint32_t *weights = gemm->weights;
    if (gemm->all_short) {
        gemm->along.output = output;
        gemm->along.second_pixel = (pixels - 1) * channels;
        if (channels > 1) {
            run_tiles(&gemm->along, 0, 0, 0);
        }
        channel = channels & ~1;
        weights += (channels >> 1) * step;
    }
    for (; channel < channels; channel += 2) {
        cross_pair(gemm, channel, weights, pixels, output + channel);
        weights += step;
    }
}

TFLM_OPT_APART void clamp_outputs(cmsis_nn_activation activation, int8_t *output, int32_t count)
{
    const int8_t *end = output + count;
    for (; output != end; output++) {
        *output = (int8_t)tflm_opt_clamp(*output, activation.min, activation.max);
    }
}

void tflm_opt_gemm_s8(tflm_opt_gemm *gemm, int32_t pixels, int8_t *output)
{
    const tflm_opt_gemm_problem *problem = gemm->problem;
    if (gemm->plan.all_weights) {
        run_along(gemm, pixels, output);
    } else {
        int32_t channel;
        for (channel = 0; channel < problem->channels; channel += 2) {
            (void)spread_pair(gemm, channel, gemm->weights);
            cross_pair(gemm, channel, gemm->weights, pixels, output + channel);
        }
    }
    if (problem->activation.min > INT8_MIN || problem->activation.max < INT8_MAX) {
        clamp_outputs(problem->activation, output, pixels * problem->channels);
    }
}

void tflm_opt_gemm_inputs(tflm_opt_gemm *gemm,
                          int32_t pair,
                          const int8_t *window,
                          ptrdiff_t second,
                          const tflm_opt_run *runs)
{
    uint32_t *target = gemm->inputs + pair * gemm->words;
    int8_t *rests = (int8_t *)(target + (gemm->whole + gemm->words) / 2);
    tflm_opt_gemm_rows *rows = &gemm->input_rows;
    rows->rests = rests;
    for (; runs->rows > 0; runs++) {
        rows->rows = runs->rows;
        rows->skip = runs->step - gemm->problem->length;
        target = spread_inputs(target, window, second, rows);
        rows->rests += runs->rows * rows->rest;
        window += runs->rows * runs->step + runs->jump;
    }
    if (rows->rest != 0) {
        (void)spread_inputs(target, rests, rows->rest_step, &gemm->input_rests);
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
    tflm_opt_gemm_rows rows = gemm->input_rests;
    rows.words = gemm->words >> 2;
    (void)spread_inputs(gemm->inputs + pair * gemm->words, window, second, &rows);
}

static void set_rows(tflm_opt_gemm *gemm)
{
    const tflm_opt_gemm_problem *problem = gemm->problem;
    const int32_t offset = problem->input_offset;
    tflm_opt_gemm_rows *rows = &gemm->input_rows;
    rows->rest = problem->length & 3;
    rows->rest_step = tflm_opt_gemm_round(problem->rows * rows->rest);
    rows->rests = NULL;
    rows->words = problem->length >> 2;
    rows->rows = problem->rows;
    rows->skip = 0;
    rows->constant = ((uint32_t)offset & 0xFFFFU) | ((uint32_t)offset << 16);
    gemm->whole = 4 * rows->words * rows->rows;
    gemm->input_rests = *rows;
    gemm->input_rests.words = rows->rest_step >> 2;
    gemm->input_rests.rows = 1;
    gemm->input_rests.rest = 0;
    gemm->filter_rows = *rows;
    gemm->filter_rests = gemm->input_rests;
    gemm->filter_rows.constant = 0xFF00FF00U;
    gemm->filter_rests.constant = 0xFF00FF00U;
    if (rows->rest == 0) { /* a filter's rows follow each other without a gap */
        gemm->filter_rows.words *= problem->rows;
        gemm->filter_rows.rows = 1;
    }
}

static void set_tiles(tflm_opt_gemm *gemm)
{
    const tflm_opt_gemm_problem *problem = gemm->problem;
    const int32_t kink =
        tflm_opt_has_kink(problem->output_offset, problem->activation) ? WITH_KINK : 0;
    gemm->across.step = 2 * problem->channels;
    set_code(&gemm->across, gemm->words / 4, ACROSS | kink);
    if (gemm->plan.all_weights) {
        gemm->along.weights = gemm->weights;
        gemm->along.inputs = gemm->inputs;
        gemm->along.fixed = gemm->inputs;
        gemm->along.end = gemm->inputs + gemm->words;
        gemm->along.count = problem->channels / 2;
        set_code(&gemm->along, gemm->words / 4, ALONG | kink);
    }
}

arm_cmsis_nn_status tflm_opt_gemm_start(tflm_opt_gemm *gemm,
                                        const tflm_opt_gemm_problem *problem,
                                        void *scratch,
                                        int32_t size)
{
    const int32_t depth = problem->rows * problem->length;
    int32_t pairs = 1;
    int32_t channel;
    uint32_t *weights = (uint32_t *)scratch;
    gemm->plan = tflm_opt_gemm_divide(depth, problem->channels, problem->staging, size);
    if (gemm->plan.block == 0 || ((uintptr_t)scratch & 3U) != 0) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    gemm->problem = problem;
    gemm->words = tflm_opt_gemm_round(depth);
    gemm->products = (uint32_t)tflm_opt_reach(problem->input_offset) * 128U * (uint32_t)depth;
    gemm->weights = weights;
    if (gemm->plan.all_weights) {
        pairs = (problem->channels + 1) / 2;
    }
    gemm->inputs = weights + pairs * (gemm->words + TFLM_OPT_GEMM_FORMS / 4);
    set_rows(gemm);
    set_tiles(gemm);
    gemm->staging = (int8_t *)weights;
    gemm->all_short = 1;
    if (gemm->plan.all_weights) {
        gemm->staging = (int8_t *)(gemm->inputs + gemm->words);
        for (channel = 0; channel < problem->channels; channel += 2) {
            gemm->all_short &= spread_pair(gemm, channel, weights);
            weights += gemm->words + TFLM_OPT_GEMM_FORMS / 4;
        }
    }
    return ARM_CMSIS_NN_SUCCESS;
}

#endif /* TFLM_OPT_DSP */
