/*
 * Depthwise convolutions on cores with the DSP extension: not part of the public interface, and of
 * use on other cores only for what it says about scratch.
 *
 * Four channels at a time. Of the input rows that a band of output rows reads, each channel gets
 * words of two neighbouring values in scratch, borders filled with the zero point, and of the
 * filter's rows words of two neighbouring taps. With E(i) the word of columns 2i and 2i + 1, and
 * w01 that of taps 0 and 1, a row of a window of three columns adds
 *
 *     even outputs:   E(i).low w0 + E(i).high w1 + E(i + 1).low w2    = E(i) w01 + E(i + 1).low w2
 *     odd outputs:    E(i).high w0 + E(i + 1).low w1 + E(i + 1).high w2
 *
 * two products an instruction but for the odd one out. Several outputs are made at once, so that
 * words and taps are loaded once for all of them. The input's offset is part of the bias.
 *
 * A band is the block that is promised to whoever lays an output over an input: its outputs are
 * written in any order, some before its last inputs are read.
 */
#ifndef TFLM_OPT_DEPTHWISE_H
#define TFLM_OPT_DEPTHWISE_H

#include "tflm_opt_lines.h"
#include "tflm_opt_math.h"
#include "tflm_opt_types.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TFLM_OPT_DEPTHWISE_TAPS 7        /* rows and columns of the largest filter */
#define TFLM_OPT_DEPTHWISE_DIRECT 16     /* rows of the largest filter that needs no scratch */
#define TFLM_OPT_DEPTHWISE_COLUMNS 65532 /* outputs of a row that are made in one go, at most */

/* A filter, its steps, and what follows from them. */
typedef struct {
    int32_t height;    /* taps down */
    int32_t stride_h;  /* input rows from one output row to the next */
    int32_t stride_w;  /* 1 or 2 */
    int32_t width;     /* taps across, as many as down, 3, 5 or 7; those that aren't there are 0 */
    int32_t tap_words; /* words of a row of taps */
    int32_t reach;     /* words of an input row that four outputs read */
} tflm_opt_depthwise_shape;

TFLM_OPT_INLINE tflm_opt_depthwise_shape tflm_opt_depthwise_shape_of(int32_t height,
                                                                     int32_t width,
                                                                     int32_t stride_h,
                                                                     int32_t stride_w)
{
    tflm_opt_depthwise_shape shape;
    shape.height = height;
    shape.stride_h = stride_h;
    shape.stride_w = stride_w;
    shape.width = tflm_opt_max(tflm_opt_max(width, height) | 1, 3);
    if (stride_w == 1) {
        shape.tap_words = shape.width - 1;
        shape.reach = (shape.width + 3) / 2;
    } else {
        shape.tap_words = (shape.width + 1) / 2;
        shape.reach = (shape.width + 7) / 2;
    }
    return shape;
}

/* Words of an input row that `columns` neighbouring outputs read, rounded up to fours of them. */
TFLM_OPT_INLINE int32_t tflm_opt_depthwise_row_words(const tflm_opt_depthwise_shape *shape,
                                                     int32_t columns)
{
    return (columns + 3) / 4 * 2 * shape->stride_w - 2 * shape->stride_w + shape->reach;
}

/* Words of taps, bias and scale of a channel. */
TFLM_OPT_INLINE int32_t tflm_opt_depthwise_record_words(const tflm_opt_depthwise_shape *shape)
{
    return shape->height * shape->tap_words + 7;
}

/*
 * Bytes of scratch for bands of `rows` output rows, `columns` wide: four channels' words.
 *
 *     16 * (height * tap_words + 7) + 16 * ((rows - 1) * stride_h + height) * row_words
 */
TFLM_OPT_INLINE int32_t tflm_opt_depthwise_scratch(const tflm_opt_depthwise_shape *shape,
                                                   int32_t rows,
                                                   int32_t columns)
{
    const int32_t input_rows = (rows - 1) * shape->stride_h + shape->height;
    return 16 * (tflm_opt_depthwise_record_words(shape) +
                 input_rows * tflm_opt_depthwise_row_words(shape, columns));
}

