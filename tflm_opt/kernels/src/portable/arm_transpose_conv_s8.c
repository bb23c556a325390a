#include "tflm_opt_dot.h"
#include "tflm_opt_kernels.h"

#include <stddef.h>

/*
 * The output gathers: for an output row, the taps that meet an input row are `phase`,
 * `phase + stride`, ..., and the input rows they meet run down from `base`. No scratch, and each
 * output is written once.
 */
typedef struct {
    int32_t phase;
    int32_t base;
} position;

static position start(int32_t padding, int32_t stride)
{
    position at;
    at.base = padding / stride;
    at.phase = padding - at.base * stride;
    return at;
}

static void advance(position *at, int32_t stride)
{
    at->phase++;
    if (at->phase == stride) {
        at->phase = 0;
        at->base++;
    }
}

/* Skip the taps that meet rows below the input. */
static position inside(position at, int32_t stride, int32_t size)
{
    while (at.base >= size) {
        at.base--;
        at.phase += stride;
    }
    return at;
}

typedef struct {
    const cmsis_nn_transpose_conv_params *params;
    const cmsis_nn_dims *input;
    const cmsis_nn_dims *filter;
} transposed;

static int32_t gather(const transposed *conv,
                      const int8_t *image,
                      const int8_t *filter,
                      position row,
                      position column,
                      int32_t sum)
{
    const int32_t depth = conv->input->c;
    const cmsis_nn_tile stride = conv->params->stride;
    int32_t ky = row.phase;
    int32_t y = row.base;
    for (; ky < conv->filter->h && y >= 0; ky += stride.h, y--) {
        const int8_t *in_row = image + y * conv->input->w * depth;
        const int8_t *taps = filter + ky * conv->filter->w * depth;
        int32_t kx = column.phase;
        int32_t x = column.base;
        for (; kx < conv->filter->w && x >= 0; kx += stride.w, x--) {
            sum = tflm_opt_dot_s8(sum, in_row + x * depth, taps + kx * depth, depth,
                                  conv->params->input_offset);
        }
    }
    return sum;
}

arm_cmsis_nn_status arm_transpose_conv_s8(const cmsis_nn_context *ctx,
                                          const cmsis_nn_context *output_ctx,
                                          const cmsis_nn_transpose_conv_params *params,
                                          const cmsis_nn_per_channel_quant_params *quant_params,
                                          const cmsis_nn_dims *input_dims,
                                          const int8_t *input_data,
                                          const cmsis_nn_dims *filter_dims,
                                          const int8_t *filter_data,
                                          const cmsis_nn_dims *bias_dims,
                                          const int32_t *bias_data,
                                          const cmsis_nn_dims *output_dims,
                                          int8_t *output_data)
{
    const int32_t filter_size = filter_dims->h * filter_dims->w * filter_dims->c;
    transposed conv;
    int32_t n;
    int32_t y;
    int32_t x;
    int32_t channel;
    (void)ctx;
    (void)output_ctx;
    (void)bias_dims;
    if (params->dilation.h != 1 || params->dilation.w != 1 || filter_dims->c != input_dims->c) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    conv.params = params;
    conv.input = input_dims;
    conv.filter = filter_dims;
    for (n = 0; n < input_dims->n; n++) {
        position row = start(params->padding.h, params->stride.h);
        for (y = 0; y < output_dims->h; y++) {
            const position in_row = inside(row, params->stride.h, input_dims->h);
            position column = start(params->padding.w, params->stride.w);
            for (x = 0; x < output_dims->w; x++) {
                const position in_column = inside(column, params->stride.w, input_dims->w);
                const int8_t *filter = filter_data;
                for (channel = 0; channel < output_dims->c; channel++) {
                    const int32_t bias = bias_data != NULL ? bias_data[channel] : 0;
                    const int32_t sum =
                        gather(&conv, input_data, filter, in_row, in_column, bias);
                    *output_data++ =
                        tflm_opt_output_s8(sum, quant_params->multiplier[channel],
                                           quant_params->shift[channel], params->output_offset,
                                           params->activation);
                    filter += filter_size;
                }
                advance(&column, params->stride.w);
            }
            advance(&row, params->stride.h);
        }
        input_data += input_dims->h * input_dims->w * input_dims->c;
    }
    return ARM_CMSIS_NN_SUCCESS;
}

int32_t arm_transpose_conv_s8_get_buffer_size(const cmsis_nn_transpose_conv_params *params,
                                              const cmsis_nn_dims *input_dims,
                                              const cmsis_nn_dims *filter_dims,
                                              const cmsis_nn_dims *output_dims)
{
    (void)params;
    (void)input_dims;
    (void)filter_dims;
    (void)output_dims;
    return 0;
}
