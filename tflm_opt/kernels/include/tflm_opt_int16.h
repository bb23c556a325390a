/*
 * Kernels with 16-bit activations and 8-bit weights ("int16x8"). Include tflm_opt_kernels.h rather
 * than this file.
 *
 * Those of CMSIS-NN's names have its arguments and semantics, and serve code written for it and the
 * engine. Values are int16 with zero point 0, so that offsets are not read but
 * where a comment says so. Sums and biases are int64 and rounded as TFLM does, once. No kernel
 * needs scratch: _get_buffer_size says 0, and contexts are not read.
 *
 * All check their arguments before they write anything: null pointers, sizes that are not positive
 * or don't fit each other, strides and bounds that make no sense are ARM_CMSIS_NN_ARG_ERROR.
 */
#ifndef TFLM_OPT_INT16_H
#define TFLM_OPT_INT16_H

#include "tflm_opt_types.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Biases, or NULL for none. With int32 biases (or none, but is_int32_bias set) sums are int32, wrap,
 * and are rounded twice, as those of int8 kernels are.
 */
typedef struct {
    const void *data;
    bool is_int32_bias;
} cmsis_nn_bias_data;

/* Tables of 513 values, as TFLM makes them: exp over [-10, 0] and 1 / (1 + x) over [0, 1]; Q0.15. */
typedef struct {
    const int16_t *exp_lut;
    const int16_t *one_by_one_lut;
} cmsis_nn_softmax_lut_s16;

/* Matrix products: adj_x and adj_y are not read, the sides are transposed before the call. */
typedef struct {
    bool adj_x;
    bool adj_y;
    cmsis_nn_fc_params fc_params;
} cmsis_nn_bmm_params;

/*
 * 2-D convolution: any stride, dilation and padding; groups, as arm_convolve_wrapper_s8 has them.
 * Cores with the DSP extension put the windows of two pixels into scratch, where there are
 * four bytes for each of a filter's taps, filled up to a multiple of 4, and no groups. Then the outputs of two pixels
 * are written after all reads for both.
 */
arm_cmsis_nn_status arm_convolve_wrapper_s16(const cmsis_nn_context *ctx,
                                             const cmsis_nn_conv_params *conv_params,
                                             const cmsis_nn_per_channel_quant_params *quant_params,
                                             const cmsis_nn_dims *input_dims,
                                             const int16_t *input_data,
                                             const cmsis_nn_dims *filter_dims,
                                             const int8_t *filter_data,
                                             const cmsis_nn_dims *bias_dims,
                                             const cmsis_nn_bias_data *bias_data,
                                             const cmsis_nn_dims *output_dims,
                                             int16_t *output_data);
int32_t arm_convolve_wrapper_s16_get_buffer_size(const cmsis_nn_conv_params *conv_params,
                                                 const cmsis_nn_dims *input_dims,
                                                 const cmsis_nn_dims *filter_dims,
                                                 const cmsis_nn_dims *output_dims);

/* The same without scratch. */
arm_cmsis_nn_status tflm_opt_convolve_plain_s16(const cmsis_nn_context *ctx,
                                                const cmsis_nn_conv_params *conv_params,
                                                const cmsis_nn_per_channel_quant_params *quant_params,
                                                const cmsis_nn_dims *input_dims,
                                                const int16_t *input_data,
                                                const cmsis_nn_dims *filter_dims,
                                                const int8_t *filter_data,
                                                const cmsis_nn_dims *bias_dims,
                                                const cmsis_nn_bias_data *bias_data,
                                                const cmsis_nn_dims *output_dims,
                                                int16_t *output_data);

/* Depthwise convolution: any stride, dilation, padding and multiplier. */
arm_cmsis_nn_status arm_depthwise_conv_s16(const cmsis_nn_context *ctx,
                                           const cmsis_nn_dw_conv_params *dw_conv_params,
                                           const cmsis_nn_per_channel_quant_params *quant_params,
                                           const cmsis_nn_dims *input_dims,
                                           const int16_t *input_data,
                                           const cmsis_nn_dims *filter_dims,
                                           const int8_t *filter_data,
                                           const cmsis_nn_dims *bias_dims,
                                           const int64_t *bias_data,
                                           const cmsis_nn_dims *output_dims,
                                           int16_t *output_data);

