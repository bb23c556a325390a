/*
 * Depthwise convolutions on cores with the DSP extension: not part of the public interface, and
 * without functions on other cores.
 *
 * Four channels at a time. Of the input rows that a band of output rows reads, each channel gets
 * words of two neighbouring values in scratch, borders filled with the zero point, and of the
 * filter's rows words of two neighbouring taps. With E(i) the word of columns 2i and 2i + 1, and
 * w01 that of taps 0 and 1, a row of a 3x3 window with stride 1 adds
 *
 *     even outputs:   E(i).low w0 + E(i).high w1 + E(i + 1).low w2    = E(i) w01 + E(i + 1).low w2
 *     odd outputs:    E(i).high w0 + E(i + 1).low w1 + E(i + 1).high w2
 *
 * two products an instruction but for the odd one out. Four outputs are made at once.
 */
#ifndef TFLM_OPT_DEPTHWISE_H
#define TFLM_OPT_DEPTHWISE_H

#include "tflm_opt_lines.h"
#include "tflm_opt_math.h"
#include "tflm_opt_types.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TFLM_OPT_DEPTHWISE_TAPS 7    /* rows and columns of the largest filter that words serve */
#define TFLM_OPT_DEPTHWISE_GROUP 4   /* outputs of a row, and channels, made together */
#define TFLM_OPT_DEPTHWISE_COLUMNS 65532 /* of a strip, at most */

/* A filter, its steps, and what follows from them. */
typedef struct {
    int32_t height;   /* taps down */
    int32_t stride_h; /* output rows to input rows */
    int32_t stride_w; /* 1 or 2 */
    int32_t width;    /* taps across, rounded up to 3, 5 or 7; those that aren't there are 0 */
    int32_t tap_words; /* words of a row of taps */
    int32_t reach;    /* words of an input row that a group reads */
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
    shape.width = tflm_opt_max(width | 1, 3);
    if (stride_w == 1) {
        shape.tap_words = shape.width - 1;
        shape.reach = (shape.width + 3) / 2;
    } else {
        shape.tap_words = (shape.width + 1) / 2;
        shape.reach = (shape.width + 7) / 2;
    }
    return shape;
}

/* Words of an input row that `columns` neighbouring outputs read, rounded up to groups. */
TFLM_OPT_INLINE int32_t tflm_opt_depthwise_row_words(const tflm_opt_depthwise_shape *shape,
                                                     int32_t columns)
{
    return (columns + 3) / 4 * 2 * shape->stride_w - 2 * shape->stride_w + shape->reach;
}

/*
 * Bytes of scratch for bands of `rows` output rows, `columns` wide: words of taps, bias and scale of
 * four channels, and their words of the input rows.
 *
 *     16 * (height * tap_words + 7) + 16 * ((rows - 1) * stride_h + height) * row_words
 */
TFLM_OPT_INLINE int32_t tflm_opt_depthwise_scratch(const tflm_opt_depthwise_shape *shape,
                                                   int32_t rows,
                                                   int32_t columns)
{
    const int32_t input_rows = (rows - 1) * shape->stride_h + shape->height;
    return 16 * (shape->height * shape->tap_words + 7 +
                 input_rows * tflm_opt_depthwise_row_words(shape, columns));
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
        filter->c != input->c) {
        return 0;
    }
    return tflm_opt_max(tflm_opt_depthwise_scratch(&one, 2, input->w),
                        tflm_opt_depthwise_scratch(&two, 2, (input->w + 1) / 2));
}

/* One call of a depthwise kernel that works in scratch. */
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
    int32_t in_words; /* whether this way of working serves the call, if its channels do */
} tflm_opt_depthwise_call;

/* Rows y to y + rows of the output, from column x on. */
typedef struct {
    int32_t y;
    int32_t rows;
    int32_t x;
    int32_t columns;
} tflm_opt_depthwise_band;

/*
 * Words of neighbouring values for four channels: `rows` times `pairs` words a channel, one more
 * before them if `first` (the zero point, the first value), one more behind if `last` (the last
 * value, the zero point). Channels are `plane` bytes apart. The record is used up.
 */
typedef struct {
    const int8_t *source;
    int32_t channels; /* of the source: from one value to the next */
    uint32_t *words;
    int32_t plane;
    int32_t first;
    int32_t pairs;
    int32_t last;
    uint32_t zero; /* the zero point four times */
    int32_t source_row;
    int32_t words_row; /* in bytes */
    int32_t rows;
} tflm_opt_depthwise_unpacking;

/*
 * Output rows of some channels, from words. `state` belongs to the kernel. Addresses and steps are
 * those of the first row and channel; deltas are added after the last row of a channel.
 */
typedef struct {
    int32_t state[1];
    int32_t channels; /* of the output: from one value to the next */
    int32_t state2[2];
    const int32_t *taps; /* of a channel: bias 4 times, words of taps, multiplier, constant, shift */
    int32_t missing;     /* rows of taps that the largest filter has more, in bytes of code */
    int32_t kink;        /* what is added to negative sums: -128 or 0 */
    int32_t words_step;  /* bytes from a row of words to the next, less what a kernel moves on */
    int8_t *output;
    const uint32_t *words;
    int32_t output_row;
    int32_t words_row; /* bytes of words from one output row to the next */
    int32_t columns;   /* less 65536 where there is a kink */
    int32_t rows;
    int32_t output_delta;
    int32_t words_delta;
    int32_t taps_size; /* bytes */
    int32_t count;     /* channels */
    int32_t all_rows;
} tflm_opt_depthwise_rows;

/* The cores, for 3, 5 and 7 taps across, strides 1 and 2. */
void tflm_opt_depthwise_words_s8(tflm_opt_depthwise_unpacking *unpacking);
void tflm_opt_depthwise_rows_s8(const tflm_opt_depthwise_rows *rows,
                                const tflm_opt_depthwise_shape *shape);

/*
 * Begins a call of which all before `shape` is set. ARM_CMSIS_NN_ARG_ERROR for wrong dims and for
 * scratch that is too small.
 */
arm_cmsis_nn_status tflm_opt_depthwise_start_s8(const cmsis_nn_context *ctx,
                                                const cmsis_nn_dims *output,
                                                tflm_opt_depthwise_call *call);

/*
 * A band of output rows. `output` is where its first pixel goes, `output_row` leads from one row to
 * the next. 0, and the band is not written, or in part, if a channel has no short form.
 */
int32_t tflm_opt_depthwise_band_s8(const tflm_opt_depthwise_call *call,
                                   const tflm_opt_lines *lines,
                                   const tflm_opt_depthwise_band *band,
                                   int8_t *output,
                                   int32_t output_row);

/* Any depthwise convolution, without scratch: the portable kernel, whose place the fast ones take. */
arm_cmsis_nn_status tflm_opt_depthwise_any_s8(const cmsis_nn_context *ctx,
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
                                              int8_t *output_data);

#ifdef __cplusplus
}
#endif

#endif /* TFLM_OPT_DEPTHWISE_H */
