/*
 * Products of matrices on cores with the DSP extension, for convolutions: not part of the public
 * interface.
 *
 * A tile is 2 pixels by 2 output channels. What its inner loop reads lies in scratch as halves that
 * SMLAD takes, in the order in which it takes them: of a pair of pixels, 4 input values each make
 * the words
 *
 *     pixel 0: (k0, k2)   pixel 0: (k1, k3)   pixel 1: (k0, k2)   pixel 1: (k1, k3)
 *
 * and of a pair of channels the same with weights. So 16 products are two loads of four words and
 * eight SMLAD. Inputs get their offset when they are spread out like that, at no cost, and so padding
 * is zeros. A pair of channels has its biases before its weights and the rest of its forms behind
 * them:
 *
 *     bias, bias | weights ... | multiplier, constant, shift, channel, multiplier, constant, shift
 *
 * where the channel is the first one's, less that of the last pair.
 *
 * Sums are doubled before they are scaled: each one when it is done, or, where that is less work, all
 * weights and biases once they are spread out.
 *
 * Pixels are made in blocks, in order. All inputs of a block are spread out before the first of its
 * outputs is written. Groups are made one after the other, all pixels of each.
 */
#ifndef TFLM_OPT_GEMM_H
#define TFLM_OPT_GEMM_H

#include "tflm_opt_lines.h"
#include "tflm_opt_math.h"
#include "tflm_opt_tier.h"
#include "tflm_opt_types.h"

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * How scratch is divided. With K4 the depth rounded up to a multiple of 4, a pair of channels takes
 * 4 * K4 + 36 bytes and a pair of pixels 4 * K4.
 *
 * All weights are spread out once a call, and blocks are 2 pixels, where there are two channels and
 *
 *     pairs of channels * (4 * K4 + 36) + 4 * K4 + staging <= size
 *
 * with 2 * K4 for staging where windows may have to be gathered, 0 for pointwise convolutions. Else it
 * is those of one pair of channels after the other, for each block again, and blocks are
 *
 *     2 * floor((size - (4 * K4 + 36)) / (4 * K4))   pixels;
 *
 * where that is 0, scratch is too little. Windows are gathered where the weights will be.
 */
typedef struct {
    int32_t all_weights; /* whether they are there all the time */
    int32_t block;       /* pixels; 0 where scratch is too little */
} tflm_opt_gemm_plan;

#define TFLM_OPT_GEMM_FORMS 36 /* bytes of a pair's short forms */

TFLM_OPT_INLINE int32_t tflm_opt_gemm_round(int32_t bytes)
{
    return (bytes + 3) & ~3;
}

TFLM_OPT_INLINE tflm_opt_gemm_plan tflm_opt_gemm_divide(
    int32_t depth, int32_t channels, int32_t staging, int32_t size)
{
    const int32_t inputs = 4 * tflm_opt_gemm_round(depth);
    const int32_t weights = inputs + TFLM_OPT_GEMM_FORMS;
    tflm_opt_gemm_plan plan = {1, 2};
    if (channels < 2 || size < (channels + 1) / 2 * weights + inputs + staging) {
        plan.all_weights = 0;
        plan.block = size < weights + inputs ? 0 : 2 * ((size - weights) / inputs);
    }
    return plan;
}

/* What _get_buffer_size functions say: blocks of 16 pixels; of 8 on Helium, which makes less of it. */
TFLM_OPT_INLINE int32_t tflm_opt_gemm_size(int32_t depth)
{
    return (TFLM_OPT_MVE ? 20 : 36) * tflm_opt_gemm_round(depth) + TFLM_OPT_GEMM_FORMS;
}

/*
 * Rows to spread out; assembly knows the order. Their whole words go where they belong; what is left
 * over is put together behind them and is spread out, in place, when all rows are done: it must be
 * TFLM_OPT_GEMM_REST bytes at most, of all rows of a window.
 */
#define TFLM_OPT_GEMM_REST 12
typedef struct {
    int32_t words; /* of a row */
    int32_t rows;
    int32_t skip;       /* from a row's end to the next row */
    uint32_t offsets;   /* what values get added, twice */
    int32_t rest;       /* bytes of a row */
    int8_t *rests;      /* of the first of the pair; of the second, TFLM_OPT_GEMM_REST later */
    int32_t rest_words; /* 0 where more rows follow */
} tflm_opt_gemm_rows;

