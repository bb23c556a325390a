#include "tflm_opt_mve_words.h"

#if TFLM_OPT_MVE

/*
 * Windows of 3x3 with steps of one: a tile of 4x4 has four of them, two by two, so two rows of
 * outputs share words and gathers. Their weights are the same words, one column or one row further:
 *
 *     k0 k1 k2  .     . k0 k1 k2
 *     k3 k4 k5  .     . k3 k4 k5      and the same
 *     k6 k7 k8  .     . k6 k7 k8      a row lower
 *      .  .  .  .     .  .  .  .
 *
 * Scratch holds a column of zeros and the four of the weights, then the words of pairs of rows.
 */
typedef struct {
    const tflm_opt_channels *all;
    tflm_opt_image image;
    int32_t width;     /* of the output */
    int32_t pair_step; /* bytes of a pair's words */
    int8_t *taps;
    int8_t *words;
} pairs;

/* Pairs of rows of up to 16 channels. */
typedef struct {
    int32_t first;
    int32_t channels;
    int32_t rows;
    int8_t *output;
} group;

#define FOUR(kink)                                                                                 \
    "vldrw.u32 q0, [%q[window], #128]!\n\t"                                                        \
    "vmladav.s8 %[a], q0, %q[tap0]\n\t"                                                            \
    "vmladav.s8 %[b], q0, %q[tap1]\n\t"                                                            \
    "vmladav.s8 %[c], q0, %q[tap2]\n\t"                                                            \
    "vmladav.s8 %[d], q0, %q[tap3]\n\t" TFLM_OPT_OUTPUTS(kink)                                     \
    "vpst\n\t"                                                                                     \
    "vstrbt.32 q0, [%[output], %q[places]]\n\t"

/* A pair of rows, or one: two columns at a time, and the last one if they are odd. */
#define RUN(kink)                                                                                  \
    __asm__ volatile("vmsr p0, %[some]\n\t"                                                        \
                     "dls lr, %[a]\n"                                                              \
                     "1:\n\t" FOUR(kink)                                                           \
                     "add %[output], %[step]\n\t"                                                  \
                     "le lr, 1b\n\t"                                                               \
                     "lsrs %[a], %[some], #16\n\t"                                                 \
                     "beq 2f\n\t"                                                                  \
                     "vmsr p0, %[a]\n\t" FOUR(kink)                                                \
                     "2:"                                                                          \
                     : [window] "+w"(window), [output] "+r"(output), [a] "+Te"(a),                 \
                       [b] "=&Te"(b), [c] "=&Te"(c), [d] "=&Te"(d)                                 \
                     : [tap0] "w"(tap0), [tap1] "w"(tap1), [tap2] "w"(tap2), [tap3] "w"(tap3),     \
                       [places] "w"(places), [bias] "r"(bias), [multiplier] "r"(multiplier),       \
                       [shift] "r"(shift), [offset] "r"(offset), [step] "r"(2 * step),             \
                       [some] "r"(some)                                                            \
                     : "lr", "q0", SPARE "memory", "cc", "p0")

/* Outputs that there are, as a predicate of words, and of an odd column above it. */
#define UPPER 0x00FFU /* of the upper row */
#define BOTH 0xFFFFU
#define ODD_UPPER 0x000F0000U
#define ODD_BOTH 0x0F0F0000U

