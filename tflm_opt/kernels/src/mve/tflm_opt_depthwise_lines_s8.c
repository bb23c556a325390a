#include "tflm_opt_kernels.h"
#include "tflm_opt_mve.h"

#if TFLM_OPT_MVE

#include "tflm_opt_mve_words.h"

/*
 * With scratch: 16 channels after the other, a chunk of the span at a time, by words of four rows.
 * Without scratch, or for what has no words: four channels of a pixel at a time.
 *
 * Order: with scratch all of a span is one block; without it, four channels of a pixel.
 */
typedef struct {
    const cmsis_nn_dw_conv_params *params;
    const cmsis_nn_dims *filter;
    tflm_opt_image image;
    tflm_opt_channels channels;
    int32_t count; /* output channels */
    int32_t care;
    int32_t in_y;
    int32_t tiles; /* side by side, and one below the other */
    int32_t chunk; /* outputs at a time, a multiple of 4 */
    int32_t width; /* columns of a chunk's words */
    int8_t *taps;  /* words of weights: for each tile row 4 * tiles columns */
    int8_t *words; /* words of inputs: for each tile row `width` columns */
} depthwise;

/* A chunk of outputs of up to 16 channels. */
typedef struct {
    const int8_t *taps;
    uint32x4_t columns; /* from a window's first word to its first four */
    uint32x4_t places;  /* of four outputs */
    int32_t tap_row;    /* bytes of a tile row's weights */
    int32_t below;      /* bytes from a tile to the one below */
    int32_t channels;
    const int32_t *bias;
    const int32_t *multiplier;
    const int32_t *shift;
    int8_t *output;
    int32_t count;
} chunk;

/*
 * Four windows of one tile or of four, `STEP` bytes apart: a gather by addresses moves them on.
 * Their sums are in four even registers, as VMLADAV wants.
 */
#define SMALL(sum, step, vector)                                                                   \
    "vldrw.u32 " vector ", [%q[top], #" step "]!\n\t"                                              \
    "vmladav.s8 %[" sum "], " vector ", %q[tap0]\n\t"
#define SMALL_WINDOWS(step)                                                                        \
    SMALL("a", step, "q0") SMALL("b", step, "q1") SMALL("c", step, "q0") SMALL("d", step, "q1")

#define LARGE(sum, step)                                                                           \
    "vldrw.u32 q0, [%q[top], #" step "]!\n\t"                                                      \
    "vmladav.s8 %[" sum "], q0, %q[tap0]\n\t"                                                      \
    "vldrw.u32 q0, [%q[top], #256]\n\t"                                                            \
    "vmladava.s8 %[" sum "], q0, %q[tap1]\n\t"                                                     \
    "vldrw.u32 q0, [%q[bottom], #" step "]!\n\t"                                                   \
    "vmladava.s8 %[" sum "], q0, %q[tap2]\n\t"                                                     \
    "vldrw.u32 q0, [%q[bottom], #256]\n\t"                                                         \
    "vmladava.s8 %[" sum "], q0, %q[tap3]\n\t"
#define LARGE_WINDOWS(step) LARGE("a", step) LARGE("b", step) LARGE("c", step) LARGE("d", step)

#define SMALL_KINK TFLM_OPT_KINK
#define LARGE_KINK "movs %[a], #1\n\tvpt.s32 lt, q0, zr\n\tvsubt.i32 q0, q0, %[a]\n\t"

#define RUN(text, before, store, after)                                                            \
    __asm__ volatile(before text store after                                                       \
                     : [top] "+w"(top), [bottom] "+w"(bottom), [output] "+r"(output),              \
                       [a] "=&Te"(a), [b] "=&Te"(b), [c] "=&Te"(c), [d] "=&Te"(d)                  \
                     : [tap0] "w"(tap0), TAPS [places] "w"(places), [bias] "r"(bias),              \
                       [multiplier] "r"(multiplier), [shift] "r"(shift), [offset] "r"(offset),     \
                       [step] "r"(step), [count] "r"(count)                                        \
                     : "lr", "q0", SPARE "memory", "cc", "p0")