/* What the core works on; its assembly knows the order. */
typedef struct {
    const uint32_t *weights;
    const uint32_t *inputs;
    const uint32_t *fixed; /* weights or inputs: what all tiles share */
    union {
        int8_t *pixels[2]; /* sharing inputs: the last outputs of the second pixel and the first */
        struct {
            int32_t second_pixel; /* from the first pixel's output */
            int32_t count;        /* of pixels, less 1 */
        } across;                 /* sharing weights */
    } at;
    int8_t *output;
    int32_t second_channel; /* from the first channel's output */
    int32_t both;           /* second_pixel + second_channel */
    int32_t step;           /* from a tile's outputs to the next one's */
    uint32_t entry;         /* addresses of code */
    uint32_t next;
    const uint32_t *end; /* of what all tiles share, without parameters */
    uint32_t tail;
} tflm_opt_gemm_tiles;

/*
 * Whether negative sums are rounded apart; whether sums must be doubled; what tiles share, their inputs
 * or their weights.
 */
enum { TFLM_OPT_KINK = 1, TFLM_OPT_SINGLE = 2, TFLM_OPT_ALONG = 0, TFLM_OPT_ACROSS = 4 };

/* All tiles of two pixels, where `back` is 0; their addresses of code are set for a depth of so many words. */
void tflm_opt_tiles_s8(tflm_opt_gemm_tiles *tiles, int32_t back);
void tflm_opt_set_tiles(tflm_opt_gemm_tiles *tiles, int32_t words, int32_t tail);

/* What the last of an odd number of pixels works on; assembly knows the order. */
typedef struct {
    const uint32_t *inputs;
    int32_t rounds;         /* of four steps of the loop, less 1 */
    uint32_t entry;         /* where the first round begins: an address of code */
    int32_t shift;          /* of sums that are done */
    uint32_t more;          /* 0 where no pair of channels follows the first one; else ~0 */
    int8_t *output;         /* of the last pair of channels */
    int32_t second_channel; /* from the first channel's output */
} tflm_opt_gemm_alone;

#define TFLM_OPT_GEMM_ALONE 24 /* bytes of a step of the loop */

/* One pixel, of channels whose weights and forms are at `weights`; `back`: see there. */
void tflm_opt_alone_s8(tflm_opt_gemm_alone *alone, const uint32_t *weights, int32_t back);

/*
 * Rows of a pair of windows, the second `second` bytes behind the first one, or of a pair of filters;
 * the same of rows of nine bytes, as 3x3 windows of three channels have. The end of what was written.
 */
uint32_t *tflm_opt_spread_pair_s8(uint32_t *target,
                                  const int8_t *first,
                                  ptrdiff_t second,
                                  const tflm_opt_gemm_rows *rows);
uint32_t *tflm_opt_spread_nines_s8(uint32_t *target,
                                   const int8_t *first,
                                   ptrdiff_t second,
                                   const tflm_opt_gemm_rows *rows);

/* One row of whole words of a pair of filters, twice as large as they are. */
void tflm_opt_spread_doubled_s8(uint32_t *target,
                                const int8_t *first,
                                ptrdiff_t second,
                                int32_t words);

/* What short forms are made of; assembly knows the order. */
typedef struct {
    const int32_t *bias; /* * or NULL */
    const int32_t *multiplier; /* * */
    const int32_t *shift;      /* * */
    int32_t last_pair;         /* the first channel of the last pair */
    int32_t bias_limit; /* biases of short forms are from -bias_limit up to below it */
    uint32_t unit;      /* a constant before it is shifted left by an output's shift less 1 */
    int32_t doubled;    /* 1 where weights are, else 0 */
    int32_t pitch;      /* bytes from a pair of channels to the next one */
} tflm_opt_gemm_form;

/*
 * A call. Who calls sets those marked with *; `input.n` and `kernel.n` are not looked at. What loops
 * read comes first, where short instructions reach it.
 */
