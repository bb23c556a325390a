/*
 * Words of four rows, for depthwise convolutions with vectors: not part of the public interface,
 * and empty on other cores.
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
 */
#ifndef TFLM_OPT_MVE_WORDS_H
#define TFLM_OPT_MVE_WORDS_H

#include "tflm_opt_mve.h"

#if TFLM_OPT_MVE

/* Four rows that become words. The assembly reads fields by their places. */
typedef struct {
    const int8_t *row[TFLM_OPT_TALL];
    int32_t step[TFLM_OPT_TALL]; /* from one column to the next */
    int32_t columns;
    uint32_t some; /* the channels that there are, as a predicate of bytes */
} tflm_opt_strip;

TFLM_OPT_INLINE void tflm_opt_make_words(const tflm_opt_strip *from, int8_t *words)
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

TFLM_OPT_INLINE void tflm_opt_fill_words(int8_t *bytes, int32_t columns, int8x16_t value)
{
    for (; columns > 0; columns--) {
        vst1q_s8(bytes, value);
        vst1q_s8(bytes + 16, value);
        vst1q_s8(bytes + 32, value);
        vst1q_s8(bytes + 48, value);
        bytes += TFLM_OPT_COLUMN;
    }
}

/*
 * Weights of up to 16 channels: `rows` rows of `columns` taps, `step` apart, and `after` columns of
 * zeros.
 */
TFLM_OPT_APART void tflm_opt_words_of_taps(const int8_t *filter,
                                           int32_t rows,
                                           int32_t columns,
                                           int32_t step,
                                           int32_t after,
                                           mve_pred16_t some,
                                           int8_t *words)
{
    const int8x16_t zeros = vdupq_n_s8(0);
    int8_t nothing[TFLM_OPT_FULL];
    tflm_opt_strip from;
    int32_t i;
    vst1q_s8(nothing, zeros);
    for (i = 0; i < TFLM_OPT_TALL; i++) {
        from.row[i] = i < rows ? filter + i * columns * step : nothing;
        from.step[i] = i < rows ? step : 0;
    }
    from.columns = columns;
    from.some = some;
    tflm_opt_make_words(&from, words);
    tflm_opt_fill_words(words + columns * TFLM_OPT_COLUMN, after, zeros);
}

/* Where words of an input come from. */
typedef struct {
    const tflm_opt_lines *lines;
    const cmsis_nn_dims *dims;
    int32_t dilation; /* of rows */
    int32_t zero;     /* what lies outside of the image */
} tflm_opt_image;

/*
 * Inputs of up to 16 channels from `first` on: `rows` rows from y on, `columns` columns from x on,
 * all of which may lie outside.
 */
TFLM_OPT_APART void tflm_opt_words_of_input(const tflm_opt_image *image,
                                            int32_t y,
                                            int32_t rows,
                                            int32_t x,
                                            int32_t columns,
                                            int32_t first,
                                            mve_pred16_t some,
                                            int8_t *words)
{
    const int8x16_t zero = vdupq_n_s8((int8_t)image->zero);
    const int32_t step = image->dims->c;
    const int32_t left = tflm_opt_clamp(-x, 0, columns);
    const int32_t inside = tflm_opt_clamp(image->dims->w - x, left, columns) - left;
    int8_t nothing[TFLM_OPT_FULL];
    tflm_opt_strip from;
    int32_t i;
    tflm_opt_fill_words(words, left, zero);
    tflm_opt_fill_words(words + (left + inside) * TFLM_OPT_COLUMN, columns - left - inside, zero);
    if (inside == 0) {
        return;
    }
    vst1q_s8(nothing, zero);
    for (i = 0; i < TFLM_OPT_TALL; i++) {
        from.row[i] = nothing;
        from.step[i] = 0;
        if (i < rows && y >= 0 && y < image->dims->h) {
            from.row[i] = tflm_opt_pixel(image->lines, y, x + left, step) + first;
            from.step[i] = step;
        }
        y += image->dilation;
    }
    from.columns = inside;
    from.some = some;
    tflm_opt_make_words(&from, words + left * TFLM_OPT_COLUMN);
}

TFLM_OPT_INLINE int8x16_t tflm_opt_tile_at(const int8_t *words, uint32x4_t columns)
{
    return vreinterpretq_s8_s32(
        vldrwq_gather_offset_s32((const int32_t *)(const void *)words, columns));
}

/* Four sums in registers a to d become int8 in the words of q0; `kink` is for negative ones. */
#define TFLM_OPT_OUTPUTS(kink)                                                                     \
    "vmov q0[2], q0[0], %[a], %[c]\n\t"                                                            \
    "vmov q0[3], q0[1], %[b], %[d]\n\t"                                                            \
    "vadd.i32 q0, q0, %[bias]\n\t"                                                                 \
    "vqrdmulh.s32 q0, q0, %[multiplier]\n\t" kink "vrshl.s32 q0, %[shift]\n\t"                     \
    "vadd.i32 q0, q0, %[offset]\n\t"                                                               \
    "vqmovnb.s32 q0, q0\n\t"                                                                       \
    "vqmovnb.s16 q0, q0\n\t"
#define TFLM_OPT_KINK "vshr.s32 q1, q0, #31\n\tvadd.i32 q0, q0, q1\n\t"

#endif /* TFLM_OPT_MVE */

#endif /* TFLM_OPT_MVE_WORDS_H */
