/*
 * Convolutions of int16 data with int8 weights, two pixels by two channels: SMLAD makes two
 * products.
 *
 * The windows of two pixels lie in scratch, in groups of four taps and four words: taps 0 and 2 of
 * the one pixel, of the other, taps 1 and 3 of the one, of the other; for SXTB16 takes four weights
 * apart like that. Taps outside of the image are 0 there. Sums have 32 bits for as many products as
 * they surely hold, 64 beyond.
 */
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP

#include "tflm_opt_check.h"
#include "tflm_opt_dsp.h"
#include "tflm_opt_kernels.h"
#include "tflm_opt_place.h"
#include "tflm_opt_wide_scale.h"

#define GROUP 4
#define RUN (TFLM_OPT_WIDE_RUN / GROUP) /* groups */

/* What all outputs have in common. */
typedef struct {
    const cmsis_nn_conv_params *params;
    const cmsis_nn_per_channel_quant_params *quant;
    const cmsis_nn_bias_data *bias;
    const int8_t *filter;
    const uint32_t *words;
    int32_t taps;
    int32_t channels;
    int wide; /* whether biases and sums have 64 bits */
} layer;

/* A pixel's window on its way into scratch: `words` are those of the first group. */
typedef struct {
    uint32_t *words;
    int32_t taps; /* done */
} window;

static void put_one(window *to, int16_t value)
{
    const int32_t lane = to->taps & (GROUP - 1);
    uint32_t *const word = to->words + (to->taps & -GROUP) + 2 * (lane & 1);
    ((int16_t *)word)[lane >> 1] = value;
    to->taps++;
}

/* Neighbouring values. */
static void put(window *to, const int16_t *data, int32_t count)
{
    for (; count > 0 && (to->taps & (GROUP - 1)) != 0; count--) {
        put_one(to, *data++);
    }
    for (; count >= GROUP; count -= GROUP) {
        uint32_t *const word = to->words + to->taps;
        const uint32_t first = tflm_opt_word((const int8_t *)data);
        const uint32_t second = tflm_opt_word((const int8_t *)(data + 2));
        word[0] = tflm_opt_pack_low(first, second);
        word[2] = tflm_opt_pack_high(first, second);
        to->taps += GROUP;
        data += GROUP;
    }
    for (; count > 0; count--) {
        put_one(to, *data++);
    }
}

static void put_zeros(window *to, int32_t count)
{
    for (; count > 0; count--) {
        put_one(to, 0);
    }
}

/* The whole window of one pixel, filled up to a whole group. */
static void put_window(
    uint32_t *words, const tflm_opt_windows *at, const int16_t *input, int32_t y, int32_t x)
{
    const tflm_opt_inside inside = tflm_opt_place(at, y, x);
    const cmsis_nn_dims *filter = at->filter;
    const int32_t depth = filter->c;
    const int32_t above = inside.tap / filter->w;
    const int32_t before = inside.tap % filter->w;
    const int16_t *row = input + inside.pixel;
    window to = {words, 0};
    int32_t ky;
    int32_t kx;
    put_zeros(&to, above * filter->w * depth);
    for (ky = 0; ky < inside.rows && inside.columns > 0; ky++) {
        put_zeros(&to, before * depth);
        if (inside.column_step == depth) {
            put(&to, row, inside.columns * depth);
        } else {
            for (kx = 0; kx < inside.columns; kx++) {
                put(&to, row + kx * inside.column_step, depth);
            }
        }
        put_zeros(&to, (filter->w - before - inside.columns) * depth);
        row += inside.row_step;
    }
    put_zeros(&to, ((filter->h * filter->w * depth + GROUP - 1) & -GROUP) - to.taps);
}

/* What one group or more of two pixels and two channels make: sums of channel 0, then of 1. */
TFLM_OPT_INLINE void add_groups(
    const uint32_t *x, const int8_t *f0, const int8_t *f1, int32_t groups, int32_t *sums)
{
    int32_t s0 = 0;
    int32_t s1 = 0;
    int32_t s2 = 0;
    int32_t s3 = 0;
    uint32_t a;
    uint32_t b;
    uint32_t v;
    uint32_t w;
    uint32_t t;
    __asm__ volatile("1:\n\t"
                     "ldrd %[a], %[b], [%[x]], #8\n\t"
                     "ldr %[v], [%[f0]], #4\n\t"
                     "ldr %[w], [%[f1]], #4\n\t"
                     "sxtb16 %[t], %[v]\n\t"
                     "smlad %[s0], %[a], %[t], %[s0]\n\t"
                     "smlad %[s1], %[b], %[t], %[s1]\n\t"
                     "sxtb16 %[t], %[w]\n\t"
                     "smlad %[s2], %[a], %[t], %[s2]\n\t"
                     "smlad %[s3], %[b], %[t], %[s3]\n\t"
                     "ldrd %[a], %[b], [%[x]], #8\n\t"
                     "sxtb16 %[v], %[v], ror #8\n\t"
                     "sxtb16 %[w], %[w], ror #8\n\t"
                     "smlad %[s0], %[a], %[v], %[s0]\n\t"
                     "smlad %[s1], %[b], %[v], %[s1]\n\t"
                     "smlad %[s2], %[a], %[w], %[s2]\n\t"
                     "smlad %[s3], %[b], %[w], %[s3]\n\t"
                     "subs %[n], %[n], #1\n\t"
                     "bne 1b"
                     : [x] "+r"(x), [f0] "+r"(f0), [f1] "+r"(f1), [n] "+r"(groups), [s0] "+r"(s0),
                       [s1] "+r"(s1), [s2] "+r"(s2), [s3] "+r"(s3), [a] "=&r"(a), [b] "=&r"(b),
                       [v] "=&r"(v), [w] "=&r"(w), [t] "=&r"(t)
                     :
                     : "cc", "memory");
    sums[0] = s0;
    sums[1] = s1;
    sums[2] = s2;
    sums[3] = s3;
}