/* The same under the name of CMSIS-NN's chooser. */
arm_cmsis_nn_status arm_depthwise_conv_wrapper_s16(
    const cmsis_nn_context *ctx,
    const cmsis_nn_dw_conv_params *dw_conv_params,
    const cmsis_nn_per_channel_quant_params *quant_params,
    const cmsis_nn_dims *input_dims,
    const int16_t *input_data,
    const cmsis_nn_dims *filter_dims,
    const int8_t *filter_data,
    const cmsis_nn_dims *bias_dims,
    const int64_t *bias_data,
    const cmsis_nn_dims *output_dims,
    int16_t *output_data);
int32_t arm_depthwise_conv_wrapper_s16_get_buffer_size(
    const cmsis_nn_dw_conv_params *dw_conv_params,
    const cmsis_nn_dims *input_dims,
    const cmsis_nn_dims *filter_dims,
    const cmsis_nn_dims *output_dims);

/* Fully connected, dims as in arm_fully_connected_s8. */
arm_cmsis_nn_status arm_fully_connected_s16(const cmsis_nn_context *ctx,
                                            const cmsis_nn_fc_params *fc_params,
                                            const cmsis_nn_per_tensor_quant_params *quant_params,
                                            const cmsis_nn_dims *input_dims,
                                            const int16_t *input_data,
                                            const cmsis_nn_dims *filter_dims,
                                            const int8_t *filter_data,
                                            const cmsis_nn_dims *bias_dims,
                                            const int64_t *bias_data,
                                            const cmsis_nn_dims *output_dims,
                                            int16_t *output_data);
int32_t arm_fully_connected_s16_get_buffer_size(const cmsis_nn_dims *filter_dims);

/*
 * Matrix products [n, h, rows, depth] by [n, h, columns, depth], the right side transposed, whose n
 * and h each are the output's or 1. Offsets are added here, also to int16.
 */
arm_cmsis_nn_status arm_batch_matmul_s8(const cmsis_nn_context *ctx,
                                        const cmsis_nn_bmm_params *bmm_params,
                                        const cmsis_nn_per_tensor_quant_params *quant_params,
                                        const cmsis_nn_dims *input_lhs_dims,
                                        const int8_t *input_lhs,
                                        const cmsis_nn_dims *input_rhs_dims,
                                        const int8_t *input_rhs,
                                        const cmsis_nn_dims *output_dims,
                                        int8_t *output);
arm_cmsis_nn_status arm_batch_matmul_s16(const cmsis_nn_context *ctx,
                                         const cmsis_nn_bmm_params *bmm_params,
                                         const cmsis_nn_per_tensor_quant_params *quant_params,
                                         const cmsis_nn_dims *input_lhs_dims,
                                         const int16_t *input_lhs,
                                         const cmsis_nn_dims *input_rhs_dims,
                                         const int16_t *input_rhs,
                                         const cmsis_nn_dims *output_dims,
                                         int16_t *output);

/*
 * Sum and product of two inputs of the same shape; offsets are added. For the sum left_shift is 15,
 * and shifts are 0 or negative.
 */
arm_cmsis_nn_status arm_elementwise_add_s16(const int16_t *input_1_vect,
                                            const int16_t *input_2_vect,
                                            const int32_t input_1_offset,
                                            const int32_t input_1_mult,
                                            const int32_t input_1_shift,
                                            const int32_t input_2_offset,
                                            const int32_t input_2_mult,
                                            const int32_t input_2_shift,
                                            const int32_t left_shift,
                                            int16_t *output,
                                            const int32_t out_offset,
                                            const int32_t out_mult,
                                            const int32_t out_shift,
                                            const int32_t out_activation_min,
                                            const int32_t out_activation_max,
                                            const int32_t block_size);
arm_cmsis_nn_status arm_elementwise_mul_s16(const int16_t *input_1_vect,
                                            const int16_t *input_2_vect,
                                            const int32_t input_1_offset,
                                            const int32_t input_2_offset,
                                            int16_t *output,
                                            const int32_t out_offset,
                                            const int32_t out_mult,
                                            const int32_t out_shift,
                                            const int32_t out_activation_min,
                                            const int32_t out_activation_max,
                                            const int32_t block_size);

