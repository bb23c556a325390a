/*
 * Fully connected layers row by row, by the kernel that the core's tier has for a row: not part of
 * the public interface.
 *
 * Where a source defines TFLM_OPT_DENSE_PAIRED as 1 (see tflm_opt_dense.h), that is the kernel. A
 * context is for kernels that unpack rows in scratch; NULL leaves them out.
 */
#ifndef TFLM_OPT_CONNECT_H
#define TFLM_OPT_CONNECT_H

#include "tflm_opt_dense.h"
#include "tflm_opt_dense_words.h"
#include "tflm_opt_mve.h"

/* One row on cores without DSP instructions. */
TFLM_OPT_INLINE void tflm_opt_connect_line(const cmsis_nn_context *ctx,
                                           const tflm_opt_channels *channels,
                                           const int8_t *input,
                                           const int8_t *filter,
                                           int32_t count,
                                           int8_t *output)
{
#if TFLM_OPT_DENSE_WORDS
    if (tflm_opt_words_line(ctx, channels, input, filter, count, output)) {
        return;
    }
#endif
    (void)ctx;
    tflm_opt_dot_line_s8(channels, input, filter, count, output);
}

/*
 * All outputs, row by row, so that they are made in order. Of the channels, biases and scales are
 * there; where one scale is for all, one value is.
 */
TFLM_OPT_INLINE void tflm_opt_connect(const cmsis_nn_context *ctx,
                                      const cmsis_nn_fc_params *params,
                                      tflm_opt_channels *channels,
                                      int32_t rows,
                                      const int8_t *input,
                                      int32_t depth,
                                      const int8_t *filter,
                                      int32_t count,
                                      int8_t *output)
{
#if TFLM_OPT_MVE
    int32_t multipliers[TFLM_OPT_BLOCK];
    int32_t shifts[TFLM_OPT_BLOCK];
    int32_t care;
    if (channels->quant_step == 0) {
        int32_t i;
        for (i = 0; i < TFLM_OPT_BLOCK; i++) {
            multipliers[i] = *channels->multiplier;
            shifts[i] = *channels->shift;
        }
        channels->multiplier = multipliers;
        channels->shift = shifts;
    }
#endif
    channels->filter_size = depth;
    channels->input_offset = params->input_offset;
    channels->output_offset = params->output_offset;
    channels->activation = params->activation;
#if TFLM_OPT_MVE
    care = tflm_opt_care(channels, count);
#endif
    for (; rows > 0; rows--) {
#if TFLM_OPT_MVE
        (void)ctx;
        tflm_opt_dot_lines_s8(channels, care, input, 0, 1, filter, count, output, 0);
#elif defined(TFLM_OPT_DENSE_PAIRED)
        tflm_opt_dense_spread(channels, input, ctx != NULL ? (uint32_t *)ctx->buf : NULL, filter,
                              count, output);
#elif TFLM_OPT_DSP
        (void)ctx;
        tflm_opt_dense_line_s8(channels, input, filter, count, output);
#else
        tflm_opt_connect_line(ctx, channels, input, filter, count, output);
#endif
        input += depth;
        output += count;
    }
}

/* The same for layers whose input has no offset any more, with the arguments of their kernels. */
TFLM_OPT_INLINE arm_cmsis_nn_status tflm_opt_connect_plain(
    const cmsis_nn_context *ctx,
    const cmsis_nn_fc_params *params,
    const cmsis_nn_quant_params *quant,
    const cmsis_nn_dims *input_dims,
    const int8_t *input,
    const cmsis_nn_dims *filter_dims,
    const int8_t *filter,
    const int32_t *bias,
    const cmsis_nn_dims *output_dims,
    int8_t *output)
{
    tflm_opt_channels channels;
    if (params->input_offset != 0 || params->filter_offset != 0 || bias == NULL) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    channels.bias = bias;
    channels.bias_step = 1;
    channels.multiplier = quant->multiplier;
    channels.shift = quant->shift;
    channels.quant_step = quant->is_per_channel ? 1 : 0;
    tflm_opt_connect(ctx, params, &channels, input_dims->n, input, filter_dims->n, filter,
                     output_dims->c, output);
    return ARM_CMSIS_NN_SUCCESS;
}

#endif /* TFLM_OPT_CONNECT_H */
