// What TFLM's kernels for CMSIS-NN need of a library, as C++ against our headers: the signature of
// every function, the structs as they fill them in, and where fields lie. It is compiled, linked to the
// library and run; 0 is right.

#include <cstddef>
#include <type_traits>

#include "Include/arm_nn_types.h"
#include "Include/arm_nnfunctions.h"

namespace {

using Status = arm_cmsis_nn_status;
using Ctx = const cmsis_nn_context*;
using Dims = const cmsis_nn_dims*;
using Conv = const cmsis_nn_conv_params*;
using Dw = const cmsis_nn_dw_conv_params*;
using Transposed = const cmsis_nn_transpose_conv_params*;
using Pool = const cmsis_nn_pool_params*;
using Fc = const cmsis_nn_fc_params*;
using Bmm = const cmsis_nn_bmm_params*;
using Svdf = const cmsis_nn_svdf_params*;
using Each = const cmsis_nn_per_channel_quant_params*;
using One = const cmsis_nn_per_tensor_quant_params*;
using Any = const cmsis_nn_quant_params*;
using Lstm = const cmsis_nn_lstm_params*;
using I8 = const int8_t*;
using I16 = const int16_t*;
using I32 = const int32_t*;
using I64 = const int64_t*;
using N = int32_t;

template <typename... Args>
using Returns = Status (*)(Args...);
template <typename... Args>
using Sizes = N (*)(Args...);

template <typename Bias, typename Act>
using Convolve = Returns<Ctx, Conv, Each, Dims, const Act*, Dims, I8, Dims, Bias, Dims, Act*>;
template <typename Bias, typename Act>
using Depthwise = Returns<Ctx, Dw, Each, Dims, const Act*, Dims, I8, Dims, Bias, Dims, Act*>;
template <typename Quant, typename Bias, typename Act>
using Full = Returns<Ctx, Fc, Quant, Dims, const Act*, Dims, I8, Dims, Bias, Dims, Act*>;
template <typename Act>
using Pooling = Returns<Ctx, Pool, Dims, const Act*, Dims, Dims, Act*>;
template <typename Act>
using Matmul = Returns<Ctx, Bmm, One, Dims, const Act*, Dims, const Act*, Dims, Act*>;
template <typename Act>
using Add = Returns<const Act*, const Act*, N, N, N, N, N, N, N, Act*, N, N, N, N, N, N>;
template <typename Act>
using Mul = Returns<const Act*, const Act*, N, N, Act*, N, N, N, N, N, N>;
template <typename Out>
using Softmax = void (*)(I8, N, N, N, N, N, Out*);
using Pair = Returns<Ctx, I8, Dims, I8, Dims, int8_t*, Dims>;
template <typename Act>
using Recurrent = Returns<const Act*, Act*, Lstm, cmsis_nn_lstm_context*>;

int used = 0;

template <typename Signature, typename Function>
void need(Function function) {
  static_assert(std::is_same<Signature, Function>::value, "another signature than CMSIS-NN's");
  used += function != nullptr ? 1 : 0;
}

void functions() {
  need<Convolve<I32, int8_t>>(&arm_convolve_wrapper_s8);
  need<Convolve<I32, int8_t>>(&arm_convolve_wrapper_s4);
  need<Convolve<const cmsis_nn_bias_data*, int16_t>>(&arm_convolve_wrapper_s16);
  need<Convolve<I32, int8_t>>(&arm_convolve_1x1_s8_fast);
  need<Sizes<Conv, Dims, Dims, Dims>>(&arm_convolve_wrapper_s8_get_buffer_size);
  need<Sizes<Conv, Dims, Dims, Dims>>(&arm_convolve_wrapper_s4_get_buffer_size);
  need<Sizes<Conv, Dims, Dims, Dims>>(&arm_convolve_wrapper_s16_get_buffer_size);
  need<Sizes<Dims>>(&arm_convolve_1x1_s8_fast_get_buffer_size);
  need<Depthwise<I32, int8_t>>(&arm_depthwise_conv_wrapper_s8);
  need<Depthwise<I32, int8_t>>(&arm_depthwise_conv_wrapper_s4);
  need<Depthwise<I64, int16_t>>(&arm_depthwise_conv_s16);
  need<Depthwise<I64, int16_t>>(&arm_depthwise_conv_wrapper_s16);
  need<Sizes<Dw, Dims, Dims, Dims>>(&arm_depthwise_conv_wrapper_s8_get_buffer_size);
  need<Sizes<Dw, Dims, Dims, Dims>>(&arm_depthwise_conv_wrapper_s4_get_buffer_size);
  need<Sizes<Dw, Dims, Dims, Dims>>(&arm_depthwise_conv_wrapper_s16_get_buffer_size);
  need<Returns<Ctx, Ctx, Transposed, Each, Dims, I8, Dims, I8, Dims, I32, Dims, int8_t*>>(
      &arm_transpose_conv_wrapper_s8);
  need<Sizes<Transposed, Dims, Dims, Dims>>(&arm_transpose_conv_s8_get_buffer_size);
  need<Sizes<Transposed, Dims, Dims>>(&arm_transpose_conv_s8_get_reverse_conv_buffer_size);
  need<Full<Any, I32, int8_t>>(&arm_fully_connected_wrapper_s8);
  need<Full<One, I32, int8_t>>(&arm_fully_connected_s8);
  need<Full<Each, I32, int8_t>>(&arm_fully_connected_per_channel_s8);
  need<Full<One, I32, int8_t>>(&arm_fully_connected_s4);
  need<Full<One, I64, int16_t>>(&arm_fully_connected_s16);
  need<Sizes<Dims>>(&arm_fully_connected_s8_get_buffer_size);
  need<Sizes<Dims>>(&arm_fully_connected_s16_get_buffer_size);
  need<Returns<int32_t*, N, N, I8, N, N, I32>>(&arm_vector_sum_s8);
  need<Returns<int64_t*, N, N, I8, N, I64>>(&arm_vector_sum_s8_s64);
  need<Matmul<int8_t>>(&arm_batch_matmul_s8);
  need<Matmul<int16_t>>(&arm_batch_matmul_s16);
  need<Add<int8_t>>(&arm_elementwise_add_s8);
  need<Add<int16_t>>(&arm_elementwise_add_s16);
  need<Mul<int8_t>>(&arm_elementwise_mul_s8);
  need<Mul<int16_t>>(&arm_elementwise_mul_s16);
  need<Pooling<int8_t>>(&arm_avgpool_s8);
  need<Pooling<int16_t>>(&arm_avgpool_s16);
  need<Pooling<int8_t>>(&arm_max_pool_s8);
  need<Pooling<int16_t>>(&arm_max_pool_s16);
  need<Sizes<int, int>>(&arm_avgpool_s8_get_buffer_size);
  need<Sizes<int, int>>(&arm_avgpool_s16_get_buffer_size);
  need<Softmax<int8_t>>(&arm_softmax_s8);
  need<Softmax<int16_t>>(&arm_softmax_s8_s16);
  need<Returns<I16, N, N, N, N, const cmsis_nn_softmax_lut_s16*, int16_t*>>(&arm_softmax_s16);
  need<Pair>(&arm_minimum_s8);
  need<Pair>(&arm_maximum_s8);
  need<Returns<I8, int8_t*, int8_t, Dims, Dims, Dims>>(&arm_pad_s8);
  need<Returns<I8, int8_t*, Dims, Dims, const cmsis_nn_transpose_params*>>(&arm_transpose_s8);
  need<Returns<Ctx, Ctx, Ctx, Svdf, One, One, Dims, I8, Dims, int8_t*, Dims, I8, Dims, I8, Dims,
               I32, Dims, int8_t*>>(&arm_svdf_s8);
  need<Returns<Ctx, Ctx, Svdf, One, One, Dims, I8, Dims, int16_t*, Dims, I8, Dims, I16, Dims, I32,
               Dims, int8_t*>>(&arm_svdf_state_s16_s8);
  need<Sizes<Dims>>(&arm_svdf_s8_get_buffer_size);
  need<Recurrent<int8_t>>(&arm_lstm_unidirectional_s8);
  need<Recurrent<int16_t>>(&arm_lstm_unidirectional_s16);
}

// Records as TFLM's kernels make them: all of this must compile.
int records() {
  int32_t factors[2] = {1, 2};
  cmsis_nn_per_channel_quant_params each;
  each.multiplier = const_cast<int32_t*>(factors);
  each.shift = each.multiplier + 1;
  each.multiplier[0] = 7;
  cmsis_nn_quant_params any;
  any.multiplier = each.multiplier;
  any.shift = &factors[1];
  any.is_per_channel = true;
  const cmsis_nn_bias_data bias = {factors, true};
  const cmsis_nn_fc_params fc = {0, 0, 0, {-128, 127}};
  const cmsis_nn_bmm_params bmm = {false, true, fc};
  const uint32_t axes[2] = {1, 0};
  const cmsis_nn_transpose_params turn = {2, axes};
  const int16_t table[1] = {0};
  const cmsis_nn_softmax_lut_s16 tables = {table, table};
  const cmsis_nn_lstm_gate gate{1,       2, nullptr, nullptr, 3, 4, nullptr, nullptr,
                                nullptr, ARM_TANH};
  cmsis_nn_lstm_params lstm;
  lstm = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, gate, gate, gate, gate};
  cmsis_nn_lstm_context kept = {};
  cmsis_nn_context context;
  context.buf = nullptr;
  context.size = 0;
  return factors[0] == 7 && any.shift[0] == 2 && bias.is_int32_bias && bmm.adj_y &&
         turn.permutations[0] == 1 && tables.exp_lut == table && lstm.output_offset == 15 &&
         lstm.output_gate.activation_type == ARM_TANH && kept.hidden_state == nullptr &&
         context.buf == nullptr && ARM_SIGMOID == 0;
}

