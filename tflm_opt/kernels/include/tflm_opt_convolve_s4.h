/*
 * Convolutions whose weights are unpacked channel by channel: not part of the public interface.
 */
#ifndef TFLM_OPT_CONVOLVE_S4_H
#define TFLM_OPT_CONVOLVE_S4_H

#include "tflm_opt_check.h"
#include "tflm_opt_convolve.h"
#include "tflm_opt_kernels.h"
#include "tflm_opt_unpack.h"

/*
 * What the calls share. Pixels are made in the blocks of tflm_opt_gemm.h, but for those that go on
 * in the next row, which are made in two parts: for each, the weights of some channels after the
 * other's are unpacked. In groups a block is one pixel.
 */
typedef struct {
    const cmsis_nn_conv_params *params;
    const cmsis_nn_per_channel_quant_params *quant;
    const cmsis_nn_dims *input;
    const cmsis_nn_dims *filter;
    const cmsis_nn_dims *output;
    const int32_t *packed;
    const int32_t *bias;
    int8_t *unpacked;
    int32_t channels; /* unpacked at a time */
    int32_t group_channels;
} tflm_opt_unpacking;

/* Some channels of a span; `first` is the first one's number, `pixel` its outputs' place. */
TFLM_OPT_APART void tflm_opt_some_channels(const tflm_opt_unpacking *job,
                                   const tflm_opt_lines *input,
                                   const tflm_opt_span *span,
                                   int32_t first,
                                   int32_t count,
                                   int8_t *output)
{
    const int32_t row = job->filter->w * job->filter->c;
    const int32_t depth = job->filter->h * row;
    const int8_t *weights =
        tflm_opt_unpack_s4(job->packed, first * depth, count * depth, job->unpacked);
    tflm_opt_convolution conv;
    tflm_opt_taps taps;
    tflm_opt_set_convolution(&conv, job->params, job->quant, job->input, job->filter, job->bias,
                             job->output);
    conv.groups = 1;
    conv.group_channels = count;
    conv.channels.bias += first * conv.channels.bias_step;
    conv.channels.multiplier += first;
    conv.channels.shift += first;
    taps = tflm_opt_convolution_rows(job->params, job->input, input, job->filter, span->y, span->x,
                                     &conv.rows);
    conv.rows.origin += first / job->group_channels * job->filter->c;
    tflm_opt_convolve_span(&conv, weights + taps.first * row, span, job->output->c, output + first);
}

/* All channels of a span. */
TFLM_OPT_APART void tflm_opt_unpack_span(const tflm_opt_unpacking *job,
                                 const tflm_opt_lines *input,
                                 const tflm_opt_span *span,
                                 int8_t *output)
{
    int32_t group;
    for (group = 0; group < job->output->c; group += job->group_channels) {
        int32_t done;
        for (done = 0; done < job->group_channels; done += job->channels) {
            const int32_t left = job->group_channels - done;
            tflm_opt_some_channels(job, input, span, group + done,
                                   tflm_opt_min(job->channels, left), output);
        }
    }
}

TFLM_OPT_APART arm_cmsis_nn_status tflm_opt_convolve_unpacked(
    const cmsis_nn_context *ctx,
    const cmsis_nn_conv_params *params,
    const cmsis_nn_per_channel_quant_params *quant,
    const cmsis_nn_dims *input_dims,
    const int8_t *input_data,
    const cmsis_nn_dims *filter_dims,
    const int32_t *filter_data,
    const int32_t *bias_data,
    const cmsis_nn_dims *output_dims,
    int8_t *output_data)
{
    const int pointwise = tflm_opt_is_pointwise(params, input_dims, filter_dims, output_dims);
    const int32_t depth = filter_dims->h * filter_dims->w * filter_dims->c;
    const int32_t pixels = input_dims->n * input_dims->h * input_dims->w;
    const cmsis_nn_dims in_row = {1, 1, pixels, input_dims->c};
    const cmsis_nn_dims out_row = {1, 1, pixels, output_dims->c};
    const int32_t size = tflm_opt_beside_pair(ctx->size, filter_dims);
    tflm_opt_gemm_plan plan;
    tflm_opt_unpacking job;
    tflm_opt_span span = {0, 0, 0};
    int32_t n;
    job.params = params;
    job.quant = quant;
    job.input = pointwise ? &in_row : input_dims;
    job.filter = filter_dims;
    job.output = pointwise ? &out_row : output_dims;
    job.packed = filter_data;
    job.bias = bias_data;
    job.unpacked = (int8_t *)ctx->buf;
    job.group_channels = output_dims->c / (input_dims->c / filter_dims->c);
    job.channels = tflm_opt_unpacked_channels(ctx->size, depth, job.group_channels);
    plan = tflm_opt_gemm_divide(depth, output_dims->c, pointwise ? 0 : 2 * tflm_opt_gemm_round(depth),
                                size);
    if (input_dims->c != filter_dims->c) {
        plan.block = 1;
    }
    if (ctx->buf == NULL || job.channels < 1 || plan.block < 1) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    for (n = 0; n < job.input->n; n++) {
        tflm_opt_lines_shape shape;
        const tflm_opt_lines lines = tflm_opt_whole(job.input, input_data, &shape);
        for (span.y = 0; span.y < job.output->h; span.y++) {
            for (span.x = 0; span.x < job.output->w; span.x += span.count) {
                const int32_t done = (span.y * job.output->w + span.x) % plan.block;
                span.count = tflm_opt_min(plan.block - done, job.output->w - span.x);
                tflm_opt_unpack_span(&job, &lines, &span, output_data);
                output_data += span.count * output_dims->c;
            }
        }
        input_data += job.input->h * job.input->w * job.input->c;
    }
    return ARM_CMSIS_NN_SUCCESS;
}

#endif /* TFLM_OPT_CONVOLVE_S4_H */
