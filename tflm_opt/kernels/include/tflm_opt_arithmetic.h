/*
 * Kernels that compute: convolutions, fully connected, sums and products, pooling, reductions,
 * softmax. Include tflm_opt_kernels.h rather than this file.
 *
 * Order of arguments: context, parameters, quantization, then dims and data in pairs, output
 * last. Values are int8 and sums are int32.
 */
#ifndef TFLM_OPT_ARITHMETIC_H
#define TFLM_OPT_ARITHMETIC_H

#include "tflm_opt_tier.h"
#include "tflm_opt_types.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * 2-D convolution: any stride, dilation and padding; groups.
 *
 * input [n, h, w, c], filter [out_c, kh, kw, c / groups], bias [out_c] or NULL, output
 * [n, out_h, out_w, out_c]. filter_dims is {out_c, kh, kw, c / groups}; the number of groups is
 * input_dims->c / filter_dims->c, and out_c is a multiple of it. Scratch makes it faster.
 */
arm_cmsis_nn_status arm_convolve_wrapper_s8(const cmsis_nn_context *ctx,
                                            const cmsis_nn_conv_params *conv_params,
                                            const cmsis_nn_per_channel_quant_params *quant_params,
                                            const cmsis_nn_dims *input_dims,
                                            const int8_t *input_data,
                                            const cmsis_nn_dims *filter_dims,
                                            const int8_t *filter_data,
                                            const cmsis_nn_dims *bias_dims,
                                            const int32_t *bias_data,
                                            const cmsis_nn_dims *output_dims,
                                            int8_t *output_data);
int32_t arm_convolve_wrapper_s8_get_buffer_size(const cmsis_nn_conv_params *conv_params,
                                                const cmsis_nn_dims *input_dims,
                                                const cmsis_nn_dims *filter_dims,
                                                const cmsis_nn_dims *output_dims);

/* The same without scratch. */
arm_cmsis_nn_status tflm_opt_convolve_directly_s8(
    const cmsis_nn_context *ctx,
    const cmsis_nn_conv_params *conv_params,
    const cmsis_nn_per_channel_quant_params *quant_params,
    const cmsis_nn_dims *input_dims,
    const int8_t *input_data,
    const cmsis_nn_dims *filter_dims,
    const int8_t *filter_data,
    const cmsis_nn_dims *bias_dims,
    const int32_t *bias_data,
    const cmsis_nn_dims *output_dims,
    int8_t *output_data);

/* The same for a 1x1 convolution of neighbouring pixels, all that `input_dims` has; unchecked. */
void tflm_opt_convolve_pixels_s8(const cmsis_nn_conv_params *conv_params,
                                 const cmsis_nn_per_channel_quant_params *quant_params,
                                 const cmsis_nn_dims *input_dims,
                                 const int8_t *input_data,
                                 const int8_t *filter_data,
                                 const int32_t *bias_data,
                                 int32_t channels,
                                 int8_t *output_data);

/* The general case of the above. upscale_dims must be NULL. */
arm_cmsis_nn_status arm_convolve_s8(const cmsis_nn_context *ctx,
                                    const cmsis_nn_conv_params *conv_params,
                                    const cmsis_nn_per_channel_quant_params *quant_params,
                                    const cmsis_nn_dims *input_dims,
                                    const int8_t *input_data,
                                    const cmsis_nn_dims *filter_dims,
                                    const int8_t *filter_data,
                                    const cmsis_nn_dims *bias_dims,
                                    const int32_t *bias_data,
                                    const cmsis_nn_dims *upscale_dims,
                                    const cmsis_nn_dims *output_dims,
                                    int8_t *output_data);
int32_t arm_convolve_s8_get_buffer_size(const cmsis_nn_dims *input_dims,
                                        const cmsis_nn_dims *filter_dims);

/* A 1x1 filter, stride 1, no padding, one group. */
arm_cmsis_nn_status arm_convolve_1x1_s8_fast(const cmsis_nn_context *ctx,
                                             const cmsis_nn_conv_params *conv_params,
                                             const cmsis_nn_per_channel_quant_params *quant_params,
                                             const cmsis_nn_dims *input_dims,
                                             const int8_t *input_data,
                                             const cmsis_nn_dims *filter_dims,
                                             const int8_t *filter_data,
                                             const cmsis_nn_dims *bias_dims,
                                             const int32_t *bias_data,
                                             const cmsis_nn_dims *output_dims,
                                             int8_t *output_data);
int32_t arm_convolve_1x1_s8_fast_get_buffer_size(const cmsis_nn_dims *input_dims);

