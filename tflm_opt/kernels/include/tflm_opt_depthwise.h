/*
 * Depthwise convolutions on cores with the DSP extension: not part of the public interface, and of
 * use on other cores only for what it says about scratch.
 *
 * Four channels at a time. Of the input rows that a band of output rows reads, each channel gets
 * words in scratch of two values one above the other, borders filled with zeros, and of the filter
 * words of two taps one above the other. A window of three rows takes two pairs of them; windows that
 * begin with the lower row of a pair have words of taps of their own:
 *
 *     even rows:   (row 0, row 1) . (w0, w1)  +  (row 2, row 3) . (w2, 0)
 *     odd rows:    (row 0, row 1) . (0, w0)   +  (row 2, row 3) . (w1, w2)
 *
 * two products an instruction but for the odd one out. Several outputs are made at once, so that
 * words and taps are loaded once for all of them. The input's offset is part of its words.
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

#define TFLM_OPT_DEPTHWISE_TAPS 7    /* rows and columns of the largest filter */
#define TFLM_OPT_DEPTHWISE_DIRECT 16 /* rows of the largest filter that needs no scratch */

#define TFLM_OPT_DEPTHWISE_TOOLS 248 /* bytes of what the assembly is told */

/* A filter, its steps, and what follows from them. */
typedef struct {
    int32_t height;   /* taps down */
    int32_t stride_h; /* input rows from one output row to the next */
    int32_t stride_w; /* 1 or 2 */
    int32_t width;    /* taps across, 3, 5 or 7; those that aren't there are 0 */
    int32_t code;     /* 2 * stride_w, 1 more for a width of 7; for 3x3, stride_w - 1 */
    int32_t pairs;    /* of rows that a window has that begins with the upper row of one */
    int32_t tap_rows; /* rows of words of taps: those pairs', and those of windows one row lower */
} tflm_opt_depthwise_shape;

/*
 * 3x3 with strides of 1 and 2, codes 0 and 1: two rows and two columns of outputs are made at once.
 * Others make four columns.
 */
TFLM_OPT_INLINE int32_t tflm_opt_depthwise_is_paired(const tflm_opt_depthwise_shape *shape)
{
    return shape->code <= 1;
}

void tflm_opt_depthwise_set_shape(const cmsis_nn_dims *filter,
                                  int32_t stride_h,
                                  int32_t stride_w,
                                  tflm_opt_depthwise_shape *shape) TFLM_OPT_SMALL;

/* Words of a row of pairs that `columns` neighbouring outputs take. */
int32_t tflm_opt_depthwise_row_words(const tflm_opt_depthwise_shape *shape,
                                     int32_t columns) TFLM_OPT_SMALL;

/* Pairs of input rows that `rows` output rows read. */
int32_t tflm_opt_depthwise_pairs(const tflm_opt_depthwise_shape *shape,
                                 int32_t rows) TFLM_OPT_SMALL;

/* Words of taps, bias and scale of a channel. */
TFLM_OPT_INLINE int32_t tflm_opt_depthwise_record_words(const tflm_opt_depthwise_shape *shape)
{
    return shape->tap_rows * shape->width + 7;
}

/*
 * Bytes of scratch for bands of `rows` output rows, `columns` wide: records and words of four
 * channels, where all rows are, and what the assembly is told.
 *
 *     16 * (tap_rows * width + 7 + pairs * row_words) + 12 * (pairs + tap_rows + rows) + 248
 */
int32_t tflm_opt_depthwise_scratch(const tflm_opt_depthwise_shape *shape,
                                   int32_t rows,
                                   int32_t columns) TFLM_OPT_SMALL;

/* Whether a band has enough outputs to make up for the words of taps: measured. */
TFLM_OPT_INLINE int32_t tflm_opt_depthwise_is_worth_it(int32_t columns, int32_t rows)
{
    return columns * rows >= 10;
}

/*
 * What both entry points ask for: bands of four rows as wide as the input, whatever the strides; 0 for
 * filters that words don't serve. It is a size to start from: any other will do that has room for
 * one row of one group of columns.
 */
