/*
 * Layers with a memory (SVDF, LSTM), sums of weights, and other functions that code written for
 * CMSIS-NN calls and the engine does not. Include tflm_opt_kernels.h rather than this file.
 *
 * Arguments are checked before anything is written: ARM_CMSIS_NN_ARG_ERROR.
 */
#ifndef TFLM_OPT_RECURRENT_H
#define TFLM_OPT_RECURRENT_H

#include "tflm_opt_types.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    ARM_SIGMOID = 0,
    ARM_TANH = 1
} arm_nn_activation_type;

/* Output axis i is input axis permutations[i]. */
typedef struct {
    int32_t num_dims;
    const uint32_t *permutations;
} cmsis_nn_transpose_params;

/*
 * rank: filters that are summed to one output. input_offset is the input's zero point itself, which
 * is subtracted; input_activation bounds what is put into the state, and so does the state's type:
 * TFLM passes the bounds of int16 for an int8 state too.
 */
typedef struct {
    int32_t rank;
    int32_t input_offset;
    int32_t output_offset;
    cmsis_nn_activation input_activation;
    cmsis_nn_activation output_activation;
} cmsis_nn_svdf_params;

/*
 * One gate. Weights are int8 [hidden_size, input_size] and [hidden_size, hidden_size]. Effective
 * biases hold what the offsets add to each sum, and input_effective_bias the bias too
 * (arm_vector_sum_s8): int32 for int8 activations, int64 for int16. `bias` is not read.
 */
typedef struct {
    int32_t input_multiplier;
    int32_t input_shift;
    const void *input_weights;
    const void *input_effective_bias;
    int32_t hidden_multiplier;
    int32_t hidden_shift;
    const void *hidden_weights;
    const void *hidden_effective_bias;
    const void *bias;
    arm_nn_activation_type activation_type;
} cmsis_nn_lstm_gate;

/*
 * An input is [time, batch, input_size] if time_major, else [batch, time, input_size]; the output
 * likewise. The cell's scale is 2^cell_scale_power; its values are kept within +-cell_clip, if that
 * is above 0. input_offset is not read: it is in the effective biases.
 */
typedef struct {
    int32_t time_major;
    int32_t batch_size;
    int32_t time_steps;
    int32_t input_size;
    int32_t hidden_size;
    int32_t input_offset;
    int32_t forget_to_cell_multiplier;
    int32_t forget_to_cell_shift;
    int32_t input_to_cell_multiplier;
    int32_t input_to_cell_shift;
    int32_t cell_clip;
    int32_t cell_scale_power;
    int32_t output_multiplier;
    int32_t output_shift;
    int32_t output_offset;
    cmsis_nn_lstm_gate forget_gate;
    cmsis_nn_lstm_gate input_gate;
    cmsis_nn_lstm_gate cell_gate;
    cmsis_nn_lstm_gate output_gate;
} cmsis_nn_lstm_params;

/*
 * cell_state: int16 [batch, hidden_size]. hidden_state: [batch, hidden_size] of the activations'
 * type, or NULL; it holds what is known before the first step, and what the last step gave
 * afterwards. Without one, the layer starts from zero, its cell too. temp1 and temp2 are not used.
 */
typedef struct {
    void *temp1;
    void *temp2;
    void *cell_state;
    void *hidden_state;
} cmsis_nn_lstm_context;

arm_cmsis_nn_status arm_lstm_unidirectional_s8(const int8_t *input,
                                               int8_t *output,
                                               const cmsis_nn_lstm_params *params,
                                               cmsis_nn_lstm_context *buffers);
arm_cmsis_nn_status arm_lstm_unidirectional_s16(const int16_t *input,
                                                int16_t *output,
                                                const cmsis_nn_lstm_params *params,
                                                cmsis_nn_lstm_context *buffers);

/* A gate's activation: x has 12 bits below the point, and is multiplied by 2^shift, -30 to 14. */
int16_t tflm_opt_sigmoid_s16(int32_t x, int32_t shift);
int16_t tflm_opt_tanh_s16(int32_t x, int32_t shift);

