/*
 * Vectors of Helium (Armv8.1-M): not part of the public interface, and empty on other cores.
 *
 * Inner loops are inline assembly, because compilers don't make tail-predicated loops of
 * intrinsics; what happens once a few outputs is intrinsics. GCC 10 is the first that has either.
 */
#ifndef TFLM_OPT_MVE_H
#define TFLM_OPT_MVE_H

#include "tflm_opt_dot.h"
#include "tflm_opt_math.h"
#include "tflm_opt_tier.h"
#include "tflm_opt_types.h"

#if TFLM_OPT_MVE

/* The assembly takes nearly all registers: none are left for frames, or for what -O0 wants. */
#if defined(__GNUC__) && !defined(__OPTIMIZE__)
#error "tflm_opt's kernels for vectors need -Og, -O1 or more: set it, or define TFLM_OPT_PORTABLE"
#endif

#include <arm_mve.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Inner products of `lines` neighbouring lines, `step` apart, with `count` filters: outputs
 * line by line, `output_step` apart. Lines are taken three at a time; the outputs of three lines
 * are written in any order, some of them twice, and then those lines are not read again. `care` is
 * tflm_opt_care's.
 */
void tflm_opt_dot_lines_s8(const tflm_opt_channels *channels,
                           int32_t care,
                           const int8_t *input,
                           int32_t step,
                           int32_t lines,
                           const int8_t *filter,
                           int32_t count,
                           int8_t *output,
                           int32_t output_step);

/*
 * The same for lines of up to TFLM_OPT_SHORT_LINE elements, and at least four channels; `care` is
 * not TFLM_OPT_ANY, the input has no offset, and biases and scales are each channel's own.
 */
void tflm_opt_dot_short_s8(const tflm_opt_channels *channels,
                           int32_t care,
                           const int8_t *input,
                           int32_t step,
                           int32_t lines,
                           const int8_t *filter,
                           int32_t count,
                           int8_t *output,
                           int32_t output_step);

#define TFLM_OPT_SHORT_LINE 16

/* A depthwise convolution, and where its input's rows are. */
typedef struct {
    const cmsis_nn_dw_conv_params *params;
    const tflm_opt_channels *channels;
    int32_t care;
    const cmsis_nn_dims *input;
    const tflm_opt_lines *lines;
    const cmsis_nn_dims *filter;
    const int8_t *filter_data;
} tflm_opt_depthwise_layer;

/* A span of a depthwise convolution without scratch: some channels of a pixel after the others. */
void tflm_opt_depthwise_pixels_s8(const tflm_opt_depthwise_layer *layer,
                                  const tflm_opt_span *span,
                                  int8_t *output);

/*
 * Some of the first of `rows` rows of a depthwise convolution, of which `span` is the first one, by
 * tiles in scratch: see tflm_opt_mve_words.h. They are one block. How many; 0 where scratch is too
 * small, or for what has no tiles. More rows than one are whole rows.
 */
int32_t tflm_opt_depthwise_tiles_s8(const cmsis_nn_context *ctx,
                                    const tflm_opt_depthwise_layer *layer,
                                    const tflm_opt_span *span,
                                    int32_t rows,
                                    int8_t *output);

/*
 * `rows` rows of a depthwise convolution from row y on, 3x3 with steps of one, of the whole width
 * of an image, of two columns at least. Scratch has room for them: see below; care is not
 * TFLM_OPT_ANY. They are one block.
 */
void tflm_opt_depthwise_pairs_s8(const tflm_opt_depthwise_layer *layer,
                                 const cmsis_nn_dims *output_dims,
                                 int32_t y,
                                 int32_t rows,
                                 int8_t *scratch,
                                 int8_t *output);

#ifdef __cplusplus
}
#endif

/*
 * Depthwise convolutions in scratch read words of four rows, of 16 channels a column. A window is
 * one tile of four columns, or two by two of them.
 */
#define TFLM_OPT_TALL 4
#define TFLM_OPT_COLUMN 64
#define TFLM_OPT_FULL 16 /* channels of a vector */

/* Tiles side by side, and one below the other. */
TFLM_OPT_INLINE int32_t tflm_opt_tiles(const cmsis_nn_dims *filter)
{
    return filter->h > TFLM_OPT_TALL || filter->w > TFLM_OPT_TALL ? 2 : 1;
}

