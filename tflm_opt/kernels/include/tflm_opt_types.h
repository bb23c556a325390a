/*
 * Types of the kernel library.
 *
 * The structs have the names, the field order and the meaning of CMSIS-NN's public ones, so
 * that code written for CMSIS-NN compiles against this header, and the kernels drop into a
 * TensorFlow Lite Micro that was built for CMSIS-NN. The one difference: multipliers and
 * shifts are read only here, so that they can stay in flash. Code that fills them in through these
 * structs includes CMSIS-NN's header names instead (cmsis_nn/Include), which leave the const out.
 *
 * All tensors are NHWC. All sizes are in elements unless a name says bytes.
 */
#ifndef TFLM_OPT_TYPES_H
#define TFLM_OPT_TYPES_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Generated code checks this number: it changes when a struct or a prototype changes. */
#define TFLM_OPT_KERNELS_ABI 2

typedef enum {
    ARM_CMSIS_NN_SUCCESS = 0,
    ARM_CMSIS_NN_ARG_ERROR = -1,
    ARM_CMSIS_NN_NO_IMPL_ERROR = -2,
    ARM_CMSIS_NN_FAILURE = -3
} arm_cmsis_nn_status;

/*
 * Scratch memory: `buf` is aligned to 4 bytes, `size` is in bytes. A kernel works with what it is
 * given: the more, the faster, up to what its _get_buffer_size says. Size 0 with a buffer stands for
 * just that size, as callers written for CMSIS-NN mean it. No buffer and TFLM_OPT_WITHOUT_SCRATCH
 * for the size: the kernel makes do without, if it can; where the kernel table names another one for
 * that (tflm_opt_convolve_directly_s8), call that one. Anything else that is too little is refused.
 */
typedef struct {
    void *buf;
    int32_t size;
} cmsis_nn_context;

#define TFLM_OPT_WITHOUT_SCRATCH (-1)

typedef struct {
    int32_t n;
    int32_t h;
    int32_t w;
    int32_t c;
} cmsis_nn_dims;

typedef struct {
    int32_t w;
    int32_t h;
} cmsis_nn_tile;

/* Bounds of the quantized output, both inclusive. */
typedef struct {
    int32_t min;
    int32_t max;
} cmsis_nn_activation;

#ifndef TFLM_OPT_FACTOR
#define TFLM_OPT_FACTOR const int32_t
#endif

/* A real factor is multiplier * 2^(shift - 31); one pair for each output channel. */
typedef struct {
    TFLM_OPT_FACTOR *multiplier;
    TFLM_OPT_FACTOR *shift;
} cmsis_nn_per_channel_quant_params;

typedef struct {
    int32_t multiplier;
    int32_t shift;
} cmsis_nn_per_tensor_quant_params;

typedef struct {
    TFLM_OPT_FACTOR *multiplier;
    TFLM_OPT_FACTOR *shift;
    int32_t is_per_channel;
} cmsis_nn_quant_params;

/*
 * Offsets are added: input_offset is minus the input's zero point, output_offset the output's.
 * padding is what lies above and to the left; the output's size says what lies below and right.
 */
typedef struct {
    int32_t input_offset;
    int32_t output_offset;
    cmsis_nn_tile stride;
    cmsis_nn_tile padding;
    cmsis_nn_tile dilation;
    cmsis_nn_activation activation;
} cmsis_nn_conv_params;

typedef struct {
    int32_t input_offset;
    int32_t output_offset;
    int32_t ch_mult;
    cmsis_nn_tile stride;
    cmsis_nn_tile padding;
    cmsis_nn_tile dilation;
    cmsis_nn_activation activation;
} cmsis_nn_dw_conv_params;

/* padding_offsets is CMSIS-NN's: rows and columns that only the lower right border has. */
typedef struct {
    int32_t input_offset;
    int32_t output_offset;
    cmsis_nn_tile stride;
    cmsis_nn_tile padding;
    cmsis_nn_tile padding_offsets;
    cmsis_nn_tile dilation;
    cmsis_nn_activation activation;
} cmsis_nn_transpose_conv_params;

typedef struct {
    cmsis_nn_tile stride;
    cmsis_nn_tile padding;
    cmsis_nn_activation activation;
} cmsis_nn_pool_params;