/*
 * Depthwise convolution: any stride, dilation, padding and multiplier.
 *
 * filter [1, kh, kw, c * ch_mult]; output channel i reads input channel i / ch_mult. Needs no
 * scratch, and is faster with some: both functions that tell how much tell the same.
 */
arm_cmsis_nn_status arm_depthwise_conv_wrapper_s8(
    const cmsis_nn_context *ctx,
    const cmsis_nn_dw_conv_params *dw_conv_params,
    const cmsis_nn_per_channel_quant_params *quant_params,
    const cmsis_nn_dims *input_dims,
    const int8_t *input_data,
    const cmsis_nn_dims *filter_dims,
    const int8_t *filter_data,
    const cmsis_nn_dims *bias_dims,
    const int32_t *bias_data,
    const cmsis_nn_dims *output_dims,
    int8_t *output_data);
int32_t arm_depthwise_conv_wrapper_s8_get_buffer_size(
    const cmsis_nn_dw_conv_params *dw_conv_params,
    const cmsis_nn_dims *input_dims,
    const cmsis_nn_dims *filter_dims,
    const cmsis_nn_dims *output_dims);

/* What the wrapper calls. */
arm_cmsis_nn_status arm_depthwise_conv_s8(const cmsis_nn_context *ctx,
                                          const cmsis_nn_dw_conv_params *dw_conv_params,
                                          const cmsis_nn_per_channel_quant_params *quant_params,
                                          const cmsis_nn_dims *input_dims,
                                          const int8_t *input_data,
                                          const cmsis_nn_dims *filter_dims,
                                          const int8_t *filter_data,
                                          const cmsis_nn_dims *bias_dims,
                                          const int32_t *bias_data,
                                          const cmsis_nn_dims *output_dims,
                                          int8_t *output_data);
int32_t arm_depthwise_conv_s8_get_buffer_size(const cmsis_nn_dims *input_dims,
                                              const cmsis_nn_dims *filter_dims);

/*
 * The same where output channels are as many as input channels, four at least, windows are less than
 * 17 rows and 1024 columns, each has a value inside the input, shifts are right by 1 to 31, and sums
 * are below 2^30: nothing of that is checked.
 */
arm_cmsis_nn_status tflm_opt_depthwise_plain_s8(
    const cmsis_nn_context *ctx,
    const cmsis_nn_dw_conv_params *dw_conv_params,
    const cmsis_nn_per_channel_quant_params *quant_params,
    const cmsis_nn_dims *input_dims,
    const int8_t *input_data,
    const cmsis_nn_dims *filter_dims,
    const int8_t *filter_data,
    const cmsis_nn_dims *bias_dims,
    const int32_t *bias_data,
    const cmsis_nn_dims *output_dims,
    int8_t *output_data);

/*
 * Fully connected: rows of input times rows of filter.
 *
 * input [n, depth], filter [c, depth], bias [c] or NULL, output [n, c]. As in CMSIS-NN,
 * filter_dims->n is the depth, input_dims->n the rows and output_dims->c the channels.
 * filter_offset is minus the filter's zero point: 0 but in files of old converters.
 *
 * The buffer's size must be 0 or room for 4 * filter_dims->c bytes at least, and not depend on more
 * than the filter's depth and channels: TFLM writes sums of weights there (arm_vector_sum_s8), which
 * may lie in a context's buffer when these functions are called.
 */
arm_cmsis_nn_status arm_fully_connected_s8(const cmsis_nn_context *ctx,
                                           const cmsis_nn_fc_params *fc_params,
                                           const cmsis_nn_per_tensor_quant_params *quant_params,
                                           const cmsis_nn_dims *input_dims,
                                           const int8_t *input_data,
                                           const cmsis_nn_dims *filter_dims,
                                           const int8_t *filter_data,
                                           const cmsis_nn_dims *bias_dims,
                                           const int32_t *bias_data,
                                           const cmsis_nn_dims *output_dims,
                                           int8_t *output_data);
int32_t arm_fully_connected_s8_get_buffer_size(const cmsis_nn_dims *filter_dims);

/* The same with one scale for each output channel; filter_offset must be 0. */
arm_cmsis_nn_status arm_fully_connected_per_channel_s8(
    const cmsis_nn_context *ctx,
    const cmsis_nn_fc_params *fc_params,
    const cmsis_nn_per_channel_quant_params *quant_params,
    const cmsis_nn_dims *input_dims,
    const int8_t *input_data,
    const cmsis_nn_dims *filter_dims,
    const int8_t *filter_data,
    const cmsis_nn_dims *bias_dims,
    const int32_t *bias_data,
    const cmsis_nn_dims *output_dims,
    int8_t *output_data);

