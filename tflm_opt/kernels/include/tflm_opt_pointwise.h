/*
 * Kernels that make each output value from the value, or few values, at its own place: tables,
 * conversions between types, minimum and maximum, PRELU, bilinear resizing.
 *
 * All write their output in memory order, each element once. Input and output may overlap where
 * one of them is made of bytes; a compiler may reorder accesses to two wider types.
 */
#ifndef TFLM_OPT_POINTWISE_H
#define TFLM_OPT_POINTWISE_H

#include "tflm_opt_types.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * output[i] = table[input[i]], with the input byte read as unsigned: every unary op on 8-bit
 * tensors. input, table and output: int8 or uint8; table: 256 values.
 */
void tflm_opt_lut_s8(const void *input, const void *table, int32_t size, void *output);

/*
 * QUANTIZE from float: round(input / scale) + zero_point, halves away from zero, saturated.
 * Infinities saturate; NaN becomes the zero point (TFLM leaves both undefined). scale > 0.
 */
void tflm_opt_quantize_f32_s8(const float *input, float scale, int32_t zero_point, int32_t size,
                              int8_t *output);
void tflm_opt_quantize_f32_s16(const float *input, float scale, int32_t zero_point, int32_t size,
                               int16_t *output);

/* DEQUANTIZE: scale * (input - zero_point), rounded once. */
void tflm_opt_dequantize_s8_f32(const int8_t *input, float scale, int32_t zero_point, int32_t size,
                                float *output);
void tflm_opt_dequantize_u8_f32(const uint8_t *input, float scale, int32_t zero_point, int32_t size,
                                float *output);
void tflm_opt_dequantize_s16_f32(const int16_t *input, float scale, int32_t zero_point,
                                 int32_t size, float *output);

/* QUANTIZE between integers. Bytes are 1, 2 or 4 (int8, int16, int32). */
typedef struct {
    int32_t input_bytes;
    int32_t output_bytes;
    int32_t multiplier;
    int32_t shift;
    int32_t input_zero_point;
    int32_t output_zero_point;
} tflm_opt_rescale_params;

void tflm_opt_rescale(const tflm_opt_rescale_params *params, const void *input, int32_t size,
                      void *output);

/* As CMSIS-NN: elementwise, each axis of either input either full or 1. ctx is not used. */
arm_cmsis_nn_status arm_minimum_s8(const cmsis_nn_context *ctx, const int8_t *input_1_data,
                                   const cmsis_nn_dims *input_1_dims, const int8_t *input_2_data,
                                   const cmsis_nn_dims *input_2_dims, int8_t *output_data,
                                   const cmsis_nn_dims *output_dims);
arm_cmsis_nn_status arm_maximum_s8(const cmsis_nn_context *ctx, const int8_t *input_1_data,
                                   const cmsis_nn_dims *input_1_dims, const int8_t *input_2_data,
                                   const cmsis_nn_dims *input_2_dims, int8_t *output_data,
                                   const cmsis_nn_dims *output_dims);

/* Offsets are added to inputs; `positive` scales inputs of at least 0, `negative` products. */
typedef struct {
    int32_t input_offset;
    int32_t alpha_offset;
    int32_t output_offset;
    cmsis_nn_per_tensor_quant_params positive;
    cmsis_nn_per_tensor_quant_params negative;
} tflm_opt_prelu_params;

/* PRELU: each axis of input and alpha either full or 1. */
arm_cmsis_nn_status tflm_opt_prelu_s8(const tflm_opt_prelu_params *params, const int8_t *input,
                                      const cmsis_nn_dims *input_dims, const int8_t *alpha,
                                      const cmsis_nn_dims *alpha_dims, int8_t *output,
                                      const cmsis_nn_dims *output_dims);

/*
 * Input steps of one output step, as TFLite rounds them, and where output row and column 0 lie:
 * both in 1/1024. A band of an image starts anywhere.
 */
typedef struct {
    cmsis_nn_tile scale;
    cmsis_nn_tile start;
} tflm_opt_resize_params;

/* RESIZE_BILINEAR in integers. The last sample must lie inside the input. */
void tflm_opt_resize_bilinear_s8(const tflm_opt_resize_params *params, const int8_t *input,
                                 const cmsis_nn_dims *input_dims, int8_t *output,
                                 const cmsis_nn_dims *output_dims);

#ifdef __cplusplus
}
#endif

#endif /* TFLM_OPT_POINTWISE_H */