/* Average and greatest element of each window, as in arm_avgpool_s8 and arm_max_pool_s8. */
arm_cmsis_nn_status arm_avgpool_s16(const cmsis_nn_context *ctx,
                                    const cmsis_nn_pool_params *pool_params,
                                    const cmsis_nn_dims *input_dims,
                                    const int16_t *input_data,
                                    const cmsis_nn_dims *filter_dims,
                                    const cmsis_nn_dims *output_dims,
                                    int16_t *output_data);
int32_t arm_avgpool_s16_get_buffer_size(const int output_x, const int ch_src);
arm_cmsis_nn_status arm_max_pool_s16(const cmsis_nn_context *ctx,
                                     const cmsis_nn_pool_params *pool_params,
                                     const cmsis_nn_dims *input_dims,
                                     const int16_t *input_data,
                                     const cmsis_nn_dims *filter_dims,
                                     const cmsis_nn_dims *output_dims,
                                     int16_t *output_data);

/* Softmax over rows, from tables; the output has scale 2^-15. It may run in place. */
arm_cmsis_nn_status arm_softmax_s16(const int16_t *input,
                                    const int32_t num_rows,
                                    const int32_t row_size,
                                    const int32_t mult,
                                    const int32_t shift,
                                    const cmsis_nn_softmax_lut_s16 *softmax_params,
                                    int16_t *output);

/* As arm_softmax_s8, with an output of scale 2^-16 and zero point -32768. */
void arm_softmax_s8_s16(const int8_t *input,
                        const int32_t num_rows,
                        const int32_t row_size,
                        const int32_t mult,
                        const int32_t shift,
                        const int32_t diff_min,
                        int16_t *output);

/*
 * ADD, SUB and MUL, of equal shapes or broadcast: as the s8 kernels of these names. Offsets are not
 * read, left_shift is 15.
 */
arm_cmsis_nn_status tflm_opt_broadcast_add_s16(const tflm_opt_sum_params *params,
                                               const tflm_opt_broadcast *shape,
                                               const int16_t *input1_data,
                                               const int16_t *input2_data,
                                               int16_t *output_data);
arm_cmsis_nn_status tflm_opt_broadcast_sub_s16(const tflm_opt_sum_params *params,
                                               const tflm_opt_broadcast *shape,
                                               const int16_t *input1_data,
                                               const int16_t *input2_data,
                                               int16_t *output_data);
arm_cmsis_nn_status tflm_opt_broadcast_mul_s16(const tflm_opt_product_params *params,
                                               const tflm_opt_broadcast *shape,
                                               const int16_t *input1_data,
                                               const int16_t *input2_data,
                                               int16_t *output_data);

/* MEAN and SUM: the sum of the elements, requantized. No sum is 2^31 or more. */
arm_cmsis_nn_status tflm_opt_sum_s16(const tflm_opt_reduce_params *params,
                                     const tflm_opt_reduction *shape,
                                     const int16_t *input_data,
                                     int16_t *output_data);

/* RELU, RELU6 and LEAKY_RELU: a factor for values below zero and one for the others, then a clamp. */
typedef struct {
    cmsis_nn_per_tensor_quant_params below;
    cmsis_nn_per_tensor_quant_params others;
    cmsis_nn_activation activation;
} tflm_opt_slopes;

void tflm_opt_leaky_relu_s16(const tflm_opt_slopes *slopes,
                             const int16_t *input,
                             int32_t size,
                             int16_t *output);

/* LOGISTIC and TANH: (x * multiplier + half) >> shift has 3 * 2^12 for 1; the output's scale is 2^-15. */
void tflm_opt_logistic_s16(const int16_t *input,
                           int32_t multiplier,
                           int32_t shift,
                           int32_t size,
                           int16_t *output);
void tflm_opt_tanh_of_s16(const int16_t *input,
                          int32_t multiplier,
                          int32_t shift,
                          int32_t size,
                          int16_t *output);

#ifdef __cplusplus
}
#endif

#endif /* TFLM_OPT_INT16_H */
