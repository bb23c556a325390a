/*
 * Kernels of generated code with 8-bit activations and 4-bit weights. Include tflm_opt_kernels.h
 * rather than this file.
 *
 * Their weights are in words, in the order of the int8 kernels' weights, 8 in a word: byte i has
 * number i in its lower half and number i + 4 in its upper one, each as weight + 8. So a mask makes
 * four neighbouring bytes, or the halves that SMLAD takes, of any core's word. A filter's last word
 * is filled up with 8, which is weight 0.
 *
 * Weights are unpacked into scratch: of a block of output channels, for a block of pixels, or all
 * at once where there is room. All these kernels need scratch; tflm_opt_unpack.h says how much, and
 * how it is divided. All else is as in the comments of the int8 kernels.
 */
#ifndef TFLM_OPT_PACKED_H
#define TFLM_OPT_PACKED_H

#include "tflm_opt_types.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Weights number first to first + count - 1 as bytes, into `target`, which is aligned to 4 and has
 * room for (count + 14) & ~7 bytes. Where the first of them is.
 */
const int8_t *tflm_opt_unpack_s4(const int32_t *packed,
                                 int32_t first,
                                 int32_t count,
                                 int8_t *target);

arm_cmsis_nn_status tflm_opt_convolve_s4(const cmsis_nn_context *ctx,
                                         const cmsis_nn_conv_params *conv_params,
                                         const cmsis_nn_per_channel_quant_params *quant_params,
                                         const cmsis_nn_dims *input_dims,
                                         const int8_t *input_data,
                                         const cmsis_nn_dims *filter_dims,
                                         const int32_t *filter_data,
                                         const cmsis_nn_dims *bias_dims,
                                         const int32_t *bias_data,
                                         const cmsis_nn_dims *output_dims,
                                         int8_t *output_data);

arm_cmsis_nn_status tflm_opt_depthwise_s4(const cmsis_nn_context *ctx,
                                          const cmsis_nn_dw_conv_params *dw_conv_params,
                                          const cmsis_nn_per_channel_quant_params *quant_params,
                                          const cmsis_nn_dims *input_dims,
                                          const int8_t *input_data,
                                          const cmsis_nn_dims *filter_dims,
                                          const int32_t *filter_data,
                                          const cmsis_nn_dims *bias_dims,
                                          const int32_t *bias_data,
                                          const cmsis_nn_dims *output_dims,
                                          int8_t *output_data);

arm_cmsis_nn_status tflm_opt_fully_connected_s4(const cmsis_nn_context *ctx,
                                                const cmsis_nn_fc_params *fc_params,
                                                const cmsis_nn_quant_params *quant_params,
                                                const cmsis_nn_dims *input_dims,
                                                const int8_t *input_data,
                                                const cmsis_nn_dims *filter_dims,
                                                const int32_t *filter_data,
                                                const cmsis_nn_dims *bias_dims,
                                                const int32_t *bias_data,
                                                const cmsis_nn_dims *output_dims,
                                                int8_t *output_data);

#ifdef __cplusplus
}
#endif

#endif /* TFLM_OPT_PACKED_H */