/* One of the two above. */
arm_cmsis_nn_status arm_fully_connected_wrapper_s8(const cmsis_nn_context *ctx,
                                                   const cmsis_nn_fc_params *fc_params,
                                                   const cmsis_nn_quant_params *quant_params,
                                                   const cmsis_nn_dims *input_dims,
                                                   const int8_t *input_data,
                                                   const cmsis_nn_dims *filter_dims,
                                                   const int8_t *filter_data,
                                                   const cmsis_nn_dims *bias_dims,
                                                   const int32_t *bias_data,
                                                   const cmsis_nn_dims *output_dims,
                                                   int8_t *output_data);

/*
 * The same for generated code: both offsets are 0, and there are biases. Where TFLM_OPT_PAIRED is
 * 1, each is less by what products of neighbouring weights add up to: w[0] * w[1] + w[2] * w[3] and
 * so on, of the first (depth & ~3) weights of its channel. With that, all biases are smaller than
 * 2^29, and there are at most 2^13 weights in a channel.
 */
arm_cmsis_nn_status tflm_opt_fully_connected_s8(const cmsis_nn_context *ctx,
                                                const cmsis_nn_fc_params *fc_params,
                                                const cmsis_nn_quant_params *quant_params,
                                                const cmsis_nn_dims *input_dims,
                                                const int8_t *input_data,
                                                const cmsis_nn_dims *filter_dims,
                                                const int8_t *filter_data,
                                                const cmsis_nn_dims *bias_dims,
                                                const int32_t *bias_data,
                                                const cmsis_nn_dims *output_dims,
                                                int8_t *output_data);

/*
 * The same with scratch, in which rows lie unpacked: twice the depth's bytes, or for Armv7-M 4 for
 * each position and 40 more (tflm_opt_dense_words.h), or none on cores that don't use it.
 */
arm_cmsis_nn_status tflm_opt_fully_connected_spread_s8(const cmsis_nn_context *ctx,
                                                       const cmsis_nn_fc_params *fc_params,
                                                       const cmsis_nn_quant_params *quant_params,
                                                       const cmsis_nn_dims *input_dims,
                                                       const int8_t *input_data,
                                                       const cmsis_nn_dims *filter_dims,
                                                       const int8_t *filter_data,
                                                       const cmsis_nn_dims *bias_dims,
                                                       const int32_t *bias_data,
                                                       const cmsis_nn_dims *output_dims,
                                                       int8_t *output_data);

/*
 * The same for layers of a few outputs, which make no block: little code. Biases are as they are on
 * all cores.
 */
arm_cmsis_nn_status tflm_opt_fully_connected_few_s8(const cmsis_nn_context *ctx,
                                                    const cmsis_nn_fc_params *fc_params,
                                                    const cmsis_nn_quant_params *quant_params,
                                                    const cmsis_nn_dims *input_dims,
                                                    const int8_t *input_data,
                                                    const cmsis_nn_dims *filter_dims,
                                                    const int8_t *filter_data,
                                                    const cmsis_nn_dims *bias_dims,
                                                    const int32_t *bias_data,
                                                    const cmsis_nn_dims *output_dims,
                                                    int8_t *output_data);

/*
 * Sum of two inputs of the same shape. Both go to a common scale: (x + offset) << left_shift,
 * times a factor below one. Shifts of factors are 0 or negative.
 */
arm_cmsis_nn_status arm_elementwise_add_s8(const int8_t *input_1_vect,
                                           const int8_t *input_2_vect,
                                           const int32_t input_1_offset,
                                           const int32_t input_1_mult,
                                           const int32_t input_1_shift,
                                           const int32_t input_2_offset,
                                           const int32_t input_2_mult,
                                           const int32_t input_2_shift,
                                           const int32_t left_shift,
                                           int8_t *output,
                                           const int32_t out_offset,
                                           const int32_t out_mult,
                                           const int32_t out_shift,
                                           const int32_t out_activation_min,
                                           const int32_t out_activation_max,
                                           const int32_t block_size);

/* The same, without a look at the arguments. */
void tflm_opt_add_s8(const tflm_opt_sum_params *params,
                     const int8_t *input1_data,
                     const int8_t *input2_data,
                     int32_t count,
                     int8_t *output_data);