/* Bytes of the weights' words. */
TFLM_OPT_INLINE int32_t tflm_opt_tap_words(const cmsis_nn_dims *filter)
{
    const int32_t tiles = tflm_opt_tiles(filter);
    return tiles * tiles * TFLM_OPT_TALL * TFLM_OPT_COLUMN;
}

/* Bytes of a pair of rows' words, and of the weights' that go before them. */
#define TFLM_OPT_PAIR_TAPS (5 * TFLM_OPT_COLUMN)

TFLM_OPT_INLINE int32_t tflm_opt_pair_words(int32_t width)
{
    return TFLM_OPT_COLUMN * (((width + 1) & ~1) + 2);
}

/* Bytes that a convolution's window takes in scratch. */
TFLM_OPT_INLINE int32_t tflm_opt_window_bytes(const cmsis_nn_dims *filter)
{
    return (filter->h * filter->w * filter->c + 3) & ~3;
}

#define TFLM_OPT_LINES 3 /* that share one load of a filter */

/*
 * Requantization of four sums, step by step what tflm_opt_requantize, the output's offset and the
 * clamp do. VQRDMULH is the doubling high multiply with halves up. VRSHL rounds halves up as well;
 * one less where a negative product is shifted right rounds them away from zero. Left shifts come
 * first and wrap.
 *
 * TFLM_OPT_RIGHT: all shifts are right ones or 0, and negative products end at the lower bound: how
 * their halves are rounded makes no difference. TFLM_OPT_NEGATIVE: they may end above it, and all
 * shifts are right ones. TFLM_OPT_ANY: neither is sure.
 */
#define TFLM_OPT_RIGHT 0
#define TFLM_OPT_NEGATIVE 1
#define TFLM_OPT_ANY 2

TFLM_OPT_INLINE int32x4_t tflm_opt_scale_x4(
    int32x4_t sums, int32x4_t multiplier, int32x4_t shift)
{
    return vrshlq_s32(vqrdmulhq_s32(sums, multiplier), shift);
}

/* The same where negative products count and all shifts are right ones. */
TFLM_OPT_INLINE int32x4_t tflm_opt_scale_away_x4(
    int32x4_t sums, int32x4_t multiplier, int32x4_t shift)
{
    const int32x4_t product = vqrdmulhq_s32(sums, multiplier);
    return vrshlq_s32(vaddq_s32(product, vshrq_n_s32(product, 31)), shift);
}

/* Whatever the shifts are. */
TFLM_OPT_APART int32x4_t tflm_opt_scale_any_x4(
    int32x4_t sums, int32x4_t multiplier, int32x4_t shift)
{
    const int32x4_t zero = vdupq_n_s32(0);
    const int32x4_t right = vminq_s32(shift, zero);
    const int32x4_t product = vqrdmulhq_s32(vshlq_s32(sums, vmaxq_s32(shift, zero)), multiplier);
    const int32x4_t less = vshrq_n_s32(vandq_s32(product, right), 31);
    return vrshlq_s32(vaddq_s32(product, less), right);
}

TFLM_OPT_INLINE int32x4_t tflm_opt_clamp_x4(
    int32x4_t values, int32_t offset, int32x4_t low, int32x4_t high)
{
    return vminq_s32(vmaxq_s32(vaddq_n_s32(values, offset), low), high);
}

/* The last with one scale for all four. */
TFLM_OPT_APART int32x4_t tflm_opt_scale_n_x4(int32x4_t sums, int32_t multiplier, int32_t shift)
{
    return tflm_opt_scale_any_x4(sums, vdupq_n_s32(multiplier), vdupq_n_s32(shift));
}

/* Four sums as a vector. */
TFLM_OPT_INLINE int32x4_t tflm_opt_lanes(int32_t a, int32_t b, int32_t c, int32_t d)
{
    int32x4_t lanes;
    __asm__("vmov %q0[2], %q0[0], %1, %3\n\t"
            "vmov %q0[3], %q0[1], %2, %4"
            : "=&w"(lanes)
            : "r"(a), "r"(b), "r"(c), "r"(d));
    return lanes;
}