/* All channels of a chunk. `sum` adds up the weights. */
#define MAKE(name, first, windows, kink, more_taps, sum)                                           \
    TFLM_OPT_APART void name(const depthwise *conv, const chunk *of)                               \
    {                                                                                              \
        const uint32x4_t places = of->places;                                                      \
        const uint32x4_t columns = vaddq_n_u32(of->columns, (uint32_t)0 - (first));                \
        const int32_t offset = conv->channels.output_offset;                                       \
        const int32_t input_offset = conv->channels.input_offset;                                  \
        const int32_t step = 4 * conv->count;                                                      \
        const int32_t blocks = of->count >> 2;                                                     \
        const int32_t rest = of->count & 3;                                                        \
        int32_t i;                                                                                 \
        for (i = 0; i < of->channels; i++) {                                                       \
            const int8_t *taps = of->taps + 4 * i;                                                 \
            const int8x16_t tap0 = tflm_opt_tile_at(taps, of->columns);                            \
            uint32x4_t top = vaddq_n_u32(columns, (uint32_t)(uintptr_t)(conv->words + 4 * i));     \
            uint32x4_t bottom = top;                                                               \
            int8_t *output = of->output + i;                                                       \
            int32_t bias = of->bias[i];                                                            \
            const int32_t multiplier = of->multiplier[i];                                          \
            const int32_t shift = of->shift[i];                                                    \
            int32_t count = blocks;                                                                \
            int32_t a;                                                                             \
            int32_t b;                                                                             \
            int32_t c;                                                                             \
            int32_t d;                                                                             \
            more_taps;                                                                             \
            bias += input_offset * (sum);                                                          \
            if (count > 0) {                                                                       \
                RUN(windows TFLM_OPT_OUTPUTS(kink), "dls lr, %[count]\n1:\n\t",                    \
                    "vstrb.32 q0, [%[output], %q[places]]\n\tadd %[output], %[step]\n\t",          \
                    "le lr, 1b");                                                                  \
            }                                                                                      \
            count = rest;                                                                          \
            if (count > 0) {                                                                       \
                RUN(windows TFLM_OPT_OUTPUTS(kink), "", "vctp.32 %[count]\n\tvpst\n\t",            \
                    "vstrbt.32 q0, [%[output], %q[places]]");                                      \
            }                                                                                      \
        }                                                                                          \
    }