int32_t tflm_opt_depthwise_buffer_size(const cmsis_nn_dims *input,
                                       const cmsis_nn_dims *filter) TFLM_OPT_SMALL;

/* ---- calls and bands ---- */

/* One call of a kernel that may work in scratch. */
typedef struct {
    const cmsis_nn_dw_conv_params *params;
    const cmsis_nn_per_channel_quant_params *quant;
    const cmsis_nn_dims *input;
    const cmsis_nn_dims *filter;
    const int8_t *filter_data;
    const int32_t *bias; /* or NULL */
    int32_t is_plain;    /* one output a channel, four channels at least, no window without a value */
    int32_t directly;    /* that, and all channels have a long form */
    tflm_opt_depthwise_shape shape;
    int32_t *scratch;
    int32_t size;     /* bytes of it, enough for a row of one group */
    int32_t rows;     /* of a band that it has room for, no more than are asked for */
    int32_t in_words; /* whether tflm_opt_depthwise_band_s8 serves the call */
    int32_t set[3];   /* what scratch is set up for: rows, columns, the first input column; 0 rows */
    int32_t step;     /* from one pixel to the next, of inputs and outputs */
    cmsis_nn_tile origin; /* where row 0 and column 0 are in the input, and */
    cmsis_nn_tile apart;  /* from one to the next: other than 0 and 1 where windows have gaps */
} tflm_opt_depthwise_call;

/* A call of a convolution that is known to be plain, and whose channels all have a long form. */
TFLM_OPT_INLINE void tflm_opt_depthwise_set_call(const cmsis_nn_dw_conv_params *params,
                                                 const cmsis_nn_per_channel_quant_params *quant,
                                                 const cmsis_nn_dims *input,
                                                 const cmsis_nn_dims *filter,
                                                 const int8_t *filter_data,
                                                 const int32_t *bias,
                                                 tflm_opt_depthwise_call *call)
{
    call->params = params;
    call->quant = quant;
    call->input = input;
    call->filter = filter;
    call->filter_data = filter_data;
    call->bias = bias;
    call->is_plain = 1;
    call->directly = 1;
}

/* Rows y to y + rows of the output, from column x on. */
typedef struct {
    int32_t y;
    int32_t rows;
    int32_t x;
    int32_t columns;
} tflm_opt_depthwise_band;

/* Finds out whether a call is, of which `is_plain` and `directly` are 1. */
void tflm_opt_depthwise_check(tflm_opt_depthwise_call *call,
                              const cmsis_nn_dims *output) TFLM_OPT_SMALL;

/*
 * Begins a call of which all before `shape` is set, for so many columns and rows of an output.
 * ARM_CMSIS_NN_ARG_ERROR for scratch that is too small.
 */
arm_cmsis_nn_status tflm_opt_depthwise_start_s8(const cmsis_nn_context *ctx,
                                                int32_t columns,
                                                int32_t rows,
                                                tflm_opt_depthwise_call *call) TFLM_OPT_SMALL;

/* A call that is begun, and is in words or directly. */
void tflm_opt_depthwise_image_s8(tflm_opt_depthwise_call *call,
                                 const int8_t *input,
                                 const cmsis_nn_dims *output_dims,
                                 int8_t *output) TFLM_OPT_SMALL;

/*
 * Some of the first rows of a band for which there is scratch; how many. `output` is where the
 * band's first pixel goes, `output_row` leads from one row to the next.
 */
int32_t tflm_opt_depthwise_band_s8(tflm_opt_depthwise_call *call,
                                   const tflm_opt_lines *lines,
                                   const tflm_opt_depthwise_band *band,
                                   int8_t *output,
                                   int32_t output_row) TFLM_OPT_SMALL;

/* A span without scratch, in blocks of one output element. */
void tflm_opt_depthwise_direct_s8(const tflm_opt_depthwise_call *call,
                                  const tflm_opt_lines *lines,
                                  const tflm_opt_span *span,
                                  int8_t *output) TFLM_OPT_SMALL;

