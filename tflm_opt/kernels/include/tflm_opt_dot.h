/*
 * Windows and inner products: not part of the public interface.
 */
#ifndef TFLM_OPT_DOT_H
#define TFLM_OPT_DOT_H

#include "tflm_opt_lines.h"
#include "tflm_opt_math.h"
#include "tflm_opt_thumb.h"
#include "tflm_opt_types.h"

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * What a window is made of, in the input and in one output channel's filter: runs of rows, of
 * columns of `length` neighbouring elements. A column's skip is from its end to the next; from
 * there, a row's `step` less `row_length` leads to the next row.
 */
typedef struct {
    const tflm_opt_run *runs;
    int32_t columns;
    int32_t length;
    int32_t input_column_skip;
    int32_t row_length;
    int32_t filter_row_skip;
} tflm_opt_patch;

/*
 * Keeps a pointer in the register that it is in: compilers count it again from its start otherwise,
 * after each loop that moves it.
 */
#if defined(__GNUC__)
#define TFLM_OPT_KEEP(pointer) __asm__("" : "+r"(pointer))
#else
#define TFLM_OPT_KEEP(pointer) ((void)0)
#endif

/*
 * What comes after reads memory after what comes before: compilers for RISC-V plan for long pipelines,
 * and would read all of an unrolled loop's inputs first, more than there are registers for.
 */
#if defined(__GNUC__) && defined(__riscv)
#define TFLM_OPT_THEN() __asm__ volatile("" : : : "memory")
#else
#define TFLM_OPT_THEN() ((void)0)
#endif

/* Output channels that are computed together. */
#define TFLM_OPT_BLOCK 4

/*
 * A block's sums lie apart in memory: side by side, compilers for cores with vectors take them
 * for one, and gather each operand element by element.
 */
#define TFLM_OPT_SUM_STEP 2
#define TFLM_OPT_SUMS (TFLM_OPT_BLOCK * TFLM_OPT_SUM_STEP)

/*
 * How sums become output channels. One channel's filter follows the other after filter_size
 * elements. A step is 1 where each channel has its own bias or scale; where it is 0, the
 * TFLM_OPT_BLOCK values that are there serve all blocks.
 */
typedef struct {
    int32_t filter_size;
    int32_t input_offset;
    const int32_t *bias;
    const int32_t *multiplier;
    const int32_t *shift;
    int32_t bias_step;
    int32_t quant_step;
    int32_t output_offset;
    cmsis_nn_activation activation;
} tflm_opt_channels;

/* `count` output channels of one window; `channels` moves on to those that follow. */
void tflm_opt_dot_window_s8(tflm_opt_channels *channels,
                            const tflm_opt_patch *patch,
                            const int8_t *input,
                            const int8_t *filter,
                            int32_t count,
                            int8_t *output);

/*
 * Pixels that are made together from gathered windows, and what they have at the same place: their
 * inputs, with the offset added.
 */
#define TFLM_OPT_GROUP (TFLM_OPT_THUMB1 ? 4 : 2)

typedef struct {
    int32_t of[TFLM_OPT_GROUP];
} tflm_opt_group_place;

/*
 * `count` output channels of a group whose windows were gathered, filter_size places: first all of
 * one pixel, then all of the next.
 */
void tflm_opt_dot_group_s8(const tflm_opt_channels *channels,
                           const tflm_opt_group_place *window,
                           const int8_t *filter,
                           int32_t count,
                           int8_t *output);

/* `count` output channels of one line: the filter_size neighbouring elements at `input`. */
void tflm_opt_dot_line_s8(const tflm_opt_channels *channels,
                          const int8_t *input,
                          const int8_t *filter,
                          int32_t count,
                          int8_t *output);

#ifdef __cplusplus
}
#endif

/* sum + the sum of (x[i] + offset) * f[i] over count elements. */
TFLM_OPT_INLINE int32_t tflm_opt_dot_s8(
    int32_t sum, const int8_t *x, const int8_t *f, int32_t count, int32_t offset)
{
    int32_t i;
    for (i = 0; i < count; i++) {
        sum += (x[i] + offset) * f[i];
    }
    return sum;
}

/* Clamped to int8. */
TFLM_OPT_INLINE int32_t tflm_opt_saturated_s8(int32_t x)
{
#if defined(__GNUC__) && defined(__ARM_FEATURE_SAT) && defined(__thumb2__)
    int32_t result;
    __asm__("ssat %0, #8, %1" : "=r"(result) : "r"(x)); /* compilers don't see it in a clamp */
    return result;
#else
    return tflm_opt_clamp(x, -128, 127);
#endif
}

/*
 * The upper half of high * 2^32 + low + x * factor, for a factor of 0 or more and a `low` of whole
 * 2^16. Cores of Armv6-M and Armv8-M Baseline have no product of 64 bits: there it is four of 16 by 16,
 * which take less than the library function.
 */
