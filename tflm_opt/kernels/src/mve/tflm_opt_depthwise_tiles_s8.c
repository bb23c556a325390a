#include "tflm_opt_kernels.h"
#include "tflm_opt_mve_words.h"

#if TFLM_OPT_MVE

/*
 * 16 channels after the other, all rows of a band. Each row of outputs has words of the four rows
 * that its windows begin with, and of the four below where a window is taller. With steps of one, two
 * or four, those below are words of a later row of outputs, too.
 *
 * A channel's sums are made first, window by window, then its outputs, four by four, whatever rows
 * they are in: a whole image's outputs of a channel lie evenly spaced.
 */
typedef struct {
    const tflm_opt_depthwise_layer *layer;
    tflm_opt_image image;
    const tflm_opt_span *span;
    int32_t tiles;   /* side by side, and one below the other */
    int32_t rows;    /* of a band */
    int32_t columns; /* of a chunk of its outputs */
    int32_t below;   /* rows of words from a tile to the one below */
    int8_t *taps;    /* words of weights: for each row of tiles 4 * tiles columns */
    int8_t *words;   /* words of inputs */
    int32_t *sums;
} band;

/* A chunk of columns of up to 16 channels; of more than one row only if it is whole rows. */
typedef struct {
    int32_t first;
    int32_t channels;
    int32_t columns;
    int32_t row_bytes; /* of words */
    int8_t *output;
} chunk;

/* Columns of words that so many outputs take: an even number of them is read. */
static int32_t width_of(const band *conv, int32_t columns)
{
    const cmsis_nn_dw_conv_params *params = conv->layer->params;
    return ((columns + 1) / 2 * 2 - 1) * params->stride.w +
           (TFLM_OPT_TALL * conv->tiles - 1) * params->dilation.w + 1;
}

/* Rows of words of so many rows of outputs. */
static int32_t word_rows(const band *conv, int32_t rows)
{
    const int32_t step = conv->layer->params->stride.h;
    if (conv->tiles == 1) {
        return rows;
    }
    return TFLM_OPT_TALL % step == 0 && conv->image.dilation == 1 ? rows + TFLM_OPT_TALL / step
                                                                  : 2 * rows;
}

static int32_t bytes_of(const band *conv, int32_t rows, int32_t columns)
{
    return tflm_opt_tap_words(conv->layer->filter) +
           word_rows(conv, rows) * width_of(conv, columns) * TFLM_OPT_COLUMN +
           4 * (rows * columns + 4);
}

/*
 * Sums of one tile or of four for two windows, `STEP` bytes apart: a gather by addresses moves on.
 * VMLADAV wants even registers.
 */
#define SMALL(sum, step, vector)                                                                   \
    "vldrw.u32 " vector ", [%q[top], #" step "]!\n\t"                                              \
    "vmladav.s8 %[" sum "], " vector ", %q[tap0]\n\t"
#define SMALL_WINDOWS(step) SMALL("a", step, "q0") SMALL("b", step, "q1")

#define LARGE(sum, step)                                                                           \
    "vldrw.u32 q0, [%q[top], #" step "]!\n\t"                                                      \
    "vmladav.s8 %[" sum "], q0, %q[tap0]\n\t"                                                      \
    "vldrw.u32 q0, [%q[top], #256]\n\t"                                                            \
    "vmladava.s8 %[" sum "], q0, %q[tap1]\n\t"                                                     \
    "vldrw.u32 q0, [%q[bottom], #" step "]!\n\t"                                                   \
    "vmladava.s8 %[" sum "], q0, %q[tap2]\n\t"                                                     \
    "vldrw.u32 q0, [%q[bottom], #256]\n\t"                                                         \
    "vmladava.s8 %[" sum "], q0, %q[tap3]\n\t"
#define LARGE_WINDOWS(step) LARGE("a", step) LARGE("b", step)

/* A row's sums, and one more where they are odd, in whose place the next row's begin. */
#define SUMS(windows)                                                                              \
    __asm__ volatile("dls lr, %[count]\n"                                                          \
                     "1:\n\t" windows                                                              \
                     "strd %[a], %[b], [%[sums]], #8\n\t"                                          \
                     "le lr, 1b"                                                                   \
                     : [top] "+w"(top), [bottom] "+w"(bottom), [sums] "+r"(sums), [a] "=&Te"(a),   \
                       [b] "=&Te"(b)                                                               \
                     : [tap0] "w"(tap0), TAPS [count] "r"(pairs)                                   \
                     : "lr", "q0", SPARE "memory")