/* Some of the first rows of a band of a call that is in words or directly, one at least; how many. */
TFLM_OPT_INLINE int32_t tflm_opt_depthwise_some_s8(tflm_opt_depthwise_call *call,
                                                   const tflm_opt_lines *lines,
                                                   const tflm_opt_depthwise_band *band,
                                                   int8_t *output,
                                                   int32_t output_row)
{
    tflm_opt_span span;
    if (call->in_words) {
        return tflm_opt_depthwise_band_s8(call, lines, band, output, output_row);
    }
    span.y = band->y;
    span.x = band->x;
    span.count = band->columns;
    tflm_opt_depthwise_direct_s8(call, lines, &span, output);
    return 1;
}

/*
 * Windows with gaps (dilation), steps of one: outputs whose rows and columns leave the same rest when
 * divided by the gaps read only every so many-th row and column of the input, a phase, and are a
 * convolution of it without gaps.
 */
typedef struct {
    tflm_opt_depthwise_call call; /* of one phase at a time */
    cmsis_nn_dw_conv_params params;
    cmsis_nn_dims input;
} tflm_opt_depthwise_phases;

/* Begins a checked call, of so many columns and rows, by phases; 0 if it is not to be so. */
int32_t tflm_opt_depthwise_set_phases(const cmsis_nn_context *ctx,
                                      const tflm_opt_depthwise_call *call,
                                      int32_t columns,
                                      int32_t rows,
                                      tflm_opt_depthwise_phases *phases) TFLM_OPT_SMALL;

/* Some of the first rows of a band by all phases, one block; how many. As tflm_opt_depthwise_band_s8. */
int32_t tflm_opt_depthwise_dilated_s8(const tflm_opt_depthwise_call *call,
                                      tflm_opt_depthwise_phases *phases,
                                      const tflm_opt_lines *lines,
                                      const tflm_opt_depthwise_band *band,
                                      int8_t *output,
                                      int32_t output_row) TFLM_OPT_SMALL;

/*
 * Any depthwise convolution, without scratch, in blocks of one output element: what the fast
 * kernels leave to it.
 */
void tflm_opt_depthwise_any_s8(const tflm_opt_depthwise_call *call,
                               const tflm_opt_lines *lines,
                               const tflm_opt_span *span,
                               int8_t *output);

/* Pixel x of row y of the input, or of a phase of it; both are inside. */
const int8_t *tflm_opt_depthwise_pixel_of(const tflm_opt_depthwise_call *call,
                                          const tflm_opt_lines *lines,
                                          int32_t y,
                                          int32_t x) TFLM_OPT_SMALL;

/* ---- cores: assembly, which knows where the fields of these records are ---- */

/* A pair of rows: where the upper one begins, 4 if that is missing or 6 if the lower one is. */
typedef struct {
    const int8_t *upper;
    int32_t missing;
    int32_t to_lower; /* 0 if either is missing: both are then the one that is there */
} tflm_opt_depthwise_pair;

/*
 * Words of values one above the other, of four channels, or of taps times 2^8, for pairs of rows; 0
 * for what is missing. Fields that change hold what is left.
 */
typedef struct {
    const tflm_opt_depthwise_pair *pairs; /* changes */
    int32_t left;                         /* of them; changes */
    int32_t row_bytes;                    /* of a row of words */
    int32_t channel;                      /* the first one of four */
    int32_t step;                         /* from one value of a row to the next */
    uint32_t constant;                    /* the input's offset twice; 0xFF00FF00 says taps */
    uint32_t *words;
    int32_t plane; /* bytes from one channel's words to the next */
    int32_t skip;  /* bytes from behind a row of words to the next */
} tflm_opt_depthwise_words;

void tflm_opt_depthwise_words_s8(tflm_opt_depthwise_words *words);

/* The same of taps of a 3x3 filter, in fewer instructions; `skip` makes three columns. */
void tflm_opt_depthwise_nine_s8(const tflm_opt_depthwise_words *taps);

