/*
 * Checks of arguments: not part of the public interface.
 *
 * A caller that was written for CMSIS-NN gets an error where its arguments can't be meant, and
 * nothing is written then. Sizes are looked at one by one: that all of a tensor's memory is there,
 * nothing here can know.
 */
#ifndef TFLM_OPT_CHECK_H
#define TFLM_OPT_CHECK_H

#include "tflm_opt_math.h"
#include "tflm_opt_types.h"

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * 1 if windows of these sizes can be laid over the input: pointers are not null, all sizes of input
 * and output, the filter's h and w, strides and dilations are positive, paddings are not negative,
 * bounds are in order, and there are as many images as outputs. Windows may lie outside the input.
 */
int32_t tflm_opt_windows_fit(const cmsis_nn_dims *input_dims,
                             const cmsis_nn_dims *filter_dims,
                             const cmsis_nn_dims *output_dims,
                             const cmsis_nn_tile *stride,
                             const cmsis_nn_tile *padding,
                             const cmsis_nn_tile *dilation,
                             const cmsis_nn_activation *activation);

#ifdef __cplusplus
}
#endif

TFLM_OPT_INLINE int tflm_opt_is_positive(const cmsis_nn_dims *dims)
{
    return dims != NULL && dims->n > 0 && dims->h > 0 && dims->w > 0 && dims->c > 0;
}

/* Shifts that tflm_opt_requantize can do. */
TFLM_OPT_INLINE int tflm_opt_is_shift(int32_t shift)
{
    return shift >= -31 && shift <= 31;
}

TFLM_OPT_INLINE int tflm_opt_has_factors(const cmsis_nn_per_channel_quant_params *quant)
{
    return quant != NULL && quant->multiplier != NULL && quant->shift != NULL;
}

/* A convolution's parameters and dims; groups are the input's channels over the filter's. */
TFLM_OPT_INLINE int tflm_opt_convolution_fits(const cmsis_nn_conv_params *params,
                                              const cmsis_nn_per_channel_quant_params *quant,
                                              const cmsis_nn_dims *input_dims,
                                              const cmsis_nn_dims *filter_dims,
                                              const cmsis_nn_dims *output_dims)
{
    return params != NULL && tflm_opt_has_factors(quant) &&
           tflm_opt_windows_fit(input_dims, filter_dims, output_dims, &params->stride,
                                &params->padding, &params->dilation, &params->activation) &&
           filter_dims->c > 0 && input_dims->c % filter_dims->c == 0 &&
           output_dims->c % (input_dims->c / filter_dims->c) == 0;
}

TFLM_OPT_INLINE int tflm_opt_depthwise_fits(const cmsis_nn_dw_conv_params *params,
                                            const cmsis_nn_per_channel_quant_params *quant,
                                            const cmsis_nn_dims *input_dims,
                                            const cmsis_nn_dims *filter_dims,
                                            const cmsis_nn_dims *output_dims)
{
    return params != NULL && tflm_opt_has_factors(quant) &&
           tflm_opt_windows_fit(input_dims, filter_dims, output_dims, &params->stride,
                                &params->padding, &params->dilation, &params->activation) &&
           params->ch_mult > 0 && output_dims->c == input_dims->c * params->ch_mult;
}

/*
 * A 1x1 convolution. Its filter's dims are not looked at: for a fully connected layer that is one,
 * TFLM passes that layer's.
 */
TFLM_OPT_INLINE int tflm_opt_pointwise_fits(const cmsis_nn_conv_params *params,
                                            const cmsis_nn_per_channel_quant_params *quant,
                                            const cmsis_nn_dims *input_dims,
                                            const cmsis_nn_dims *output_dims)
{
    return params != NULL && tflm_opt_has_factors(quant) && tflm_opt_is_positive(input_dims) &&
           output_dims != NULL && output_dims->c > 0 && params->padding.h == 0 &&
           params->padding.w == 0 && params->stride.h == 1 && params->stride.w == 1 &&
           params->activation.min <= params->activation.max;
}

/* Whether all images of a convolution are one row of pixels. */
TFLM_OPT_INLINE int tflm_opt_is_pointwise(const cmsis_nn_conv_params *params,
                                          const cmsis_nn_dims *input,
                                          const cmsis_nn_dims *filter,
                                          const cmsis_nn_dims *output)
{
    return filter->h == 1 && filter->w == 1 && filter->c == input->c && params->padding.h == 0 &&
           params->padding.w == 0 && params->stride.h == 1 && params->stride.w == 1 &&
           output->h == input->h && output->w == input->w;
}

/* The dims that a fully connected layer reads: rows, depth, channels. */
TFLM_OPT_INLINE int tflm_opt_matrix_fits(const cmsis_nn_fc_params *params,
                                         const cmsis_nn_dims *input_dims,
                                         const cmsis_nn_dims *filter_dims,
                                         const cmsis_nn_dims *output_dims)
{
    return params != NULL && input_dims != NULL && filter_dims != NULL && output_dims != NULL &&
           input_dims->n > 0 && filter_dims->n > 0 && output_dims->c > 0 &&
           params->activation.min <= params->activation.max;
}

/* Windows that each hold an element: pools have nothing to say about empty ones. */
TFLM_OPT_INLINE int tflm_opt_pool_fits(const cmsis_nn_pool_params *params,
                                       const cmsis_nn_dims *input_dims,
                                       const cmsis_nn_dims *filter_dims,
                                       const cmsis_nn_dims *output_dims)
{
    static const cmsis_nn_tile dilation = {1, 1};
    return params != NULL &&
           tflm_opt_windows_fit(input_dims, filter_dims, output_dims, &params->stride,
                                &params->padding, &dilation, &params->activation) &&
           output_dims->c == input_dims->c && params->padding.h < filter_dims->h &&
           params->padding.w < filter_dims->w &&
           (output_dims->h - 1) * params->stride.h - params->padding.h < input_dims->h &&
           (output_dims->w - 1) * params->stride.w - params->padding.w < input_dims->w;
}

/* Two inputs and an output of `count` elements. */
TFLM_OPT_INLINE int tflm_opt_pair_fits(const void *input1,
                                       const void *input2,
                                       const void *output,
                                       int32_t count,
                                       int32_t low,
                                       int32_t high)
{
    return input1 != NULL && input2 != NULL && output != NULL && count >= 0 && low <= high;
}

/* The shifts of a sum's factors, which are below one. */
TFLM_OPT_INLINE int tflm_opt_are_down(int32_t shift1, int32_t shift2, int32_t shift3)
{
    return shift1 >= -31 && shift1 <= 0 && shift2 >= -31 && shift2 <= 0 && shift3 >= -31 &&
           shift3 <= 0;
}

#endif /* TFLM_OPT_CHECK_H */