#define TAPS
#define SPARE "q1",
#define MAKE_SMALL(name, step, kink)                                                               \
    MAKE(name, step, SMALL_WINDOWS(#step), kink, , vaddvq_s8(tap0))
MAKE_SMALL(small_1, 64, "")
MAKE_SMALL(small_1_kink, 64, SMALL_KINK)
MAKE_SMALL(small_2, 128, "")
MAKE_SMALL(small_2_kink, 128, SMALL_KINK)
#undef TAPS
#undef SPARE

#define SPARE
#define TAPS [tap1] "w"(tap1), [tap2] "w"(tap2), [tap3] "w"(tap3),
#define BESIDE (TFLM_OPT_TALL * TFLM_OPT_COLUMN) /* the tile to the right */
#define LARGE_TAPS                                                                                 \
    const int8x16_t tap1 = tflm_opt_tile_at(taps + BESIDE, of->columns);                           \
    const int8x16_t tap2 = tflm_opt_tile_at(taps + of->tap_row, of->columns);                      \
    const int8x16_t tap3 = tflm_opt_tile_at(taps + of->tap_row + BESIDE, of->columns);             \
    bottom = vaddq_n_u32(bottom, (uint32_t)of->below)
#define MAKE_LARGE(name, step, kink)                                                               \
    MAKE(name, step, LARGE_WINDOWS(#step), kink, LARGE_TAPS,                                       \
         vaddvaq_s8(vaddvaq_s8(vaddvaq_s8(vaddvq_s8(tap0), tap1), tap2), tap3))
MAKE_LARGE(large_1, 64, "")
MAKE_LARGE(large_1_kink, 64, LARGE_KINK)
MAKE_LARGE(large_2, 128, "")
MAKE_LARGE(large_2_kink, 128, LARGE_KINK)
#undef TAPS

/* Calls and no table of functions: tools that bound the stack follow calls. */
static void make_small(const depthwise *conv, const chunk *of, int twice, int kink)
{
    if (twice && kink) {
        small_2_kink(conv, of);
    } else if (twice) {
        small_2(conv, of);
    } else if (kink) {
        small_1_kink(conv, of);
    } else {
        small_1(conv, of);
    }
}

static void make_large(const depthwise *conv, const chunk *of, int twice, int kink)
{
    if (twice && kink) {
        large_2_kink(conv, of);
    } else if (twice) {
        large_2(conv, of);
    } else if (kink) {
        large_1_kink(conv, of);
    } else {
        large_1(conv, of);
    }
}

static void make_chunk(const depthwise *conv, const chunk *of)
{
    const int twice = conv->params->stride.w == 2;
    const int kink = conv->care == TFLM_OPT_NEGATIVE;
    if (conv->tiles == 1) {
        make_small(conv, of, twice, kink);
    } else {
        make_large(conv, of, twice, kink);
    }
}

/* The weights of up to 16 channels. */
static void make_taps(const depthwise *conv, const int8_t *filter, mve_pred16_t some)
{
    const cmsis_nn_dims *taps = conv->filter;
    int32_t part;
    for (part = 0; part < conv->tiles; part++) {
        tflm_opt_words_of_taps(filter + part * TFLM_OPT_TALL * taps->w * conv->count,
                               taps->h - part * TFLM_OPT_TALL, taps->w, conv->count,
                               TFLM_OPT_TALL * conv->tiles - taps->w, some,
                               conv->taps + part * TFLM_OPT_TALL * conv->tiles * TFLM_OPT_COLUMN);
    }
}

/* `columns` columns of the input from in_x on, of up to 16 channels from `first` on. */
static void make_input(
    const depthwise *conv, int32_t in_x, int32_t columns, int32_t first, mve_pred16_t some)
{
    int32_t part;
    for (part = 0; part < conv->tiles; part++) {
        const int32_t tap = part * TFLM_OPT_TALL;
        tflm_opt_words_of_input(&conv->image, conv->in_y + tap * conv->image.dilation,
                                conv->filter->h - tap, in_x, columns, first, some,
                                conv->words + part * conv->width * TFLM_OPT_COLUMN);
    }
}

/* A span by words. */
static void make_span(const depthwise *conv,
                      const int8_t *filter,
                      const tflm_opt_span *span,
                      int8_t *output)
{
    const cmsis_nn_dw_conv_params *params = conv->params;
    const int32_t reach = (conv->filter->w - 1) * params->dilation.w + 1;
    chunk of;
    int32_t first;
    of.taps = conv->taps;
    of.columns = vmulq_n_u32(vidupq_n_u32(0, 1), (uint32_t)(TFLM_OPT_COLUMN * params->dilation.w));
    of.places = vmulq_n_u32(vidupq_n_u32(0, 1), (uint32_t)conv->count);
    of.tap_row = TFLM_OPT_TALL * conv->tiles * TFLM_OPT_COLUMN;
    of.below = conv->width * TFLM_OPT_COLUMN;
    for (first = 0; first < conv->count; first += TFLM_OPT_FULL) {
        const mve_pred16_t some = vctp8q((uint32_t)(conv->count - first));
        int32_t done;
        make_taps(conv, filter + first, some);
        of.channels = tflm_opt_min(conv->count - first, TFLM_OPT_FULL);
        of.bias = conv->channels.bias + first * conv->channels.bias_step;
        of.multiplier = conv->channels.multiplier + first;
        of.shift = conv->channels.shift + first;
        for (done = 0; done < span->count; done += conv->chunk) {
            const int32_t in_x = (span->x + done) * params->stride.w - params->padding.w;
            of.count = tflm_opt_min(span->count - done, conv->chunk);
            of.output = output + done * conv->count + first;
            make_input(conv, in_x, (of.count - 1) * params->stride.w + reach, first, some);
            make_chunk(conv, &of);
        }
    }
    tflm_opt_clamp_all(output, span->count * conv->count, conv->channels.activation);
}

/* Where words go, and how many outputs fit: 0 if the kernel can't or may not work so. */
static int32_t lay_out(depthwise *conv, const cmsis_nn_context *ctx)
{
    const cmsis_nn_dw_conv_params *params = conv->params;
    const cmsis_nn_dims *filter = conv->filter;
    const int32_t taps = tflm_opt_tap_words(filter);
    int32_t size = ctx->size;
    int32_t columns;
    if (size == 0) {
        size = arm_depthwise_conv_s8_get_buffer_size(conv->image.dims, filter);
    }
    conv->tiles = tflm_opt_tiles(filter);
    if (ctx->buf == NULL || params->ch_mult != 1 || filter->h > 2 * TFLM_OPT_TALL ||
        filter->w > 2 * TFLM_OPT_TALL || params->stride.w > 2 || conv->care == TFLM_OPT_ANY ||
        conv->channels.bias_step == 0 ||
        (conv->tiles > 1 && params->dilation.w > 1)) {
        return 0;
    }
    conv->taps = (int8_t *)ctx->buf;
    conv->words = conv->taps + taps;
    conv->width = (size - taps) / (TFLM_OPT_COLUMN * conv->tiles);
    columns = conv->width - (TFLM_OPT_TALL * conv->tiles - 1) * params->dilation.w - 1;
    conv->chunk = columns < 0 ? 0 : (columns / params->stride.w + 1) & ~3;
    return conv->chunk;
}

arm_cmsis_nn_status tflm_opt_depthwise_lines_s8(
    const cmsis_nn_context *ctx,
    const cmsis_nn_dw_conv_params *dw_conv_params,
    const cmsis_nn_per_channel_quant_params *quant_params,
    const cmsis_nn_dims *input_dims,
    const tflm_opt_lines *input,
    const cmsis_nn_dims *filter_dims,
    const int8_t *filter_data,
    const cmsis_nn_dims *bias_dims,
    const int32_t *bias_data,
    const cmsis_nn_dims *output_dims,
    const tflm_opt_span *span,
    int8_t *output_data)
{
    depthwise conv;
    (void)bias_dims;
    if (output_dims->c != input_dims->c * dw_conv_params->ch_mult ||
        (ctx->buf == NULL && ctx->size >= 0 &&
         arm_depthwise_conv_s8_get_buffer_size(input_dims, filter_dims) > 0)) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    conv.params = dw_conv_params;
    conv.filter = filter_dims;
    conv.image.lines = input;
    conv.image.dims = input_dims;
    conv.image.dilation = dw_conv_params->dilation.h;
    conv.image.zero = -dw_conv_params->input_offset;
    conv.count = output_dims->c;
    conv.in_y = span->y * dw_conv_params->stride.h - dw_conv_params->padding.h;
    tflm_opt_set_bias(&conv.channels, bias_data);
    conv.channels.multiplier = quant_params->multiplier;
    conv.channels.shift = quant_params->shift;
    conv.channels.input_offset = dw_conv_params->input_offset;
    conv.channels.quant_step = 1;
    conv.channels.output_offset = dw_conv_params->output_offset;
    conv.channels.activation = dw_conv_params->activation;
    conv.care = tflm_opt_care(&conv.channels, conv.count);
    if (lay_out(&conv, ctx) > 0) {
        make_span(&conv, filter_data, span, output_data);
    } else {
        tflm_opt_depthwise_pixels_s8(dw_conv_params, &conv.channels, input_dims, input, filter_dims,
                                     filter_data, span, output_data);
    }
    return ARM_CMSIS_NN_SUCCESS;
}

#endif
