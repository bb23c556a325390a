#include "tflm_opt_kernels.h"
#include "tflm_opt_mve.h"

#if TFLM_OPT_MVE

#include <stddef.h>


/*
 * With scratch: 16 channels after the other, a chunk of the span at a time.
 *
 * VMLADAV adds up 16 products, so all of a small window is one instruction once a channel's values
 * lie side by side: as words of four rows, one word a column. VST4 makes such words of 16 channels
 * from one vector a row:
 *
 *     rows (16 channels each)      words of a column
 *     a0 b0 c0 ...                 a0 a1 a2 a3 | b0 b1 b2 b3 | c0 c1 c2 c3 | ...
 *     a1 b1 c1 ...
 *     a2 b2 c2 ...                 64 bytes further: the next column
 *     a3 b3 c3 ...
 *
 * and a gather of four words is a window of 4x4, a tile. Weights become words in the same way, with
 * zeros where the filter ends; up to 8x8 they are four tiles. What lies outside of the image is
 * written as the input's zero point, so that an input offset goes into the bias, with the weights'
 * sum. The outputs of a channel lie apart, and scatter.
 *
 * Without scratch, or for what is not said above: four channels of a pixel at a time.
 *
 * Order: with scratch all of a span is one block; without it, four channels of a pixel.
 */
#define FULL 16 /* channels of a vector */

/* Four rows that become words. The assembly reads fields by their places. */
typedef struct {
    const int8_t *row[TFLM_OPT_TALL];
    int32_t step[TFLM_OPT_TALL]; /* from one column to the next */
    int32_t columns;
    uint32_t some; /* the channels that there are, as a predicate of bytes */
} strip;

