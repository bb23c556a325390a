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
 * and of a pair of channels the same with twice the weights. So 16 products are two loads of four
 * words and eight SMLAD. Inputs get their offset when they are spread out like that, at no cost, and
 * so padding is zeros. A pair of channels has its biases before its weights and the rest of its
 * forms behind them:
 *
 *     bias, bias | weights ... | multiplier, constant, shift, multiplier, constant, shift
 *
 * Pixels are made in blocks, in order. All inputs of a block are spread out before the first of its
 * outputs is written.
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
 * 4 * K4 + 32 bytes and a pair of pixels 4 * K4.
 *
 * All weights are spread out once a call, and blocks are 2 pixels, where
 *
 *     pairs of channels * (4 * K4 + 32) + 4 * K4 + staging <= size
 *
 * with K4 for staging where windows may have to be gathered, 0 for pointwise convolutions. Else it is
 * those of one pair of channels after the other, for each block again, and blocks are
 *
 *     2 * floor((size - (4 * K4 + 32)) / (4 * K4))   pixels;
 *
 * where that is 0, scratch is too little. Windows are gathered where the weights will be.
 */
typedef struct {
    int32_t all_weights; /* whether they are there all the time */
    int32_t block;       /* pixels; 0 where scratch is too little */
} tflm_opt_gemm_plan;

#define TFLM_OPT_GEMM_FORMS 32 /* bytes of a pair's short forms */

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
    if (size < (channels + 1) / 2 * weights + inputs + staging) {
        plan.all_weights = 0;
        plan.block = size < weights + inputs ? 0 : 2 * ((size - weights) / inputs);
    }
    return plan;
}

/* What _get_buffer_size functions say: blocks of 8 pixels. */
TFLM_OPT_INLINE int32_t tflm_opt_gemm_size(int32_t depth)
{
    return 20 * tflm_opt_gemm_round(depth) + TFLM_OPT_GEMM_FORMS;
}

/* A convolution as products: what its channels are, and how a window's values follow each other. */
typedef struct {
    const int8_t *filter;
    const int32_t *bias; /* or NULL */
    const int32_t *multiplier;
    const int32_t *shift;
    int32_t channels;
    int32_t input_offset;
    int32_t output_offset;
    cmsis_nn_activation activation;
    int32_t rows;    /* of a window: runs of neighbouring bytes, in the filter one behind the other */
    int32_t length;  /* bytes of a row */
    int32_t staging; /* bytes for windows that must be gathered */
} tflm_opt_gemm_problem;

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
    uint32_t offsets;   /* what inputs get added, twice */
    int32_t rest;       /* bytes of a row */
    int8_t *rests;      /* of the first of the pair; of the second, TFLM_OPT_GEMM_REST later */
    int32_t rest_words; /* 0 where more rows follow */
} tflm_opt_gemm_rows;

/* What the core works on; its assembly knows the order. */
typedef struct {
    const uint32_t *weights;
    const uint32_t *inputs;
    const uint32_t *fixed; /* weights or inputs: what all tiles share */
    int32_t second_pixel;  /* from the first pixel's output */
    int32_t count;         /* of channels, or where tiles share weights of pixels, less 1 */
    int8_t *output;
    int32_t second_channel; /* from the first channel's output */
    int32_t both;           /* second_pixel + second_channel */
    int32_t step;           /* from a tile's outputs to the next one's */
    uint32_t entry;         /* addresses of code */
    uint32_t next;
    const uint32_t *end; /* of what all tiles share, without parameters */
    uint32_t tail;
} tflm_opt_gemm_tiles;

/* What tiles share, their inputs or their weights; and whether negative sums are rounded apart. */
enum { TFLM_OPT_ALONG = 0, TFLM_OPT_ACROSS = 2, TFLM_OPT_KINK = 1 };

/* All tiles, where `back` is 0; their addresses of code are set for a depth of so many words. */
void tflm_opt_tiles_s8(tflm_opt_gemm_tiles *tiles, int32_t back);
void tflm_opt_set_tiles(tflm_opt_gemm_tiles *tiles, int32_t words, int32_t tail);

/*
 * Rows of a pair of windows, the second `second` bytes behind the first; of windows whose rows are of
 * nine bytes, as 3x3 ones of three channels have; of a pair of filters. The end of what was written.
 */