TFLM_OPT_INLINE int32_t tflm_opt_upper_of_halves(uint32_t high,
                                                 uint32_t low,
                                                 int32_t x,
                                                 int32_t factor)
{
    const uint32_t x_low = (uint32_t)x & 0xFFFFU;
    const uint32_t factor_low = (uint32_t)factor & 0xFFFFU;
    const int32_t x_high = x >> 16;
    const int32_t factor_high = factor >> 16;
    const int32_t first = x_high * (int32_t)factor_low;
    const uint32_t second = x_low * (uint32_t)factor_high;
    const uint32_t middle = ((x_low * factor_low) >> 16) + ((uint32_t)first & 0xFFFFU) +
                            (second & 0xFFFFU) + (low >> 16);
    return (int32_t)(high + (uint32_t)(x_high * factor_high) + (uint32_t)(first >> 16) +
                     (second >> 16) + (middle >> 16));
}

TFLM_OPT_INLINE int32_t tflm_opt_upper(uint32_t high, uint32_t low, int32_t x, int32_t factor)
{
#if TFLM_OPT_THUMB1
    return tflm_opt_upper_of_halves(high, low, x, factor);
#else
    const int64_t start = (int64_t)(((uint64_t)high << 32) | low);
    return (int32_t)((start + (int64_t)x * factor) >> 32);
#endif
}

/*
 * A sum scaled and moved to the output's zero point, clamped to int8, for a shift right by 2 or more.
 *
 * As tflm_opt_requantize, which says why both roundings are one sum; here they are added before the
 * product, so that one shift is left.
 */
TFLM_OPT_INLINE int32_t tflm_opt_requantized_down_s8(int32_t sum,
                                                     int32_t multiplier,
                                                     int32_t shift,
                                                     int32_t offset)
{
    const int32_t right = ~shift; /* one less than the shift: the upper half is 2^32, not 2^31 */
    const int32_t sign = sum >> 31;
    const uint32_t low = ((uint32_t)sign << 31) + ((uint32_t)1 << 30);
    const uint32_t high = (uint32_t)sign + (((uint32_t)1 << right) >> 1);
    const int32_t upper = tflm_opt_upper(high, low, sum, multiplier);
    return tflm_opt_saturated_s8((upper >> right) + offset);
}

/* The same for any shift. */
TFLM_OPT_INLINE int32_t tflm_opt_requantized_s8(int32_t sum,
                                          int32_t multiplier,
                                          int32_t shift,
                                          int32_t offset)
{
    if (TFLM_OPT_LIKELY(shift <= -2)) {
        return tflm_opt_requantized_down_s8(sum, multiplier, shift, offset);
    }
    return tflm_opt_saturated_s8(tflm_opt_requantize_up(sum, multiplier, shift) + offset);
}

/* A sum as an output value: scaled, moved to the output's zero point, clamped. */
TFLM_OPT_INLINE int8_t tflm_opt_output_s8(int32_t sum,
                                          int32_t multiplier,
                                          int32_t shift,
                                          int32_t offset,
                                          cmsis_nn_activation activation)
{
    const int32_t scaled = tflm_opt_requantize(sum, multiplier, shift) + offset;
    return (int8_t)tflm_opt_clamp(scaled, activation.min, activation.max);
}

/* Outputs that are int8 values, clamped further; most activations ask for no more. */
TFLM_OPT_INLINE void tflm_opt_clamp_line(cmsis_nn_activation activation,
                                         int8_t *output,
                                         int32_t count)
{
    if (activation.min > -128 || activation.max < 127) {
        const int8_t *end = output + count;
        for (; output != end; output++) {
            *output = (int8_t)tflm_opt_clamp(*output, activation.min, activation.max);
        }
    }
}

/*
 * Scratch for the windows of a group, or NULL where there is too little. With more than pairs of
 * pixels and with all weights of other cores (codegen.forms) a block of outputs may not be four
 * pixels.
 */
TFLM_OPT_INLINE tflm_opt_group_place *tflm_opt_group(const cmsis_nn_context *ctx,
                                               int32_t window,
                                               int32_t channels)
{
    int32_t least = window * (int32_t)sizeof(tflm_opt_group_place);
    if (ctx == NULL || ctx->buf == NULL) {
        return NULL;
    }
#if TFLM_OPT_THUMB1
    {
        const int32_t pair = (window + 3) / 4 * 16;
        least = tflm_opt_max(least, 3 * pair + 32);
        if (ctx->size >= (channels + 1) / 2 * (pair + 32) + pair) {
            return NULL;
        }
    }
#else
    (void)channels;
#endif
    return ctx->size >= least ? (tflm_opt_group_place *)ctx->buf : NULL;
}

#if TFLM_OPT_THUMB1