/* Product of two inputs of the same shape. */
arm_cmsis_nn_status arm_elementwise_mul_s8(const int8_t *input_1_vect,
                                           const int8_t *input_2_vect,
                                           const int32_t input_1_offset,
                                           const int32_t input_2_offset,
                                           int8_t *output,
                                           const int32_t out_offset,
                                           const int32_t out_mult,
                                           const int32_t out_shift,
                                           const int32_t out_activation_min,
                                           const int32_t out_activation_max,
                                           const int32_t block_size);

/* input1 + input2, input1 - input2 and input1 * input2 of any shapes that broadcast. */
arm_cmsis_nn_status tflm_opt_broadcast_add_s8(const tflm_opt_sum_params *params,
                                              const tflm_opt_broadcast *shape,
                                              const int8_t *input1_data,
                                              const int8_t *input2_data,
                                              int8_t *output_data);
arm_cmsis_nn_status tflm_opt_broadcast_sub_s8(const tflm_opt_sum_params *params,
                                              const tflm_opt_broadcast *shape,
                                              const int8_t *input1_data,
                                              const int8_t *input2_data,
                                              int8_t *output_data);
arm_cmsis_nn_status tflm_opt_broadcast_mul_s8(const tflm_opt_product_params *params,
                                              const tflm_opt_broadcast *shape,
                                              const int8_t *input1_data,
                                              const int8_t *input2_data,
                                              int8_t *output_data);

/*
 * Average of each window, rounded to nearest, halves away from zero; only elements inside the
 * input count. A window without any is ARM_CMSIS_NN_ARG_ERROR.
 */
arm_cmsis_nn_status arm_avgpool_s8(const cmsis_nn_context *ctx,
                                   const cmsis_nn_pool_params *pool_params,
                                   const cmsis_nn_dims *input_dims,
                                   const int8_t *input_data,
                                   const cmsis_nn_dims *filter_dims,
                                   const cmsis_nn_dims *output_dims,
                                   int8_t *output_data);
int32_t arm_avgpool_s8_get_buffer_size(const int output_x, const int ch_src);

/* Greatest element of each window. */
arm_cmsis_nn_status arm_max_pool_s8(const cmsis_nn_context *ctx,
                                    const cmsis_nn_pool_params *pool_params,
                                    const cmsis_nn_dims *input_dims,
                                    const int8_t *input_data,
                                    const cmsis_nn_dims *filter_dims,
                                    const cmsis_nn_dims *output_dims,
                                    int8_t *output_data);

/*
 * Sum of the elements that a reduction folds, times a factor; with 1 / count in the factor it
 * is their mean.
 */
arm_cmsis_nn_status tflm_opt_sum_s8(const tflm_opt_reduce_params *params,
                                    const tflm_opt_reduction *shape,
                                    const int8_t *input_data,
                                    int8_t *output_data);

/*
 * The same where outputs make one line, in which elements of each lie evenly apart: along the last
 * of both axes. The other two are not looked at.
 */
void tflm_opt_sum_runs_s8(const tflm_opt_reduce_params *params,
                          const tflm_opt_reduction *shape,
                          const int8_t *input_data,
                          int8_t *output_data);

/*
 * Averages and means over a whole image of which a few rows come with each call. The sums, 4 bytes
 * a channel, stay in the context's buffer from the first part to the last; the output is written
 * with the last. One function rounds like arm_avgpool_s8, the other like tflm_opt_sum_s8.
 */
void tflm_opt_sum_rows_s8(int32_t *sums,
                          int32_t first,
                          const cmsis_nn_dims *input_dims,
                          const int8_t *input_data);
arm_cmsis_nn_status tflm_opt_average_rows_s8(const cmsis_nn_context *ctx,
                                             const tflm_opt_row_part *part,
                                             const cmsis_nn_activation *activation,
                                             const cmsis_nn_dims *input_dims,
                                             const int8_t *input_data,
                                             int8_t *output_data);
arm_cmsis_nn_status tflm_opt_mean_rows_s8(const cmsis_nn_context *ctx,
                                          const tflm_opt_row_part *part,
                                          const tflm_opt_reduce_params *params,
                                          const cmsis_nn_dims *input_dims,
                                          const int8_t *input_data,
                                          int8_t *output_data);
/* The same for the greatest value of each channel: 1 byte a channel stays in the buffer. */
arm_cmsis_nn_status tflm_opt_max_rows_s8(const cmsis_nn_context *ctx,
                                         const tflm_opt_row_part *part,
                                         const cmsis_nn_activation *activation,
                                         const cmsis_nn_dims *input_dims,
                                         const int8_t *input_data,
                                         int8_t *output_data);