typedef struct {
    const cmsis_nn_conv_params *params; /* * */
    int8_t *output;                     /* * */
    int32_t channels;                   /* * of a pixel; a group makes `count` of them */
    int32_t count;
    int32_t all;    /* whether all weights of a group are there at once */
    int32_t words;  /* of a pair of pixels, and of the weights of a pair of channels */
    int32_t depth;  /* products of an output */
    int32_t length; /* bytes of a row: of runs of neighbouring bytes in a window */
    int32_t pieces; /* rows of a window */
    int32_t apart;  /* whether they are taps: those lie apart, and are whole words */
    int32_t rests;  /* where, in a pair's words, what rows leave over is put together */
    int32_t width;  /* * of the output */
    int32_t x;      /* the next pixel */
    int32_t y;
    int32_t inner; /* windows of columns inner <= x < outer hang over no side border */
    int32_t outer;
    int32_t whole;  /* whether the image's rows lie one behind the other */
    int32_t beside; /* whether what is beside windows may be read: other rows */
    int32_t reach;  /* rows from a window's first to its last */
    int32_t first; /* of the rows of windows of row y, those that are in the image */
    int32_t last;
    const int8_t *row; /* column 0 of the first of them, and how many are `row_step` apart */
    int32_t row_count;
    int32_t row_step;
    uint32_t *inputs; /* of a block */
    uint32_t *weights;
    int8_t *staging; /* for two windows */
    int32_t narrow;  /* whether outputs must be clamped */
    cmsis_nn_dims kernel; /* * */
    cmsis_nn_dims input;  /* * */
    tflm_opt_gemm_rows rows;    /* of windows */
    tflm_opt_gemm_rows filters; /* the same of filters */
    tflm_opt_gemm_tiles tiles;
    tflm_opt_gemm_alone alone;
    const tflm_opt_lines *lines; /* * */
    int32_t group;               /* the first channel of a group's inputs */
    const int8_t *filter;        /* * these of the first channel, and then of each group's */
    int32_t filter_step;         /* from the first of a pair of filters to the second */
    tflm_opt_gemm_form form;
    int32_t block;      /* pixels */
    int32_t staged;     /* * whether windows may have to be gathered */
    tflm_opt_span span; /* * */
    const int32_t *packed; /* * weights of 4 bits (tflm_opt_convolve_s4), or NULL */
    int8_t *unpacked;      /* * of these, room for a pair of filters; NULL where none is needed */
} tflm_opt_gemm;

TFLM_OPT_INLINE void tflm_opt_set_gemm(tflm_opt_gemm *gemm,
                                       const cmsis_nn_conv_params *params,
                                       const cmsis_nn_per_channel_quant_params *quant,
                                       const int8_t *filter,
                                       const int32_t *bias,
                                       const cmsis_nn_dims *output_dims,
                                       int8_t *output)
{
    gemm->params = params;
    gemm->filter = filter;
    gemm->packed = NULL;
    gemm->form.bias = bias;
    gemm->form.multiplier = quant->multiplier;
    gemm->form.shift = quant->shift;
    gemm->width = output_dims->w;
    gemm->channels = output_dims->c;
    gemm->output = output;
}

/* A pointwise convolution of `count` pixels as one of windows, all in one row. */
TFLM_OPT_INLINE void tflm_opt_set_gemm_row(tflm_opt_gemm *gemm, int32_t count, int32_t depth)
{
    const cmsis_nn_dims input = {1, 1, count, depth};
    const cmsis_nn_dims kernel = {1, 1, 1, depth};
    gemm->input = input;
    gemm->kernel = kernel;
    gemm->width = count;
    gemm->span.count = count;
    gemm->staged = 0;
}

/*
 * Where a pair of filters of 4 bits is as bytes, or NULL where it was spread out to `weights`. A weak
 * symbol where it is called, so that nothing of it is linked to models without such weights.
 */
const int8_t *tflm_opt_unpack_pair_s4(const tflm_opt_gemm *gemm,
                                      int32_t channel,
                                      uint32_t *weights);

/*
 * The outputs of a call. ARM_CMSIS_NN_ARG_ERROR, and nothing is written, where there is no scratch, or
 * too little, or it is not aligned.
 */
arm_cmsis_nn_status tflm_opt_gemm_s8(tflm_opt_gemm *gemm, const cmsis_nn_context *ctx);

/* The same for images that follow each other, of which each is a span of all its pixels. */
arm_cmsis_nn_status tflm_opt_gemm_images_s8(tflm_opt_gemm *gemm,
                                            const cmsis_nn_context *ctx,
                                            const int8_t *image,
                                            int32_t images);

/* To the row of pixel gemm->x, gemm->y. */
void tflm_opt_gemm_row(tflm_opt_gemm *gemm);

/*
 * The next windows of up to `pixels`, spread out pair by pair from `target` on; how many they are, an
 * odd number only at the end. Where all weights are there, outputs are made of each pair.
 */
int32_t tflm_opt_gemm_windows(tflm_opt_gemm *gemm, uint32_t *target, int32_t pixels);

/* Clamps outputs of neighbouring pixels to what is narrower than int8. */
void tflm_opt_gemm_clamp(const tflm_opt_gemm *gemm, int8_t *output, int32_t pixels);

#ifdef __cplusplus
}
#endif

#endif /* TFLM_OPT_GEMM_H */