/* Rows of a band with so much scratch: the most that the formula above allows, but one at least. */
TFLM_OPT_INLINE int32_t tflm_opt_depthwise_rows_in(const tflm_opt_depthwise_shape *shape,
                                                   int32_t size,
                                                   int32_t columns)
{
    const int32_t words = size / 16 - tflm_opt_depthwise_record_words(shape);
    const int32_t input_rows = words / tflm_opt_depthwise_row_words(shape, columns);
    if (input_rows < shape->height + shape->stride_h) {
        return 1;
    }
    return 1 + (input_rows - shape->height) / shape->stride_h;
}

/* Whether a band has enough outputs to make up for the words of taps: measured. */
TFLM_OPT_INLINE int32_t tflm_opt_depthwise_is_worth_it(const tflm_opt_depthwise_shape *shape,
                                                       int32_t columns,
                                                       int32_t rows)
{
    const int32_t is_cheap = shape->width == 3 && shape->stride_w == 1 && columns > 3;
    return columns * rows >= (is_cheap ? 7 : 10);
}

/*
 * What both entry points ask for: bands of two rows as wide as the input, whatever the strides; 0 for
 * filters that words don't serve. It is a size to start from: any other will do that has room for
 * one row of four columns.
 */
TFLM_OPT_INLINE int32_t tflm_opt_depthwise_buffer_size(const cmsis_nn_dims *input,
                                                       const cmsis_nn_dims *filter)
{
    const tflm_opt_depthwise_shape one = tflm_opt_depthwise_shape_of(filter->h, filter->w, 1, 1);
    const tflm_opt_depthwise_shape two = tflm_opt_depthwise_shape_of(filter->h, filter->w, 2, 2);
    if (filter->h > TFLM_OPT_DEPTHWISE_TAPS || filter->w > TFLM_OPT_DEPTHWISE_TAPS ||
        filter->c != input->c || input->c < 4) {
        return 0;
    }
    return tflm_opt_max(tflm_opt_depthwise_scratch(&one, 2, input->w),
                        tflm_opt_depthwise_scratch(&two, 2, (input->w + 1) / 2));
}

/* ---- calls and bands ---- */

/*
 * Shifts right of the short form, at most. One more than tflm_opt_set_short takes: with sums below
 * 2^23, products add less than 2^30 to a constant of 2^30 or little more.
 */
#define TFLM_OPT_DEPTHWISE_RIGHT 16

#define TFLM_OPT_DEPTHWISE_ODD 4 /* channels without it that are remembered */

/* One call of a kernel that may work in scratch. */
typedef struct {
    const cmsis_nn_dw_conv_params *params;
    const cmsis_nn_per_channel_quant_params *quant;
    const cmsis_nn_dims *input;
    const cmsis_nn_dims *filter;
    const int8_t *filter_data;
    const int32_t *bias; /* or NULL */
    tflm_opt_depthwise_shape shape;
    int32_t *scratch;
    int32_t size;     /* bytes of it, enough for a row of 4 columns */
    int32_t rows;     /* of a band that it has room for, no more than are asked for */
    int32_t in_words; /* whether tflm_opt_depthwise_band_s8 serves the call */
    int32_t directly; /* whether tflm_opt_depthwise_direct_s8 does, if its windows do */
    int32_t all_short; /* 1 if all channels have a short form, -1 if not, 0 if nobody has looked */
    int32_t odd[TFLM_OPT_DEPTHWISE_ODD]; /* then: the first without, or the number of channels */
} tflm_opt_depthwise_call;

/* Rows y to y + rows of the output, from column x on. */
typedef struct {
    int32_t y;
    int32_t rows;
    int32_t x;
    int32_t columns;
} tflm_opt_depthwise_band;

