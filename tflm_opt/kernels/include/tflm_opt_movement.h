/*
 * Kernels that move values and compute nothing: slices, transposes, concatenation, padding.
 *
 * They take any element type: sizes, strides and offsets are in bytes where the name says so.
 * All write their output in memory order, each byte once, and read only what belongs there;
 * input and output may overlap at the distance that follows from it.
 */
#ifndef TFLM_OPT_MOVEMENT_H
#define TFLM_OPT_MOVEMENT_H

#include "tflm_opt_types.h"

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What memmove does, but for what it returns. */
void tflm_opt_move_bytes(void *to, const void *from, size_t bytes);

#define TFLM_OPT_COPY_AXES 6
#define TFLM_OPT_PAD_AXES 5

/*
 * A walk over the input, outermost axis first; axes that are not used have size 1.
 *
 * Output block (i0, ..., i5) is the `block` bytes at `offset` + the sum over all axes a of
 * tables[a] ? tables[a][i] : i * strides[a]. All of it is in bytes.
 */
typedef struct {
    int32_t block;
    int32_t offset;
    int32_t sizes[TFLM_OPT_COPY_AXES];
    int32_t strides[TFLM_OPT_COPY_AXES];
    const int32_t *tables[TFLM_OPT_COPY_AXES];
} tflm_opt_copy_params;

/* SLICE, STRIDED_SLICE, TRANSPOSE, SPLIT, GATHER, MIRROR_PAD, nearest neighbours, ... */
void tflm_opt_copy_nd(const tflm_opt_copy_params *params, const void *input, void *output);

/* The same for blocks of one byte along the two last axes, without tables: a matrix transposed. */
void tflm_opt_copy_bytes(const tflm_opt_copy_params *params, const void *input, void *output);

/*
 * Rows of a nearest resize. Output row i is input row (i * step + start) / unit, or the last of
 * `input_rows` if that lies below it; `start` is at least 0. `columns`: bytes from an input row's
 * start to each of the `width` pixels of an output row, of `pixel` bytes each.
 */
typedef struct {
    int32_t step;
    int32_t start;
    int32_t unit;
    int32_t input_rows;
    int32_t output_rows;
    int32_t input_width;
    int32_t width;
    int32_t pixel;
    const int32_t *columns;
} tflm_opt_nearest_params;

/* RESIZE_NEAREST_NEIGHBOR, band by band. */
void tflm_opt_resize_nearest_rows(const tflm_opt_nearest_params *params, const void *input,
                                  void *output);

/*
 * CONCATENATION and PACK: `outer` times, for each of `count` inputs, the next run of it.
 * runs: bytes of one run, for each input.
 */
void tflm_opt_concat(const int8_t *const *inputs, const int32_t *runs, int32_t count,
                     int32_t outer, void *output);

/* Elements before and after the input's along each axis, outermost first; at least 0. */
typedef struct {
    int32_t element_bytes;
    int32_t sizes[TFLM_OPT_PAD_AXES];
    int32_t before[TFLM_OPT_PAD_AXES];
    int32_t after[TFLM_OPT_PAD_AXES];
} tflm_opt_pad_params;

/* PAD, PADV2. fill: one element. */
void tflm_opt_pad(const tflm_opt_pad_params *params, const void *input, const void *fill,
                  void *output);

/* As CMSIS-NN: pads of an int8 NHWC tensor. */
arm_cmsis_nn_status arm_pad_s8(const int8_t *input, int8_t *output, const int8_t pad_value,
                               const cmsis_nn_dims *input_size, const cmsis_nn_dims *pre_pad,
                               const cmsis_nn_dims *post_pad);

/* Rows and columns between two samples of a block, and the zeros around the input. */
typedef struct {
    cmsis_nn_tile block;
    int32_t top;
    int32_t left;
} tflm_opt_space_to_batch_params;

/* SPACE_TO_BATCH_ND; dims.c is in bytes. Padding is zero bytes. */
void tflm_opt_space_to_batch(const tflm_opt_space_to_batch_params *params, const void *input,
                             const cmsis_nn_dims *input_dims, void *output,
                             const cmsis_nn_dims *output_dims);

/* Where pixel x of row y is; `bytes` is the size of a pixel. */
int8_t *tflm_opt_lines_at(const tflm_opt_lines *lines, int32_t y, int32_t x, int32_t bytes);

/*
 * Makes room in a front of `rows` rows, of which columns front_x to made_x are there: those before
 * next_x go to the ring, if their row is one of the last that it has slots for, and the others
 * move to where the rows begin. The front then begins with column next_x.
 */
void tflm_opt_lines_shift(const tflm_opt_lines *lines, int32_t rows, int32_t next_x,
                          int32_t made_x, int32_t bytes);

#ifdef __cplusplus
}
#endif

#endif /* TFLM_OPT_MOVEMENT_H */