/*
 * How a channel's sums become outputs; sums are in units of 2^-8. In short form, where `shift` is not
 * 0, as tflm_opt_dsp.h says, with a constant and a shift right:
 *
 *     output = ssat8(smmla(sum, multiplier, constant) >> shift)
 *
 * In long form, where only that is 0, by TFLM's roundings: with -2^(32 - e) for a constant, of a shift
 * right by e,
 *
 *     h = smmulr(sum >> 7, multiplier)                         = round(a * multiplier / 2^31)
 *     output = ssat8(smmlsr(h + (h >> 31), constant, offset))  = offset + round(h / 2^e)
 *
 * Where both are 0, `multiplier` is the channel's number and tflm_opt_depthwise_odd_s8 makes outputs.
 */
typedef struct {
    int32_t multiplier;
    int32_t constant;
    int32_t shift;
} tflm_opt_depthwise_form;

/* Sets the biases and forms of four channels' records. */
typedef struct {
    const int32_t *bias; /* of the first channel */
    const int32_t *multiplier;
    const int32_t *shift;
    int32_t output_factor; /* 2 * output_offset + 1 */
    int32_t *records;
    int32_t size; /* of a record, in bytes */
    int32_t output_offset;
    int32_t most;        /* of a bias's absolute value */
    int32_t short_right; /* shifts of the short form, at most */
    int32_t channel;     /* the first one */
} tflm_opt_depthwise_forms;

void tflm_opt_depthwise_forms_s8(const tflm_opt_depthwise_forms *forms);

/* Where taps begin and end in a record, and a row's words in a channel's, in bytes. */
typedef struct {
    int32_t taps;
    int32_t taps_end;
    int32_t words;
} tflm_opt_depthwise_place;

/* What is left over from whole groups: nothing, a group that goes back, one or two columns. */
#define TFLM_OPT_DEPTHWISE_BACK 1
#define TFLM_OPT_DEPTHWISE_SINGLE 2 /* 1 more for 7 columns of taps */
#define TFLM_OPT_DEPTHWISE_TWO 4    /* the same, and 2 more for a stride of 2 */

/* Where a row begins, 2 more for a stride of 2: with a square, for want of one with a column. */
#define TFLM_OPT_DEPTHWISE_SQUARE 0
#define TFLM_OPT_DEPTHWISE_COLUMN 1
#define TFLM_OPT_DEPTHWISE_NO_ROWS 4 /* there are no two rows to make at once */

/* What is left over from two rows at once: nothing, the last row, of these, or first and last. */
#define TFLM_OPT_DEPTHWISE_HALF 1 /* the second pair of its rows is outside of the input */
#define TFLM_OPT_DEPTHWISE_BY_2 2 /* the stride is 2 */
#define TFLM_OPT_DEPTHWISE_LAST 4
#define TFLM_OPT_DEPTHWISE_WRAPPED 12

/*
 * Output rows of `count` channels of a 3x3 filter, from words; a record of a channel holds its bias
 * times 2^8 four times, taps, and a form.
 *
 * Where the output is as high as the input, of an even number of rows, its pairs begin with row 0:
 * between the first row of the output and the last, squares are whole. Those two, which each have
 * but one pair of rows to read, make the last squares, with the last row as the upper one.
 */
typedef struct {
    int32_t step;       /* from one pixel to the next */
    int32_t output_row; /* from one row to the next */
    int32_t pitch;      /* bytes of a pair's words */
    int32_t two_pairs;  /* of two pairs' */
    int32_t last_column; /* 1 if a row has a column more than whole squares */
    int32_t words_skip;  /* in bytes, from the end of whole squares of two rows to the next two */
    int32_t enter;       /* TFLM_OPT_DEPTHWISE_SQUARE, ... */
    int32_t output_skip; /* as words_skip */
    int32_t left;        /* the core's */
    int32_t whole;       /* bytes of words of all whole squares of a row */
    int32_t two_rows;    /* how many times two rows */
    int8_t *output;      /* of the first channel */
    const uint32_t *words;
    const int32_t *taps; /* of the first channel, the second three words */
    int32_t count;
    int32_t plane;       /* bytes from one channel's words to the next */
    int32_t size;        /* of a record, in bytes */
    int32_t rest;        /* TFLM_OPT_DEPTHWISE_HALF, ... */
    int32_t two_columns; /* bytes of their words */
    const tflm_opt_depthwise_call *call;
    int32_t output_offset;
    int32_t wrapped_words;  /* in bytes, from the last pair to the first */
    int32_t wrapped_output; /* from the last row to the first */
} tflm_opt_depthwise_squares;