/* Greatest and least of the elements that a reduction folds. */
arm_cmsis_nn_status tflm_opt_reduce_max_s8(const tflm_opt_reduction *shape,
                                           const int8_t *input_data,
                                           int8_t *output_data);
arm_cmsis_nn_status tflm_opt_reduce_min_s8(const tflm_opt_reduction *shape,
                                           const int8_t *input_data,
                                           int8_t *output_data);

/*
 * Softmax over rows. The factor multiplier * 2^(shift - 31) takes differences to the row's
 * greatest element to Q5.26; those below diff_min count as nothing. The output has scale 1/256
 * and zero point -128. An output element is written after its own row was read three times, and
 * later elements read only themselves and what follows: it may run in place.
 */
void arm_softmax_s8(const int8_t *input,
                    const int32_t num_rows,
                    const int32_t row_size,
                    const int32_t mult,
                    const int32_t shift,
                    const int32_t diff_min,
                    int8_t *output);

/*
 * Transposed convolution: stride up, padding is what is cut from the full output's top and left.
 * filter [out_c, kh, kw, c]. Dilation must be 1. Needs no scratch: both contexts are unused.
 */
arm_cmsis_nn_status arm_transpose_conv_s8(
    const cmsis_nn_context *ctx,
    const cmsis_nn_context *output_ctx,
    const cmsis_nn_transpose_conv_params *transpose_conv_params,
    const cmsis_nn_per_channel_quant_params *quant_params,
    const cmsis_nn_dims *input_dims,
    const int8_t *input_data,
    const cmsis_nn_dims *filter_dims,
    const int8_t *filter_data,
    const cmsis_nn_dims *bias_dims,
    const int32_t *bias_data,
    const cmsis_nn_dims *output_dims,
    int8_t *output_data);
int32_t arm_transpose_conv_s8_get_buffer_size(
    const cmsis_nn_transpose_conv_params *transpose_conv_params,
    const cmsis_nn_dims *input_dims,
    const cmsis_nn_dims *filter_dims,
    const cmsis_nn_dims *output_dims);

/* (input1 - input2)^2 of any shapes that broadcast. */
arm_cmsis_nn_status tflm_opt_squared_difference_s8(const tflm_opt_sum_params *params,
                                                   const tflm_opt_broadcast *shape,
                                                   const int8_t *input1_data,
                                                   const int8_t *input2_data,
                                                   int8_t *output_data);

/* Matrix products of two computed inputs, in batches that broadcast. */
arm_cmsis_nn_status tflm_opt_batch_matmul_s8(const tflm_opt_matmul_params *params,
                                             const tflm_opt_matmul *shape,
                                             const int8_t *left_data,
                                             const int8_t *right_data,
                                             int8_t *output_data);

/*
 * Parts of rows: `span` of the output [1, out_h, out_w, out_c], written to output_data, of an input
 * whose rows lie as `input` says. Dims and padding are those of the whole images; of the input,
 * only what the span's windows read need be there.
 */
arm_cmsis_nn_status tflm_opt_convolve_lines_s8(
    const cmsis_nn_context *ctx,
    const cmsis_nn_conv_params *conv_params,
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
arm_cmsis_nn_status tflm_opt_convolve_directly_lines_s8(
    const cmsis_nn_context *ctx,
    const cmsis_nn_conv_params *conv_params,
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
arm_cmsis_nn_status tflm_opt_depthwise_lines_s8(
    const cmsis_nn_context *ctx,
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
/* For what tflm_opt_depthwise_plain_s8 is for; nothing of that is checked. */
arm_cmsis_nn_status tflm_opt_depthwise_plain_lines_s8(
    const cmsis_nn_context *ctx,
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
arm_cmsis_nn_status tflm_opt_avgpool_lines_s8(
    const cmsis_nn_context *ctx,
    const cmsis_nn_pool_params *pool_params,
    const cmsis_nn_dims *input_dims,
    const tflm_opt_lines *input,
    const cmsis_nn_dims *filter_dims,
    const cmsis_nn_dims *output_dims,
    const tflm_opt_span *span,
    int8_t *output_data);
arm_cmsis_nn_status tflm_opt_max_pool_lines_s8(
    const cmsis_nn_context *ctx,
    const cmsis_nn_pool_params *pool_params,
    const cmsis_nn_dims *input_dims,
    const tflm_opt_lines *input,
    const cmsis_nn_dims *filter_dims,
    const cmsis_nn_dims *output_dims,
    const tflm_opt_span *span,
    int8_t *output_data);

#ifdef __cplusplus
}
#endif

#endif /* TFLM_OPT_ARITHMETIC_H */