/*
 * SVDF: each filter's product with the input is the newest of its `memory` values in the state, and
 * the output is made of all of them. input_dims {batch, size}, weights_feature_dims {filters, size},
 * weights_time_dims {filters, memory}: n and h of each. state [batch, filters, memory]. The three
 * contexts are not read: no scratch is needed. arm_svdf_s8_get_buffer_size is what TFLM asks for a
 * buffer of arm_vector_sum_s8, and answers as CMSIS-NN on the same core, since TFLM's own code
 * expects that.
 */
arm_cmsis_nn_status arm_svdf_s8(const cmsis_nn_context *ctx,
                                const cmsis_nn_context *input_ctx,
                                const cmsis_nn_context *output_ctx,
                                const cmsis_nn_svdf_params *svdf_params,
                                const cmsis_nn_per_tensor_quant_params *input_quant_params,
                                const cmsis_nn_per_tensor_quant_params *output_quant_params,
                                const cmsis_nn_dims *input_dims,
                                const int8_t *input_data,
                                const cmsis_nn_dims *state_dims,
                                int8_t *state_data,
                                const cmsis_nn_dims *weights_feature_dims,
                                const int8_t *weights_feature_data,
                                const cmsis_nn_dims *weights_time_dims,
                                const int8_t *weights_time_data,
                                const cmsis_nn_dims *bias_dims,
                                const int32_t *bias_data,
                                const cmsis_nn_dims *output_dims,
                                int8_t *output_data);
int32_t arm_svdf_s8_get_buffer_size(const cmsis_nn_dims *weights_feature_dims);

/* The same with a state and time weights of int16. */
arm_cmsis_nn_status arm_svdf_state_s16_s8(
    const cmsis_nn_context *input_ctx,
    const cmsis_nn_context *output_ctx,
    const cmsis_nn_svdf_params *svdf_params,
    const cmsis_nn_per_tensor_quant_params *input_quant_params,
    const cmsis_nn_per_tensor_quant_params *output_quant_params,
    const cmsis_nn_dims *input_dims,
    const int8_t *input_data,
    const cmsis_nn_dims *state_dims,
    int16_t *state_data,
    const cmsis_nn_dims *weights_feature_dims,
    const int8_t *weights_feature_data,
    const cmsis_nn_dims *weights_time_dims,
    const int16_t *weights_time_data,
    const cmsis_nn_dims *bias_dims,
    const int32_t *bias_data,
    const cmsis_nn_dims *output_dims,
    int8_t *output_data);

/*
 * What offsets add to the sums of a matrix product, for each of vector_rows rows of vector_cols
 * weights: lhs_offset * (the sum of weights + vector_cols * rhs_offset) + bias. The int64 form has
 * no rhs_offset. bias_data may be NULL.
 */
arm_cmsis_nn_status arm_vector_sum_s8(int32_t *vector_sum_buf,
                                      const int32_t vector_cols,
                                      const int32_t vector_rows,
                                      const int8_t *vector_data,
                                      const int32_t lhs_offset,
                                      const int32_t rhs_offset,
                                      const int32_t *bias_data);
arm_cmsis_nn_status arm_vector_sum_s8_s64(int64_t *vector_sum_buf,
                                          const int32_t vector_cols,
                                          const int32_t vector_rows,
                                          const int8_t *vector_data,
                                          const int32_t lhs_offset,
                                          const int64_t *bias_data);

/* A permutation of up to 4 axes: the first num_dims of n, h, w, c. The others are not read. */
arm_cmsis_nn_status arm_transpose_s8(const int8_t *input_data,
                                     int8_t *const output_data,
                                     const cmsis_nn_dims *const input_dims,
                                     const cmsis_nn_dims *const output_dims,
                                     const cmsis_nn_transpose_params *const transpose_params);

/* arm_transpose_conv_s8 under the name of CMSIS-NN's chooser; its second buffer is not needed. */
arm_cmsis_nn_status arm_transpose_conv_wrapper_s8(
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
int32_t arm_transpose_conv_s8_get_reverse_conv_buffer_size(
    const cmsis_nn_transpose_conv_params *transpose_conv_params,
    const cmsis_nn_dims *input_dims,
    const cmsis_nn_dims *filter_dims);

#ifdef __cplusplus
}
#endif

#endif /* TFLM_OPT_RECURRENT_H */