/* `count` outputs, `step` apart, of a channel's sums. */
#define OUTPUTS(kink)                                                                              \
    __asm__ volatile("dlstp.32 lr, %[count]\n"                                                     \
                     "1:\n\t"                                                                      \
                     "vldrw.u32 q0, [%[sums]], #16\n\t"                                            \
                     "vadd.i32 q0, q0, %[bias]\n\t"                                                \
                     "vqrdmulh.s32 q0, q0, %[multiplier]\n\t" kink "vrshl.s32 q0, %[shift]\n\t"   \
                     "vadd.i32 q0, q0, %[offset]\n\t"                                              \
                     "vqmovnb.s32 q0, q0\n\t"                                                      \
                     "vqmovnb.s16 q0, q0\n\t"                                                      \
                     "vstrb.32 q0, [%[output], %q[places]]\n\t"                                    \
                     "add %[output], %[step]\n\t"                                                  \
                     "letp lr, 1b"                                                                 \
                     : [sums] "+r"(sums), [output] "+r"(output)                                    \
                     : [count] "r"(count), [bias] "r"(bias), [multiplier] "r"(multiplier),         \
                       [shift] "r"(shift), [offset] "r"(offset), [places] "w"(places),             \
                       [step] "r"(4 * step)                                                        \
                     : "lr", "q0", "q1", "memory")

/* The outputs of a channel of a chunk; `sum` is that of its weights. */
TFLM_OPT_APART void make_outputs(const band *conv, const chunk *of, int32_t channel, int32_t sum)
{
    const tflm_opt_channels *all = conv->layer->channels;
    const int32_t step = conv->image.dims->c;
    const int32_t at = of->first + channel;
    const uint32x4_t places = vmulq_n_u32(vidupq_n_u32(0, 1), (uint32_t)step);
    const int32_t bias = all->bias[at * all->bias_step] + all->input_offset * sum;
    const int32_t multiplier = all->multiplier[at];
    const int32_t shift = all->shift[at];
    const int32_t offset = all->output_offset;
    const int32_t count = conv->rows * of->columns;
    const int32_t *sums = conv->sums;
    int8_t *output = of->output + channel;
    if (conv->layer->care == TFLM_OPT_NEGATIVE) {
        OUTPUTS(TFLM_OPT_KINK);
    } else {
        OUTPUTS("");
    }
}

/* All channels of a chunk. `sum` adds up the weights. */
#define MAKE(name, first, windows, more_taps, sum)                                                 \
    TFLM_OPT_APART void name(const band *conv, const chunk *of)                                    \
    {                                                                                              \
        const uint32x4_t beside = vmulq_n_u32(vidupq_n_u32(0, 1), TFLM_OPT_COLUMN);                \
        const uint32x4_t columns =                                                                 \
            vsubq_n_u32(vmulq_n_u32(beside, (uint32_t)conv->layer->params->dilation.w), first);    \
        const int32_t pairs = (of->columns + 1) >> 1;                                              \
        const int32_t odd = of->columns & 1;                                                       \
        int32_t channel;                                                                           \
        for (channel = 0; channel < of->channels; channel++) {                                     \
            const int8_t *taps = conv->taps + 4 * channel;                                         \
            const int8x16_t tap0 = tflm_opt_tile_at(taps, beside);                                 \
            const int8_t *words = conv->words + 4 * channel;                                       \
            int32_t *sums = conv->sums;                                                            \
            int32_t rows;                                                                          \
            more_taps;                                                                             \
            for (rows = conv->rows; rows > 0; rows--) {                                            \
                uint32x4_t top = vaddq_n_u32(columns, (uint32_t)(uintptr_t)words);                 \
                uint32x4_t bottom =                                                                \
                    vaddq_n_u32(top, (uint32_t)(conv->below * of->row_bytes));                     \
                int32_t a;                                                                         \
                int32_t b;                                                                         \
                SUMS(windows);                                                                     \
                sums -= odd;                                                                       \
                words += of->row_bytes;                                                            \
            }                                                                                      \
            make_outputs(conv, of, channel, sum);                                                  \
        }                                                                                          \
    }

#define TAPS
#define SPARE "q1",
#define MAKE_SMALL(name, step) MAKE(name, step, SMALL_WINDOWS(#step), , vaddvq_s8(tap0))
MAKE_SMALL(small_1, 64)
MAKE_SMALL(small_2, 128)
#undef TAPS
#undef SPARE

#define SPARE
#define TAPS [tap1] "w"(tap1), [tap2] "w"(tap2), [tap3] "w"(tap3),
#define BESIDE (TFLM_OPT_TALL * TFLM_OPT_COLUMN) /* the tile to the right */
#define LARGE_TAPS                                                                                 \
    const int8x16_t tap1 = tflm_opt_tile_at(taps + BESIDE, beside);                                \
    const int8x16_t tap2 = tflm_opt_tile_at(taps + 2 * BESIDE, beside);                            \
    const int8x16_t tap3 = tflm_opt_tile_at(taps + 3 * BESIDE, beside)