/* The same of one pixel: the first of two. */
TFLM_OPT_APART void add_groups_of_one(
    const uint32_t *x, const int8_t *f0, const int8_t *f1, int32_t groups, int32_t *sums)
{
    int32_t s0 = 0;
    int32_t s2 = 0;
    for (; groups > 0; groups--) {
        const uint32_t v = tflm_opt_word(f0);
        const uint32_t w = tflm_opt_word(f1);
        s0 = tflm_opt_smlad(x[0], tflm_opt_sxtb16(v), s0);
        s2 = tflm_opt_smlad(x[0], tflm_opt_sxtb16(w), s2);
        s0 = tflm_opt_smlad(x[2], tflm_opt_sxtb16_odd(v), s0);
        s2 = tflm_opt_smlad(x[2], tflm_opt_sxtb16_odd(w), s2);
        x += GROUP;
        f0 += GROUP;
        f1 += GROUP;
    }
    sums[0] = s0;
    sums[1] = 0;
    sums[2] = s2;
    sums[3] = 0;
}

/* The taps behind whole groups. */
TFLM_OPT_APART void add_rest(
    const uint32_t *x, const int8_t *f0, const int8_t *f1, int32_t taps, int32_t *sums)
{
    int32_t lane;
    for (lane = 0; lane < taps; lane++) {
        const int16_t *halves = (const int16_t *)(x + 2 * (lane & 1)) + (lane >> 1);
        sums[0] += halves[0] * f0[lane];
        sums[1] += halves[2] * f0[lane];
        sums[2] += halves[0] * f1[lane];
        sums[3] += halves[2] * f1[lane];
    }
}

/* As many products as 32 bits hold, and those behind whole groups: sums of channel 0, then of 1. */
TFLM_OPT_INLINE void add_run(
    const layer *l, int32_t at, const int8_t *f0, const int8_t *f1, int two, int32_t *sums)
{
    const uint32_t *x = l->words + at;
    const int32_t left = l->taps - at;
    const int32_t run = tflm_opt_min(left / GROUP, RUN);
    sums[0] = 0;
    sums[1] = 0;
    sums[2] = 0;
    sums[3] = 0;
    if (run > 0 && two) {
        add_groups(x, f0, f1, run, sums);
    } else if (run > 0) {
        add_groups_of_one(x, f0, f1, run, sums);
    }
    if (left < run * GROUP + GROUP && left > run * GROUP) {
        add_rest(x + run * GROUP, f0 + run * GROUP, f1 + run * GROUP, left - run * GROUP, sums);
    }
}

TFLM_OPT_INLINE int16_t clamped(const layer *l, int32_t value)
{
    return (int16_t)tflm_opt_clamp(value, l->params->activation.min, l->params->activation.max);
}

/* Outputs of a channel whose sums have 32 bits, of one pixel or two. */
static void make_channel(
    const layer *l, int32_t channel, const int32_t *sums, int two, int16_t *output)
{
    const int32_t multiplier = l->quant->multiplier[channel];
    const int32_t shift = l->quant->shift[channel];
    const int32_t right = 15 - shift;
    int32_t pixel;
    if (l->wide && right < 32) {
        /* tflm_opt_requantize_wide of sum plus bias, of which one product is enough */
        const int32_t reduced = tflm_opt_reduced(multiplier);
        const int64_t *const bias = (const int64_t *)(l->bias == NULL ? NULL : l->bias->data);
        const uint64_t start =
            (bias == NULL ? 0U : (uint64_t)bias[channel] * (uint64_t)(int64_t)reduced) +
            ((uint32_t)1 << (right - 1));
        for (pixel = 0; pixel <= two; pixel++) {
            const uint64_t product = (uint64_t)((int64_t)sums[pixel] * reduced) + start;
            *output = clamped(l, (int32_t)((uint32_t)product >> right |
                                           (uint32_t)(product >> 32) << (32 - right)));
            output += l->channels;
        }
        return;
    }
    for (pixel = 0; pixel <= two; pixel++) {
        *output = clamped(l, tflm_opt_scale_wide(l->quant, l->bias, channel, sums[pixel]));
        output += l->channels;
    }
}