uint32_t *tflm_opt_spread_inputs_s8(uint32_t *target,
                                    const int8_t *first,
                                    ptrdiff_t second,
                                    const tflm_opt_gemm_rows *rows);
uint32_t *tflm_opt_spread_threes_s8(uint32_t *target,
                                    const int8_t *first,
                                    ptrdiff_t second,
                                    const tflm_opt_gemm_rows *rows);
uint32_t *tflm_opt_spread_weights_s8(uint32_t *target,
                                     const int8_t *first,
                                     ptrdiff_t second,
                                     const tflm_opt_gemm_rows *rows);

/* State of one call. */
typedef struct {
    const tflm_opt_gemm_problem *problem;
    tflm_opt_gemm_plan plan;
    int32_t depth;      /* products of an output */
    int32_t second;     /* whether there is more than one channel */
    int32_t last_pair;  /* the first channel of the last pair */
    int32_t words;      /* of a pair of pixels, and of the weights of a pair of channels */
    int32_t pair_words; /* of a pair of channels with its forms */
    int32_t rests;      /* where, in a pair's words, what rows leave over is put together */
    int32_t bias_limit; /* biases of short forms are from -bias_limit up to below it */
    uint32_t unit;      /* a constant before it is shifted left by an output's shift less 1 */
    int32_t all_short;  /* whether all weights that are there have short forms */
    int32_t narrow;     /* whether outputs must be clamped */
    int32_t threes;     /* whether rows are of 9 bytes */
    uint32_t *inputs;   /* of a block */
    uint32_t *weights;
    int8_t *staging;
    tflm_opt_gemm_rows input_rows;
    tflm_opt_gemm_rows filter_rows;
    tflm_opt_gemm_tiles along;  /* one pair of pixels meets all channels */
    tflm_opt_gemm_tiles across; /* one pair of channels meets a block of pixels */
} tflm_opt_gemm;

/*
 * Ready for blocks of gemm->plan.block pixels; ARM_CMSIS_NN_ARG_ERROR where `size` bytes are too few
 * or not aligned. `problem` must stay.
 */
arm_cmsis_nn_status tflm_opt_gemm_start(tflm_opt_gemm *gemm,
                                        const tflm_opt_gemm_problem *problem,
                                        void *scratch,
                                        int32_t size);

/*
 * Spread out a pair of windows whose rows lie as `runs` say, from `window` on; those of the second
 * one `second` bytes behind the first one's. `pair` counts from 0 in a block. Where no row leaves
 * anything over, `above` rows may be missing before the first run, and more behind the last one: they
 * are padding.
 */
void tflm_opt_gemm_inputs(tflm_opt_gemm *gemm,
                          int32_t pair,
                          const int8_t *window,
                          ptrdiff_t second,
                          const tflm_opt_run *runs,
                          int32_t above);

/*
 * The same for windows that were put together, the whole words of all their rows first, then what
 * rows leave over: where the first and the second of a pair may be put, and what spreads them out.
 */
int8_t *tflm_opt_gemm_place(const tflm_opt_gemm *gemm, int32_t second);
void tflm_opt_gemm_gathered(tflm_opt_gemm *gemm,
                            int32_t pair,
                            const int8_t *window,
                            ptrdiff_t second);

/*
 * The outputs of as many of `pixels` neighbouring windows, `step` bytes apart, as can be made at once
 * with no blocks in between: none where not all rows are in the first run.
 */
int32_t tflm_opt_gemm_windows(tflm_opt_gemm *gemm,
                              const int8_t *window,
                              ptrdiff_t step,
                              const tflm_opt_run *run,
                              int32_t pixels,
                              int8_t *output);

/* All of a pointwise convolution. */
void tflm_opt_gemm_pixels(tflm_opt_gemm *gemm, const int8_t *input, int32_t pixels, int8_t *output);

/* All outputs of a block: its windows are spread out, of an odd last pixel twice. */
void tflm_opt_gemm_s8(tflm_opt_gemm *gemm, int32_t pixels, int8_t *output);

#ifdef __cplusplus
}
#endif

#endif /* TFLM_OPT_GEMM_H */