void tflm_opt_depthwise_squares_s8(const tflm_opt_depthwise_squares *squares);

/*
 * As before of other filters, in groups of four columns. Fields without a word about them belong to
 * the core.
 */
typedef struct {
    const uint32_t *words;
    int8_t *output;
    const uint32_t *words_end;
    int32_t distance[3]; /* of a group's other outputs from the first; 0 if they aren't there */
    int32_t output_step; /* to the next group */
    int32_t words_step;  /* to the next group's, in bytes */
    uint16_t code;       /* the shape's less 2 */
    uint16_t last;        /* TFLM_OPT_DEPTHWISE_..., or 0 */
    int32_t output_offset;
    const int32_t *taps;
    int32_t skip; /* to the next pair's words, in bytes, from where the code has come to */
    const int32_t *taps_end;
    const int32_t *record; /* of the first channel */
    int32_t is_back;       /* 0 */
    const tflm_opt_depthwise_place *places; /* of `rows` rows */
    int32_t whole;                          /* bytes of words of all whole groups of a row */
    const uint32_t *channel_words;          /* of the first channel */
    int8_t *row_output;                     /* where the first channel's first output goes */
    const int32_t *form;                    /* the first channel's tflm_opt_depthwise_form */
    int32_t rows_left;                      /* rows */
    int32_t output_row;                     /* from one row to the next */
    int8_t *channel_output;                 /* row_output */
    int32_t count;
    int32_t plane; /* bytes from one channel's words to the next */
    const tflm_opt_depthwise_call *call;
    int32_t back_words;  /* how far a group goes back, in bytes, */
    int32_t back_output; /* and in outputs */
    int32_t two;         /* from the first of two columns to the second, 0 for one */
    int32_t size;        /* of a record, in bytes */
    const tflm_opt_depthwise_place *all_places; /* places */
    int32_t rows;
} tflm_opt_depthwise_rows;

void tflm_opt_depthwise_rows_s8(const tflm_opt_depthwise_rows *rows);

/* Makes outputs of four sums of a channel, in place; sums are in units of 2^-8, without the bias. */
void tflm_opt_depthwise_odd_s8(int32_t *sums,
                               int32_t channel,
                               const tflm_opt_depthwise_call *call) TFLM_OPT_SMALL;

/*
 * The same by the long form, where the channel has one. Only assembly can call it: sums are in r0 to
 * r3, the form's multiplier and constant in r4 and r5, the call in r6, which changes, as lr does.
 */
void tflm_opt_depthwise_long_s8(void);

/*
 * One pixel's channels, four by four, straight from the input: taps of the window that lie inside.
 * Outputs are made in long form (tflm_opt_depthwise_form). The record is used up.
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
    int32_t input_step;    /* from one tap of a row to the next */
    const int32_t *distances; /* from the first row to each other one, then 0 */
    int32_t columns;
    int32_t taps_row; /* from one row of taps to the next */
    int32_t output_offset;
    int32_t bias_step; /* from one group to the next in bytes, 0 to have the same for all */
    int32_t tap_step;  /* as input_step, in the filter */
    int32_t few;       /* 3 for three columns, 4 for two, 0 for others or where steps differ */
} tflm_opt_depthwise_pixel;

void tflm_opt_depthwise_taps_s8(tflm_opt_depthwise_pixel *pixel);

#ifdef __cplusplus
}
#endif

#endif /* TFLM_OPT_DEPTHWISE_H */