/*
 * Begins a call of which all before `shape` is set, for so many columns and rows of an output.
 * ARM_CMSIS_NN_ARG_ERROR for wrong dims and for scratch that is too small.
 */
arm_cmsis_nn_status tflm_opt_depthwise_start_s8(const cmsis_nn_context *ctx,
                                                const cmsis_nn_dims *output,
                                                int32_t columns,
                                                int32_t rows,
                                                tflm_opt_depthwise_call *call) TFLM_OPT_SMALL;

/*
 * Some of the first rows of a band for which there is scratch; how many. `output` is where the
 * band's first pixel goes, `output_row` leads from one row to the next. Channels without a short
 * form are made with the others and once more one by one.
 */
int32_t tflm_opt_depthwise_band_s8(const tflm_opt_depthwise_call *call,
                                   const tflm_opt_lines *lines,
                                   const tflm_opt_depthwise_band *band,
                                   int8_t *output,
                                   int32_t output_row) TFLM_OPT_SMALL;

/*
 * A span without scratch, in blocks of one output element. 0, and nothing is written, if one of its
 * windows holds no value.
 */
int32_t tflm_opt_depthwise_direct_s8(tflm_opt_depthwise_call *call,
                                     const tflm_opt_lines *lines,
                                     const tflm_opt_span *span,
                                     int8_t *output) TFLM_OPT_SMALL;

/* tflm_opt_set_rows: where `count` rows from row y on are, that are inside as column x is. */
void tflm_opt_depthwise_find_rows(const tflm_opt_depthwise_call *call,
                                  const tflm_opt_lines *lines,
                                  int32_t y,
                                  int32_t count,
                                  int32_t x,
                                  tflm_opt_window_rows *rows) TFLM_OPT_SMALL;

/*
 * Channels first to first + count of a span, one by one: any depthwise convolution, without
 * scratch, in blocks of one output element. What the fast kernels leave to it; slow and small.
 * `output` is where channel `first` of the span's first pixel goes. `first` is 0 with more than
 * one output a channel.
 */
void tflm_opt_depthwise_any_s8(const tflm_opt_depthwise_call *call,
                               const tflm_opt_lines *lines,
                               const tflm_opt_span *span,
                               int32_t first,
                               int32_t count,
                               int8_t *output) TFLM_OPT_SMALL;

/* ---- cores: assembly, which knows where the fields of these records are ---- */

/*
 * What scratch holds of four channels: the bias four times, `rows` rows of words of taps, multiplier,
 * constant, shift, in `size` bytes a channel.
 */
typedef struct {
    const int32_t *bias;
    const int32_t *multiplier;
    const int32_t *shift;
    uint32_t input_offset; /* twice in a word */
    int32_t output_factor; /* 2 * output_offset + 1 */
    int32_t most;          /* of a bias's absolute value */
    int32_t *records;
    int32_t rows;
    int32_t size;
    int32_t bias_step;  /* in bytes, 0 to have the same for all */
    const int8_t *taps; /* NULL if their words are there already */
    int32_t tap_step;   /* from one to the next of a row */
    int32_t kind;       /* 0, 1, 2: width 3, 5, 7; 3, 4, 5: with stride 2 */
    int32_t row_bytes;  /* of the words of a row of taps */
    int32_t tap_skip;   /* from a row's last tap to the next row's first */
} tflm_opt_depthwise_records;

/*
 * Fills them. 0, or in bits 3 to 0 which of the first to the last channel have no short form: what
 * their records make is of no use.
 */
int32_t tflm_opt_depthwise_records_s8(const tflm_opt_depthwise_records *records);

/*
 * Words of neighbouring values for four channels: `rows` times `pairs` words a channel, one more
 * before them if `first` (the zero point, the first value), one more behind if `last` (the last
 * value, the zero point).
 */