#define MAKE_LARGE(name, step)                                                                     \
    MAKE(name, step, LARGE_WINDOWS(#step), LARGE_TAPS,                                             \
         vaddvaq_s8(vaddvaq_s8(vaddvaq_s8(vaddvq_s8(tap0), tap1), tap2), tap3))
MAKE_LARGE(large_1, 64)
MAKE_LARGE(large_2, 128)
#undef TAPS

/* Calls and no table of functions: tools that bound the stack follow calls. */
static void make_chunk(const band *conv, const chunk *of)
{
    if (conv->layer->params->stride.w == 2) {
        if (conv->tiles == 1) {
            small_2(conv, of);
        } else {
            large_2(conv, of);
        }
    } else if (conv->tiles == 1) {
        small_1(conv, of);
    } else {
        large_1(conv, of);
    }
}

/* The weights of up to 16 channels. */
static void make_taps(const band *conv, int32_t first, mve_pred16_t some)
{
    const cmsis_nn_dims *taps = conv->layer->filter;
    int32_t part;
    for (part = 0; part < conv->tiles; part++) {
        tflm_opt_words_of_taps(conv->layer->filter_data + first +
                                   part * TFLM_OPT_TALL * taps->w * taps->c,
                               taps->h - part * TFLM_OPT_TALL, taps->w, taps->c,
                               TFLM_OPT_TALL * conv->tiles - taps->w, some,
                               conv->taps + part * TFLM_OPT_TALL * conv->tiles * TFLM_OPT_COLUMN);
    }
}

/* Words of a chunk's inputs, whose columns begin with in_x. */
static void make_input(const band *conv, const chunk *of, int32_t in_x, mve_pred16_t some)
{
    const cmsis_nn_dw_conv_params *params = conv->layer->params;
    const int32_t rows = word_rows(conv, conv->rows);
    int8_t *words = conv->words;
    int32_t row;
    for (row = 0; row < rows; row++) {
        const int32_t tap = row < conv->rows ? 0 : TFLM_OPT_TALL;
        const int32_t out_y = conv->span->y + (tap == 0 ? row : row - conv->below);
        tflm_opt_words_of_input(
            &conv->image, out_y * params->stride.h - params->padding.h + tap * params->dilation.h,
            conv->layer->filter->h - tap, in_x, of->row_bytes / TFLM_OPT_COLUMN, of->first, some,
            words);
        words += of->row_bytes;
    }
}

/* All chunks of a band. */
static void make_band(const band *conv, int8_t *output)
{
    const cmsis_nn_dw_conv_params *params = conv->layer->params;
    const tflm_opt_span *span = conv->span;
    const int32_t count = conv->image.dims->c;
    chunk of;
    for (of.first = 0; of.first < count; of.first += TFLM_OPT_FULL) {
        const mve_pred16_t some = vctp8q((uint32_t)(count - of.first));
        int32_t done;
        make_taps(conv, of.first, some);
        of.channels = tflm_opt_min(count - of.first, TFLM_OPT_FULL);
        for (done = 0; done < span->count; done += conv->columns) {
            const int32_t in_x = (span->x + done) * params->stride.w - params->padding.w;
            of.columns = tflm_opt_min(span->count - done, conv->columns);
            of.row_bytes = width_of(conv, of.columns) * TFLM_OPT_COLUMN;
            of.output = output + done * count + of.first;
            make_input(conv, &of, in_x, some);
            make_chunk(conv, &of);
        }
    }
    tflm_opt_clamp_all(output, conv->rows * span->count * count, params->activation);
}

/* Whether there are tiles for a layer. */
static int has_tiles(const tflm_opt_depthwise_layer *layer, int32_t tiles)
{
    const cmsis_nn_dw_conv_params *params = layer->params;
    return params->ch_mult == 1 && layer->filter->h <= 2 * TFLM_OPT_TALL &&
           layer->filter->w <= 2 * TFLM_OPT_TALL && params->stride.w <= 2 &&
           layer->care != TFLM_OPT_ANY && (tiles == 1 || params->dilation.w == 1);
}

int32_t tflm_opt_depthwise_tiles_s8(const cmsis_nn_context *ctx,
                                    const tflm_opt_depthwise_layer *layer,
                                    const tflm_opt_span *span,
                                    int32_t rows,
                                    int8_t *output)
{
    const int32_t size = ctx->size != 0 ? ctx->size
                                        : arm_depthwise_conv_s8_get_buffer_size(layer->input,
                                                                                layer->filter);
    band conv;
    conv.layer = layer;
    conv.span = span;
    conv.image.lines = layer->lines;
    conv.image.dims = layer->input;
    conv.image.dilation = layer->params->dilation.h;
    conv.image.zero = -layer->params->input_offset;
    conv.tiles = tflm_opt_tiles(layer->filter);
    conv.columns = span->count;
    if (ctx->buf == NULL || !has_tiles(layer, conv.tiles)) {
        return 0;
    }
    while (rows > 1 && bytes_of(&conv, rows, conv.columns) > size) {
        rows--;
    }
    while (conv.columns > 2 && bytes_of(&conv, rows, conv.columns) > size) {
        conv.columns -= 2 - (conv.columns & 1);
    }
    if (bytes_of(&conv, rows, conv.columns) > size) {
        return 0;
    }
    conv.rows = rows;
    conv.below = word_rows(&conv, rows) - rows;
    conv.taps = (int8_t *)ctx->buf;
    conv.sums = (int32_t *)(void *)(conv.taps + tflm_opt_tap_words(layer->filter));
    conv.words = (int8_t *)(conv.sums + rows * conv.columns + 4);
    make_band(&conv, output);
    return rows;
}

#endif