/* A group's inputs, place by place; `next` is from one pixel to the next. */
TFLM_OPT_INLINE void tflm_opt_set_places(
    const int8_t *input, int32_t next, int32_t count, int32_t offset, tflm_opt_group_place *places)
{
    tflm_opt_gather job;
    job.input = input;
    job.next = next;
    job.end = input + count;
    job.offset = offset;
    tflm_opt_gather_four(&job, places->of);
}

#else

TFLM_OPT_APART void tflm_opt_set_places(
    const int8_t *first, int32_t next, int32_t count, int32_t offset, tflm_opt_group_place *places)
{
    const tflm_opt_group_place *end = places + count;
    const int8_t *second = first + next;
    for (; end - places >= 4; places += 4) {
        places[0].of[0] = first[0] + offset;
        places[0].of[1] = second[0] + offset;
        places[1].of[0] = first[1] + offset;
        places[1].of[1] = second[1] + offset;
        places[2].of[0] = first[2] + offset;
        places[2].of[1] = second[2] + offset;
        places[3].of[0] = first[3] + offset;
        places[3].of[1] = second[3] + offset;
        first += 4;
        second += 4;
        TFLM_OPT_KEEP(places);
        TFLM_OPT_KEEP(first);
        TFLM_OPT_KEEP(second);
    }
    for (; places != end; places++) {
        places->of[0] = *first++ + offset;
        places->of[1] = *second++ + offset;
    }
}

#endif

/* Biases, or zeros where there are none. */
TFLM_OPT_INLINE void tflm_opt_set_bias(tflm_opt_channels *channels, const int32_t *bias)
{
    static const int32_t zeros[TFLM_OPT_BLOCK] = {0, 0, 0, 0};
    channels->bias = bias != NULL ? bias : zeros;
    channels->bias_step = bias != NULL ? 1 : 0;
}

/* `count` sums that lie side by side as outputs, clamped to int8; a step of 0 is one scale for all. */
TFLM_OPT_APART void tflm_opt_write_requantized(const int32_t *sums,
                                               int32_t count,
                                               const int32_t *multiplier,
                                               const int32_t *shift,
                                               int32_t quant_step,
                                               int32_t offset,
                                               int8_t *output)
{
    const int8_t *end = output + count;
#if TFLM_OPT_THUMB1
    if (quant_step == 1) {
        tflm_opt_outputs outputs;
        outputs.output = output;
        outputs.count = count;
        outputs.offset = offset;
        outputs.rows = 1;
        if (count == 0 || tflm_opt_write_down(sums, multiplier, shift, &outputs)) {
            return;
        }
    }
#endif
    if (quant_step == 0 && *shift <= -2) {
        const int32_t factor = *multiplier;
        const int32_t right = *shift;
        while (output != end) {
            *output++ = (int8_t)tflm_opt_requantized_down_s8(*sums++, factor, right, offset);
        }
    }
    while (output != end) {
        *output++ = (int8_t)tflm_opt_requantized_s8(*sums++, *multiplier, *shift, offset);
        multiplier += quant_step;
        shift += quant_step;
    }
}

/* One output, with the first of the scales. */
TFLM_OPT_INLINE int8_t tflm_opt_one_output(const tflm_opt_channels *channels,
                                           const int32_t *multiplier,
                                           const int32_t *shift,
                                           int32_t sum)
{
    return tflm_opt_output_s8(sum, *multiplier, *shift, channels->output_offset,
                              channels->activation);
}

/* The next `count` outputs, in a loop: less code than a block, for kernels with long windows. */
TFLM_OPT_INLINE int8_t *tflm_opt_write_some(const tflm_opt_channels *channels,
                                            const int32_t *multiplier,
                                            const int32_t *shift,
                                            const int32_t *sums,
                                            int32_t count,
                                            int8_t *output)
{
    const int32_t offset = channels->output_offset;
    const cmsis_nn_activation activation = channels->activation;
    const int32_t *end = sums + count * TFLM_OPT_SUM_STEP;
    while (sums != end) {
        *output++ = tflm_opt_output_s8(*sums, *multiplier, *shift, offset, activation);
        sums += TFLM_OPT_SUM_STEP;
        multiplier += channels->quant_step;
        shift += channels->quant_step;
    }
    return output;
}

/*
 * The part of a window that lies inside the input along one axis: taps first <= k < last have
 * 0 <= start + k * dilation < size.
 */
typedef struct {
    int32_t first;
    int32_t last;
} tflm_opt_taps;

TFLM_OPT_INLINE tflm_opt_taps tflm_opt_window(
    int32_t start, int32_t taps, int32_t dilation, int32_t size)
{
    tflm_opt_taps range;
    range.first = 0;
    range.last = taps;
    while (range.first < taps && start + range.first * dilation < 0) {
        range.first++;
    }
    while (range.last > range.first && start + (range.last - 1) * dilation >= size) {
        range.last--;
    }
    return range;
}

#endif /* TFLM_OPT_DOT_H */