/* What requantization of `count` channels must take care of. */
TFLM_OPT_INLINE int32_t tflm_opt_care(const tflm_opt_channels *channels, int32_t count)
{
    const int32_t *shift = channels->shift;
    int32_t greatest = *shift;
    int32_t left = channels->quant_step != 0 ? count : 1;
    int32_t care = TFLM_OPT_RIGHT;
    for (; left > 0; left -= 4) {
        const mve_pred16_t some = vctp32q((uint32_t)left);
        greatest = vmaxvq_p_s32(greatest, vldrwq_z_s32(shift, some), some);
        shift += 4;
    }
    if (channels->activation.min < channels->output_offset) {
        care = TFLM_OPT_NEGATIVE;
    }
    return greatest > -care ? TFLM_OPT_ANY : care;
}

/* All of a layer but where its input's rows are. */
TFLM_OPT_INLINE void tflm_opt_depthwise_set_layer(const cmsis_nn_dw_conv_params *params,
                                                  const cmsis_nn_per_channel_quant_params *quant,
                                                  const int32_t *bias,
                                                  const cmsis_nn_dims *input,
                                                  const cmsis_nn_dims *filter,
                                                  const int8_t *filter_data,
                                                  tflm_opt_channels *channels,
                                                  tflm_opt_depthwise_layer *layer)
{
    tflm_opt_set_bias(channels, bias);
    channels->multiplier = quant->multiplier;
    channels->shift = quant->shift;
    channels->input_offset = params->input_offset;
    channels->quant_step = 1;
    channels->output_offset = params->output_offset;
    channels->activation = params->activation;
    layer->params = params;
    layer->channels = channels;
    layer->care = tflm_opt_care(channels, input->c * params->ch_mult);
    layer->input = input;
    layer->filter = filter;
    layer->filter_data = filter_data;
}

/* Outputs that were clamped to int8 only, clamped to narrower bounds if those are. */
TFLM_OPT_APART void tflm_opt_clamp_all(
    int8_t *output, int32_t count, cmsis_nn_activation activation)
{
    const int8x16_t low = vdupq_n_s8((int8_t)activation.min);
    const int8x16_t high = vdupq_n_s8((int8_t)activation.max);
    if (activation.min == INT8_MIN && activation.max == INT8_MAX) {
        return;
    }
    for (; count > 0; count -= TFLM_OPT_FULL) {
        const mve_pred16_t some = vctp8q((uint32_t)count);
        const int8x16_t values = vldrbq_z_s8(output, some);
        vstrbq_p_s8(output, vminq_s8(vmaxq_s8(values, low), high), some);
        output += TFLM_OPT_FULL;
    }
}

/* The sum of `count` weights, at least 1. */
TFLM_OPT_INLINE int32_t tflm_opt_weight_sum(const int8_t *weights, int32_t count)
{
    int32_t sum = 0;
    __asm__ volatile("dlstp.8 lr, %[count]\n"
            "1:\n\t"
            "vldrb.8 q0, [%[weights]], #16\n\t"
            "vaddva.s8 %[sum], q0\n\t"
            "letp lr, 1b"
            : [sum] "+Te"(sum), [weights] "+r"(weights)
            : [count] "r"(count)
            : "lr", "q0", "memory");
    return sum;
}

/* sum + the sum of x[i] * f[i] over `count` elements, at least 1. */
TFLM_OPT_INLINE int32_t tflm_opt_dot_run(
    int32_t sum, const int8_t *x, const int8_t *f, int32_t count)
{
    __asm__ volatile("dlstp.8 lr, %[count]\n"
                     "1:\n\t"
                     "vldrb.8 q0, [%[x]], #16\n\t"
                     "vldrb.8 q1, [%[f]], #16\n\t"
                     "vmladava.s8 %[sum], q0, q1\n\t"
                     "letp lr, 1b"
                     : [sum] "+Te"(sum), [x] "+r"(x), [f] "+r"(f)
                     : [count] "r"(count)
                     : "lr", "q0", "q1", "memory");
    return sum;
}

#endif /* TFLM_OPT_MVE */

#endif /* TFLM_OPT_MVE_H */