/* Two channels of windows with more products than 32 bits hold. */
static void make_deep(
    const layer *l, int32_t channel, const int8_t *f0, const int8_t *f1, int two, int16_t *output)
{
    int64_t totals[4] = {0, 0, 0, 0};
    int32_t at = 0;
    int32_t i;
    do {
        int32_t sums[4];
        add_run(l, at, f0 + at, f1 + at, two, sums);
        for (i = 0; i < 4; i++) {
            totals[i] += sums[i];
        }
        at += RUN * GROUP;
    } while (at < l->taps);
    for (i = 0; i < 4; i++) {
        const int32_t of = channel + (i >> 1);
        if (of < l->channels && (i & 1) <= two) {
            output[(i & 1) * l->channels + (i >> 1)] =
                clamped(l, tflm_opt_scale_wide(l->quant, l->bias, of, totals[i]));
        }
    }
}

/* All channels of one pixel or two, whose windows are in scratch. */
static void make_pixels(const layer *l, int two, int16_t *output)
{
    const int8_t *f0 = l->filter;
    int32_t channel;
    for (channel = 0; channel < l->channels; channel += 2) {
        const int both = channel + 1 < l->channels;
        const int8_t *const f1 = both ? f0 + l->taps : f0;
        if (l->taps < RUN * GROUP + GROUP) {
            int32_t sums[4];
            add_run(l, 0, f0, f1, two, sums);
            make_channel(l, channel, sums, two, output + channel);
            if (both) {
                make_channel(l, channel + 1, sums + 2, two, output + channel + 1);
            }
        } else {
            make_deep(l, channel, f0, f1, two, output + channel);
        }
        f0 = f1 + l->taps;
    }
}

/* All pixels, in pairs that may go from one row to the next. */
static void make_all(const layer *l,
                     const tflm_opt_windows *at,
                     uint32_t *words,
                     const cmsis_nn_dims *output_dims,
                     const int16_t *input,
                     int16_t *output)
{
    int32_t left = output_dims->h * output_dims->w;
    int32_t y = 0;
    int32_t x = 0;
    while (left > 0) {
        const int two = left > 1;
        int32_t pixel;
        for (pixel = 0; pixel <= two; pixel++) {
            put_window(words + pixel, at, input, y, x);
            if (++x == output_dims->w) {
                x = 0;
                y++;
            }
        }
        make_pixels(l, two, output);
        output += (1 + two) * l->channels;
        left -= 1 + two;
    }
}

arm_cmsis_nn_status arm_convolve_wrapper_s16(const cmsis_nn_context *ctx,
                                             const cmsis_nn_conv_params *conv_params,
                                             const cmsis_nn_per_channel_quant_params *quant_params,
                                             const cmsis_nn_dims *input_dims,
                                             const int16_t *input_data,
                                             const cmsis_nn_dims *filter_dims,
                                             const int8_t *filter_data,
                                             const cmsis_nn_dims *bias_dims,
                                             const cmsis_nn_bias_data *bias_data,
                                             const cmsis_nn_dims *output_dims,
                                             int16_t *output_data)
{
    const int32_t image = input_dims->h * input_dims->w * input_dims->c;
    tflm_opt_windows windows;
    layer l;
    int32_t n;
    l.taps = filter_dims->h * filter_dims->w * filter_dims->c;
    if (ctx == NULL || ctx->buf == NULL || ctx->size < 4 * ((l.taps + GROUP - 1) & -GROUP) ||
        filter_dims->c != input_dims->c) {
        return tflm_opt_convolve_plain_s16(ctx, conv_params, quant_params, input_dims, input_data,
                                           filter_dims, filter_data, bias_dims, bias_data, output_dims,
                                           output_data);
    }
    if (!tflm_opt_convolution_fits(conv_params, quant_params, input_dims, filter_dims,
                                   output_dims) ||
        input_data == NULL || filter_data == NULL || output_data == NULL ||
        !tflm_opt_wide_shifts_fit(quant_params->shift, bias_data, output_dims->c)) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    windows.stride = &conv_params->stride;
    windows.padding = &conv_params->padding;
    windows.dilation = &conv_params->dilation;
    windows.input = input_dims;
    windows.filter = filter_dims;
    l.params = conv_params;
    l.quant = quant_params;
    l.bias = bias_data;
    l.filter = filter_data;
    l.words = (const uint32_t *)ctx->buf;
    l.channels = output_dims->c;
    l.wide = bias_data == NULL || !bias_data->is_int32_bias;
    for (n = 0; n < output_dims->n; n++) {
        make_all(&l, &windows, (uint32_t *)ctx->buf, output_dims, input_data, output_data);
        input_data += image;
        output_data += output_dims->h * output_dims->w * output_dims->c;
    }
    return ARM_CMSIS_NN_SUCCESS;
}

int32_t arm_convolve_wrapper_s16_get_buffer_size(const cmsis_nn_conv_params *conv_params,
                                                 const cmsis_nn_dims *input_dims,
                                                 const cmsis_nn_dims *filter_dims,
                                                 const cmsis_nn_dims *output_dims)
{
    (void)conv_params;
    (void)input_dims;
    (void)filter_dims;
    (void)output_dims;
    return 0;
}

#endif /* TFLM_OPT_DSP */