typedef struct {
    int32_t input_offset;
    int32_t filter_offset;
    int32_t output_offset;
    cmsis_nn_activation activation;
} cmsis_nn_fc_params;

/* ---- structs of our own kernels ---- */

/* A sum or difference: both inputs go to a common scale, the sum to the output's. */
typedef struct {
    int32_t left_shift;
    int32_t input1_offset;
    cmsis_nn_per_tensor_quant_params input1_quant;
    int32_t input2_offset;
    cmsis_nn_per_tensor_quant_params input2_quant;
    int32_t output_offset;
    cmsis_nn_per_tensor_quant_params output_quant;
    cmsis_nn_activation activation;
} tflm_opt_sum_params;

typedef struct {
    int32_t input1_offset;
    int32_t input2_offset;
    int32_t output_offset;
    cmsis_nn_per_tensor_quant_params output_quant;
    cmsis_nn_activation activation;
} tflm_opt_product_params;

#define TFLM_OPT_BROADCAST_AXES 6

/*
 * Two inputs of different shapes: the output's sizes, outermost axis first, filled up with ones
 * on the left, and each input's step along every axis (0 where it is repeated).
 */
typedef struct {
    int32_t size[TFLM_OPT_BROADCAST_AXES];
    int32_t stride1[TFLM_OPT_BROADCAST_AXES];
    int32_t stride2[TFLM_OPT_BROADCAST_AXES];
} tflm_opt_broadcast;

/*
 * Which axes a reduction keeps and which it folds, outermost first, neighbouring axes of a kind
 * joined, filled up with ones; steps are the input's.
 */
typedef struct {
    int32_t kept[3];
    int32_t kept_stride[3];
    int32_t reduced[3];
    int32_t reduced_stride[3];
} tflm_opt_reduction;

/* input_offset is minus the input's zero point. */
typedef struct {
    int32_t input_offset;
    int32_t output_offset;
    cmsis_nn_per_tensor_quant_params quant;
} tflm_opt_reduce_params;

/*
 * Some rows of an image that is folded into one pixel, part by part: whether they are the first,
 * whether they are the last, and how many pixels all parts have together.
 */
typedef struct {
    int32_t first;
    int32_t last;
    int32_t count;
} tflm_opt_row_part;

/*
 * Where rows of one image are that need not all lie side by side. Rows before `fresh` are in a ring:
 * `base` and those after it from its first slot on, those before `base` in the slots at its end.
 * Rows from `fresh` on are in the front, one behind the other, perhaps without their first columns.
 * Steps are in bytes; *_x is the column that lies where a row begins. A whole image is a ring of
 * all its rows, with base = 0 and fresh = ring_rows.
 */
typedef struct {
    const int8_t *ring;
    const int8_t *front;
    int32_t ring_rows;
    int32_t ring_step;
    int32_t front_step;
} tflm_opt_lines_shape;

typedef struct {
    const tflm_opt_lines_shape *shape; /* what stays the same from row to row */
    int32_t ring_x;
    int32_t front_x;
    int32_t base;
    int32_t fresh;
} tflm_opt_lines;

/* `count` pixels of row y of an output, from column x on. */
typedef struct {
    int32_t y;
    int32_t x;
    int32_t count;
} tflm_opt_span;

typedef struct {
    int32_t left_offset;
    int32_t right_offset;
    int32_t output_offset;
    cmsis_nn_per_tensor_quant_params quant;
    cmsis_nn_activation activation;
} tflm_opt_matmul_params;

/*
 * Products of rows x depth by depth x columns matrices. Steps are in elements, so that either
 * side may be transposed; batch steps are 0 where a matrix is used again.
 */
typedef struct {
    int32_t batch[3];
    int32_t left_batch[3];
    int32_t right_batch[3];
    int32_t rows;
    int32_t columns;
    int32_t depth;
    int32_t left_row;     /* from one row of the left side to the next */
    int32_t left_step;    /* along its depth */
    int32_t right_column; /* from one column of the right side to the next */
    int32_t right_step;   /* along its depth */
} tflm_opt_matmul;

#ifdef __cplusplus
}
#endif

#endif /* TFLM_OPT_TYPES_H */
