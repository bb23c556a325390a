/*
 * Kernels that compute: convolutions, fully connected, sums and products, pooling, reductions,
 * softmax. Include tflm_opt_kernels.h rather than this file.
 *
 * Order of arguments: context, parameters, quantization, then dims and data in pairs, output
 * last. Values are int8 and sums are int32.
 */
#ifndef TFLM_OPT_ARITHMETIC_H
#define TFLM_OPT_ARITHMETIC_H

#include "tflm_opt_types.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * 2-D convolution: any stride, dilation and padding; groups.
 *
 * input [n, h, w, c], filter [out_c, kh, kw, c / groups], bias [out_c] or NULL, output
 * [n, out_h, out_w, out_c]. filter_dims is {out_c, kh, kw, c / groups}; the number of groups is
 * input_dims->c / filter_dims->c, and out_c is a multiple of it. Needs no scratch.
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

#ifdef __cplusplus
}
#endif

#endif /* TFLM_OPT_ARITHMETIC_H */