static_assert(ARM_CMSIS_NN_SUCCESS == 0 && ARM_CMSIS_NN_ARG_ERROR == -1 &&
                  ARM_CMSIS_NN_NO_IMPL_ERROR == -2 && ARM_CMSIS_NN_FAILURE == -3,
              "status codes");
static_assert(offsetof(cmsis_nn_dims, c) == 12 && offsetof(cmsis_nn_tile, h) == 4, "dims");
static_assert(offsetof(cmsis_nn_conv_params, dilation) == 24, "convolution");
static_assert(offsetof(cmsis_nn_dw_conv_params, stride) == 12, "depthwise");
static_assert(offsetof(cmsis_nn_transpose_conv_params, padding_offsets) == 24, "transposed");
static_assert(offsetof(cmsis_nn_pool_params, activation) == 16, "pool");
static_assert(offsetof(cmsis_nn_fc_params, output_offset) == 8, "fully connected");
static_assert(offsetof(cmsis_nn_bmm_params, fc_params) == 4, "matrix products");
static_assert(offsetof(cmsis_nn_svdf_params, output_activation) == 20, "svdf");
static_assert(offsetof(cmsis_nn_bias_data, is_int32_bias) == sizeof(void*), "bias");

}  // namespace

int main() {
  functions();
  return used == NEEDED && records() ? 0 : 1;
}