typedef struct {
    const int8_t *source;
    int32_t channels; /* of the source: from one value to the next */
    uint32_t *words;
    int32_t plane; /* bytes from one channel's words to the next */
    int32_t first;
    int32_t pairs;
    int32_t last;
    uint32_t zero;       /* the zero point four times */
    int32_t source_skip; /* from behind a row's last value to the next row */
    int32_t words_skip;  /* from behind its last word, in bytes */
    int32_t rows;
} tflm_opt_depthwise_words;

void tflm_opt_depthwise_words_s8(const tflm_opt_depthwise_words *words);

/* Words of values one above the other, of two rows. One row may be four bytes that repeat: step 0. */
typedef struct {
    const int8_t *upper;
    int32_t upper_step;
    const int8_t *lower;
    int32_t lower_step;
    int32_t columns;
    uint32_t *words;
    int32_t plane;
    int32_t step; /* bytes from one word to the next */
} tflm_opt_depthwise_two;

void tflm_opt_depthwise_two_s8(const tflm_opt_depthwise_two *two);

/* The same of four rows, two words side by side, those of the next column after 8, 12 or 20 bytes. */
typedef struct {
    int32_t source_row;
    const int8_t *source;
    int32_t channels;
    uint32_t *words;
    int32_t plane;
    int32_t columns;
} tflm_opt_depthwise_four;

void tflm_opt_depthwise_four_s8(const tflm_opt_depthwise_four *four, int32_t step);

/*
 * Output rows of four channels, from words. `state` belongs to the core. Addresses and steps are
 * those of the first row and channel; deltas are added after the last row of a channel.
 */
typedef struct {
    int32_t state0;
    int32_t channels; /* of the output: from one value to the next */
    int32_t state1;
    int32_t words_group; /* bytes of words from one group of columns to the next */
    int32_t state2;
    const int32_t *records; /* of the first channel */
    int32_t code;           /* as each core says */
    int32_t kink;           /* what is added to negative sums: -128 or 0 */
    int32_t words_step;     /* as each core says */
    int8_t *output;
    const uint32_t *words;
    int32_t output_row;
    int32_t words_row; /* bytes of words from one output row to the next */
    int32_t columns;   /* as each core says */
    int32_t rows;
    int32_t output_delta;
    int32_t words_delta;
    int32_t size;  /* of a record, in bytes */
    int32_t count; /* channels */
    int32_t all_rows;
} tflm_opt_depthwise_rows;

/*
 * Words lie row by row: words_step is from one to the next, less 24 for 7 taps at stride 2; columns
 * are all columns, less 65536 where there is a kink; code is where that of a row of taps begins, for
 * as many as there are.
 */
void tflm_opt_depthwise_rows_s8(const tflm_opt_depthwise_rows *rows);

/*
 * 3x3 with stride 1 alone, two rows and two columns at once, of words of values one above the
 * other that lie column by column. words_step is the bytes of all whole groups, columns those that
 * are left; with a kink, no group is whole. code is how many rows there are more than four; there
 * are two, four or eight.
 */
void tflm_opt_depthwise_2x2_s8(const tflm_opt_depthwise_rows *rows);

/*
 * One pixel's channels, four by four, straight from the input: taps of the window that lie inside.
 * The record is used up.
 */
typedef struct {
    const int8_t *source; /* of the first tap */
    const int8_t *taps;
    const int32_t *bias;
    const int32_t *multiplier;
    const int32_t *shift;
    int8_t *output;
    int32_t groups;
    uint32_t input_offset; /* twice in a word */
    int32_t channels;
    const int32_t *distances; /* from the first row to each other one, then 0 */
    int32_t columns;
    int32_t taps_row;      /* from one row of taps to the next */
    int32_t output_factor; /* 2 * output_offset + 1 */
    int32_t kink;          /* what is added to negative sums: -128 or 0 */
    int32_t bias_step;     /* from one group to the next in bytes, 0 to have the same for all */
} tflm_opt_depthwise_pixel;

void tflm_opt_depthwise_taps_s8(tflm_opt_depthwise_pixel *pixel);

#ifdef __cplusplus
}
#endif

#endif /* TFLM_OPT_DEPTHWISE_H */