typedef struct {
    const cmsis_nn_dw_conv_params *params;
    const cmsis_nn_dims *input;
    const cmsis_nn_dims *filter;
    const tflm_opt_lines *lines;
    tflm_opt_channels channels;
    int32_t count; /* output channels */
    int32_t care;
    int32_t in_y;
    int32_t down;   /* tiles one below the other */
    int32_t across; /* tiles side by side */
    int32_t chunk;  /* outputs at a time, a multiple of 4 */
    int32_t width;  /* columns of a chunk's words */
    int8_t *taps;   /* words of weights: for each tile row 4 * across columns */
    int8_t *words;  /* words of inputs: for each tile row `width` columns */
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

TFLM_OPT_INLINE void make_words(const strip *from, int8_t *words)
{
    __asm__ volatile("ldr lr, [%[from], #36]\n\t"
                     "vmsr p0, lr\n\t"
                     "ldr lr, [%[from], #32]\n\t"
                     "ldm %[from], {r0, r1, r2, r3, r4, r5, r6, r8}\n\t"
                     "dls lr, lr\n"
                     "1:\n\t"
                     "vpstttt\n\t"
                     "vldrbt.u8 q0, [r0]\n\t"
                     "vldrbt.u8 q1, [r1]\n\t"
                     "vldrbt.u8 q2, [r2]\n\t"
                     "vldrbt.u8 q3, [r3]\n\t"
                     "add r0, r4\n\t"
                     "vst40.8 {q0, q1, q2, q3}, [%[words]]\n\t"
                     "add r1, r5\n\t"
                     "vst41.8 {q0, q1, q2, q3}, [%[words]]\n\t"
                     "add r2, r6\n\t"
                     "vst42.8 {q0, q1, q2, q3}, [%[words]]\n\t"
                     "add r3, r8\n\t"
                     "vst43.8 {q0, q1, q2, q3}, [%[words]]!\n\t"
                     "le lr, 1b"
                     : [words] "+r"(words)
                     : [from] "r"(from)
                     : "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r8", "lr", "q0", "q1", "q2",
                       "q3", "memory", "cc", "p0");
}

TFLM_OPT_INLINE void fill(int8_t *bytes, int32_t columns, int8x16_t value)
{
    for (; columns > 0; columns--) {
        vst1q_s8(bytes, value);
        vst1q_s8(bytes + 16, value);
        vst1q_s8(bytes + 32, value);
        vst1q_s8(bytes + 48, value);
        bytes += TFLM_OPT_COLUMN;
    }
}

/* The weights of up to 16 channels from `first` on as words. */
TFLM_OPT_APART void make_taps(
    const depthwise *conv, const int8_t *filter, int32_t first, mve_pred16_t some)
{
    const int32_t columns = conv->filter->w;
    const int8x16_t zeros = vdupq_n_s8(0);
    int8_t nothing[FULL];
    int8_t *taps = conv->taps;
    int32_t y = 0;
    int32_t part;
    vst1q_s8(nothing, zeros);
    for (part = 0; part < conv->down; part++) {
        strip from;
        int32_t i;
        for (i = 0; i < TFLM_OPT_TALL; i++, y++) {
            const int inside = y < conv->filter->h;
            from.row[i] = inside ? filter + y * columns * conv->count + first : nothing;
            from.step[i] = inside ? conv->count : 0;
        }
        from.columns = columns;
        from.some = some;
        make_words(&from, taps);
        fill(taps + columns * TFLM_OPT_COLUMN, TFLM_OPT_TALL * conv->across - columns, zeros);
        taps += TFLM_OPT_TALL * conv->across * TFLM_OPT_COLUMN;
    }
}

/* `columns` columns of the input from in_x on as words, of up to 16 channels from `first` on. */
TFLM_OPT_APART void make_input(const depthwise *conv,
                               int32_t in_x,
                               int32_t columns,
                               int32_t first,
                               mve_pred16_t some)
{
    const int8x16_t zero = vdupq_n_s8((int8_t)-conv->channels.input_offset);
    const int32_t left = tflm_opt_clamp(-in_x, 0, columns);
    const int32_t inside = tflm_opt_clamp(conv->input->w - in_x, left, columns) - left;
    int8_t nothing[FULL];
    int8_t *words = conv->words;
    int32_t tap = 0;
    int32_t part;
    vst1q_s8(nothing, zero);
    for (part = 0; part < conv->down; part++) {
        strip from;
        int32_t i;
        for (i = 0; i < TFLM_OPT_TALL; i++, tap++) {
            const int32_t y = conv->in_y + tap * conv->params->dilation.h;
            from.row[i] = nothing;
            from.step[i] = 0;
            if (inside > 0 && tap < conv->filter->h && y >= 0 && y < conv->input->h) {
                from.row[i] = tflm_opt_pixel(conv->lines, y, in_x + left, conv->count) + first;
                from.step[i] = conv->count;
            }
        }
        fill(words, left, zero);
        if (inside > 0) {
            from.columns = inside;
            from.some = some;
            make_words(&from, words + left * TFLM_OPT_COLUMN);
        }
        fill(words + (left + inside) * TFLM_OPT_COLUMN, columns - left - inside, zero);
        words += conv->width * TFLM_OPT_COLUMN;
    }
}

TFLM_OPT_INLINE int8x16_t tile_at(const int8_t *words, uint32x4_t columns)
{
    return vreinterpretq_s8_s32(
        vldrwq_gather_offset_s32((const int32_t *)(const void *)words, columns));
}

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

/* The four sums as outputs; `kink` is what negative ones need if their halves matter. */
#define SMALL_KINK "vshr.s32 q1, q0, #31\n\tvadd.i32 q0, q0, q1\n\t"
#define LARGE_KINK "movs %[a], #1\n\tvpt.s32 lt, q0, zr\n\tvsubt.i32 q0, q0, %[a]\n\t"
#define OUTPUTS(kink)                                                                              \
    "vmov q0[2], q0[0], %[a], %[c]\n\t"                                                            \
    "vmov q0[3], q0[1], %[b], %[d]\n\t"                                                            \
    "vadd.i32 q0, q0, %[bias]\n\t"                                                                 \
    "vqrdmulh.s32 q0, q0, %[multiplier]\n\t" kink "vrshl.s32 q0, %[shift]\n\t"                     \
    "vadd.i32 q0, q0, %[offset]\n\t"                                                               \
    "vqmovnb.s32 q0, q0\n\t"                                                                       \
    "vqmovnb.s16 q0, q0\n\t"

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
            const int8x16_t tap0 = tile_at(taps, of->columns);                                     \
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
                RUN(windows OUTPUTS(kink), "dls lr, %[count]\n1:\n\t",                             \
                    "vstrb.32 q0, [%[output], %q[places]]\n\tadd %[output], %[step]\n\t",          \
                    "le lr, 1b");                                                                  \
            }                                                                                      \
            count = rest;                                                                          \
            if (count > 0) {                                                                       \
                RUN(windows OUTPUTS(kink), "", "vctp.32 %[count]\n\tvpst\n\t",                     \
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
#define LARGE_TAPS                                                                                 \
    const int8x16_t tap1 = tile_at(taps + TFLM_OPT_TALL * TFLM_OPT_COLUMN, of->columns);                             \
    const int8x16_t tap2 = tile_at(taps + of->tap_row, of->columns);                               \
    const int8x16_t tap3 = tile_at(taps + of->tap_row + TFLM_OPT_TALL * TFLM_OPT_COLUMN, of->columns);               \
    bottom = vaddq_n_u32(bottom, (uint32_t)of->below)
#define MAKE_LARGE(name, step, kink)                                                               \
    MAKE(name, step, LARGE_WINDOWS(#step), kink, LARGE_TAPS,                                       \
         vaddvaq_s8(vaddvaq_s8(vaddvaq_s8(vaddvq_s8(tap0), tap1), tap2), tap3))
MAKE_LARGE(large_1, 64, "")
MAKE_LARGE(large_1_kink, 64, LARGE_KINK)
MAKE_LARGE(large_2, 128, "")
MAKE_LARGE(large_2_kink, 128, LARGE_KINK)
#undef TAPS

/* Outputs were clamped to int8 only. */
static void clamp_all(int8_t *output, int32_t count, cmsis_nn_activation activation)
{
    const int8x16_t low = vdupq_n_s8((int8_t)activation.min);
    const int8x16_t high = vdupq_n_s8((int8_t)activation.max);
    if (activation.min == INT8_MIN && activation.max == INT8_MAX) {
        return;
    }
    for (; count > 0; count -= FULL) {
        const mve_pred16_t some = vctp8q((uint32_t)count);
        const int8x16_t values = vldrbq_z_s8(output, some);
        vstrbq_p_s8(output, vminq_s8(vmaxq_s8(values, low), high), some);
        output += FULL;
    }
}

static void make_chunk(const depthwise *conv, const chunk *of)
{
    const int kink = conv->care == TFLM_OPT_NEGATIVE;
    const int twice = conv->params->stride.w == 2;
    if (conv->down == 1) {
        if (twice) {
            (kink ? small_2_kink : small_2)(conv, of);
        } else {
            (kink ? small_1_kink : small_1)(conv, of);
        }
    } else if (twice) {
        (kink ? large_2_kink : large_2)(conv, of);
    } else {
        (kink ? large_1_kink : large_1)(conv, of);
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
    of.tap_row = TFLM_OPT_TALL * conv->across * TFLM_OPT_COLUMN;
    of.below = conv->width * TFLM_OPT_COLUMN;
    for (first = 0; first < conv->count; first += FULL) {
        const mve_pred16_t some = vctp8q((uint32_t)(conv->count - first));
        int32_t done;
        make_taps(conv, filter, first, some);
        of.channels = tflm_opt_min(conv->count - first, FULL);
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
    clamp_all(output, span->count * conv->count, conv->channels.activation);
}

/* Where words go, and how many outputs fit: 0 if the kernel can't or may not work so. */
static int32_t lay_out(depthwise *conv, const cmsis_nn_context *ctx)
{
    const cmsis_nn_dw_conv_params *params = conv->params;
    const cmsis_nn_dims *filter = conv->filter;
    const int32_t taps = tflm_opt_tap_words(filter);
    const int32_t size =
        ctx->size != 0 ? ctx->size : arm_depthwise_conv_s8_get_buffer_size(conv->input, filter);
    int32_t columns;
    conv->across = tflm_opt_tiles(filter);
    conv->down = conv->across;
    if (ctx->buf == NULL || params->ch_mult != 1 || filter->h > 2 * TFLM_OPT_TALL || filter->w > 2 * TFLM_OPT_TALL ||
        params->stride.w > 2 || conv->care == TFLM_OPT_ANY || conv->channels.bias_step == 0 ||
        (conv->across > 1 && params->dilation.w > 1)) {
        return 0;
    }
    conv->taps = (int8_t *)ctx->buf;
    conv->words = conv->taps + taps;
    conv->width = (size - taps) / (TFLM_OPT_COLUMN * conv->down);
    columns = conv->width - (TFLM_OPT_TALL * conv->across - 1) * params->dilation.w - 1;
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
        (ctx->buf == NULL && ctx->size >= 0)) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    conv.params = dw_conv_params;
    conv.input = input_dims;
    conv.filter = filter_dims;
    conv.lines = input;
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