#define MAKE(name, kink)                                                                           \
    TFLM_OPT_APART void name(const pairs *conv, const group *of)                                   \
    {                                                                                              \
        const tflm_opt_channels *all = conv->all;                                                  \
        const int32_t step = conv->image.dims->c;                                                  \
        const int32_t width = conv->width;                                                         \
        const int32_t offset = all->output_offset;                                                 \
        const int32_t count = width >> 1;                                                          \
        const int32_t pair_step = conv->pair_step;                                                 \
        const uint32_t both = BOTH | (width & 1 ? ODD_BOTH : 0);                                   \
        const uint32_t upper = UPPER | (width & 1 ? ODD_UPPER : 0);                                \
        const uint32x4_t columns = vmulq_n_u32(vidupq_n_u32(0, 1), TFLM_OPT_COLUMN);               \
        const uint32_t place[4] = {0, (uint32_t)step, (uint32_t)(width * step),                    \
                                   (uint32_t)((width + 1) * step)};                                \
        const uint32x4_t places = vldrwq_u32(place);                                               \
        int32_t channel;                                                                           \
        for (channel = 0; channel < of->channels; channel++) {                                     \
            const int8_t *taps = conv->taps + 4 * channel;                                         \
            const int8_t *words = conv->words + 4 * channel - 2 * TFLM_OPT_COLUMN;                 \
            const int8x16_t tap0 = tflm_opt_tile_at(taps + TFLM_OPT_COLUMN, columns);              \
            const int8x16_t tap1 = tflm_opt_tile_at(taps, columns);                                \
            const int8x16_t tap2 = a_row_lower(tap0);                                              \
            const int8x16_t tap3 = a_row_lower(tap1);                                              \
            const int32_t at = of->first + channel;                                                \
            const int32_t multiplier = all->multiplier[at];                                        \
            const int32_t shift = all->shift[at];                                                  \
            const int32_t bias = all->bias[at] + all->input_offset * vaddvq_s8(tap0);              \
            int8_t *row = of->output + channel;                                                    \
            int32_t rows;                                                                          \
            for (rows = of->rows; rows > 0; rows -= 2) {                                           \
                uint32x4_t window = vaddq_n_u32(columns, (uint32_t)(uintptr_t)words);              \
                const uint32_t some = rows > 1 ? both : upper;                                     \
                int8_t *output = row;                                                              \
                int32_t a = count;                                                                 \
                int32_t b;                                                                         \
                int32_t c;                                                                         \
                int32_t d;                                                                         \
                RUN(kink);                                                                         \
                row += 2 * width * step;                                                           \
                words += pair_step;                                                                \
            }                                                                                      \
        }                                                                                          \
    }

TFLM_OPT_INLINE int8x16_t a_row_lower(int8x16_t taps)
{
    return vreinterpretq_s8_u32(vshlq_n_u32(vreinterpretq_u32_s8(taps), 8));
}

#define SPARE
MAKE(make, "")
#undef SPARE
#define SPARE "q1",
MAKE(make_kink, TFLM_OPT_KINK)

void tflm_opt_depthwise_pairs_s8(const tflm_opt_depthwise_layer *layer,
                                 const cmsis_nn_dims *output_dims,
                                 int32_t y,
                                 int32_t rows,
                                 int8_t *scratch,
                                 int8_t *output)
{
    const cmsis_nn_dw_conv_params *params = layer->params;
    const int32_t step = layer->input->c;
    const int32_t columns = output_dims->w + 2;
    pairs conv;
    group of;
    conv.all = layer->channels;
    conv.image.lines = layer->lines;
    conv.image.dims = layer->input;
    conv.image.dilation = 1;
    conv.image.zero = -params->input_offset;
    conv.width = output_dims->w;
    conv.pair_step = tflm_opt_pair_words(output_dims->w);
    conv.taps = scratch;
    conv.words = scratch + TFLM_OPT_PAIR_TAPS;
    of.rows = rows;
    for (of.first = 0; of.first < step; of.first += TFLM_OPT_FULL) {
        const mve_pred16_t some = vctp8q((uint32_t)(step - of.first));
        int32_t row;
        of.channels = tflm_opt_min(step - of.first, TFLM_OPT_FULL);
        of.output = output + of.first;
        tflm_opt_fill_words(conv.taps, 1, vdupq_n_s8(0));
        tflm_opt_words_of_taps(layer->filter_data + of.first, 3, 3, step, 1, some,
                               conv.taps + TFLM_OPT_COLUMN);
        for (row = 0; row < rows; row += 2) {
            tflm_opt_words_of_input(&conv.image, y + row - params->padding.h, TFLM_OPT_TALL,
                                    -params->padding.w, columns, of.first, some,
                                    conv.words + row / 2 * conv.pair_step);
        }
        if (layer->care == TFLM_OPT_NEGATIVE) {
            make_kink(&conv, &of);
        } else {
            make(&conv, &of);
        }
    }
    tflm_opt_clamp_all(output, rows * output_dims->w * step, params->activation);
}

#endif
