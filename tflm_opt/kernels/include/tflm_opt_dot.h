/*
 * Windows and inner products: not part of the public interface.
 */
#ifndef TFLM_OPT_DOT_H
#define TFLM_OPT_DOT_H

#include "tflm_opt_lines.h"
#include "tflm_opt_math.h"
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

/* Biases, or zeros where there are none. */
TFLM_OPT_INLINE void tflm_opt_set_bias(tflm_opt_channels *channels, const int32_t *bias)
{
    static const int32_t zeros[TFLM_OPT_BLOCK] = {0, 0, 0, 0};
    channels->bias = bias != NULL ? bias : zeros;
    channels->bias_step = bias != NULL ? 1 : 0;
}

/* A block of outputs, with the scales that begin at `multiplier` and `shift`. */
TFLM_OPT_INLINE void tflm_opt_write_block(const tflm_opt_channels *channels,
                                          const int32_t *multiplier,
                                          const int32_t *shift,
                                          int32_t sum0,
                                          int32_t sum1,
                                          int32_t sum2,
                                          int32_t sum3,
                                          int8_t *output)
{
    const int32_t offset = channels->output_offset;
    const cmsis_nn_activation activation = channels->activation;
    output[0] = tflm_opt_output_s8(sum0, multiplier[0], shift[0], offset, activation);
    output[1] = tflm_opt_output_s8(sum1, multiplier[1], shift[1], offset, activation);
    output[2] = tflm_opt_output_s8(sum2, multiplier[2], shift[2], offset, activation);
    output[3] = tflm_opt_output_s8(sum3, multiplier[3], shift[3], offset, activation);
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
