#include "tflm_opt_channel_sums.h"
#include "tflm_opt_kernels.h"
#include "tflm_opt_reduce.h"
#include "tflm_opt_sum.h"

/* A reduction with what its outputs have in common. */
typedef struct {
    tflm_opt_reduction shape;
    tflm_opt_reduce_params params;
    int32_t zero; /* the input's offset, as often as an output has elements */
} reduction;

TFLM_OPT_INLINE int8_t output_of(tflm_opt_reduce_params params, int32_t sum)
{
    sum = tflm_opt_requantize(sum, params.quant.multiplier, params.quant.shift);
    return tflm_opt_saturated(sum + params.output_offset);
}

/* Four neighbouring outputs whose elements are neighbours too. */
TFLM_OPT_APART void sum_channels(const reduction *r, const int8_t *input, int8_t *output)
{
    const tflm_opt_reduction *shape = &r->shape;
    const tflm_opt_reduce_params params = r->params;
    int32_t sums[TFLM_OPT_CHANNELS] = {r->zero, r->zero, r->zero, r->zero};
    int32_t outer;
    int32_t inner;
    int32_t i;
    for (outer = 0; outer < shape->reduced[0]; outer++) {
        const int8_t *in = input;
        for (inner = 0; inner < shape->reduced[1]; inner++) {
            tflm_opt_add_channels(sums, in, shape->reduced_stride[2], shape->reduced[2]);
            in += shape->reduced_stride[1];
        }
        input += shape->reduced_stride[0];
    }
    for (i = 0; i < TFLM_OPT_CHANNELS; i++) {
        output[i] = output_of(params, sums[i]);
    }
}

/* Outputs of one run of elements each: most sums of few elements. */
TFLM_OPT_APART void sum_runs(const reduction *r, const int8_t *input, int32_t count, int8_t *output)
{
    const tflm_opt_reduce_params params = r->params;
    const int32_t stride = r->shape.kept_stride[2];
    const int32_t step = r->shape.reduced_stride[2];
    const int32_t length = r->shape.reduced[2];
    for (; count > 0; count--) {
        const int8_t *in = input;
        int32_t sum = r->zero;
        int32_t left;
        for (left = length; left > 0; left--) {
            sum += *in;
            in += step;
        }
        *output++ = output_of(params, sum);
        input += stride;
    }
}

/* Any outputs. */
TFLM_OPT_APART void sum_all(const reduction *r, const int8_t *input, int32_t count, int8_t *output)
{
    const tflm_opt_reduce_params params = r->params;
    for (; count > 0; count--) {
        int32_t sum;
        TFLM_OPT_REDUCE(sum, r->zero, &r->shape, input, tflm_opt_take_sum);
        *output++ = output_of(params, sum);
        input += r->shape.kept_stride[2];
    }
}

arm_cmsis_nn_status tflm_opt_sum_s8(const tflm_opt_reduce_params *params,
                                    const tflm_opt_reduction *shape,
                                    const int8_t *input_data,
                                    int8_t *output_data)
{
    const int32_t line = shape->kept[2];
    const int32_t together = shape->kept_stride[2] == 1 ? line & -TFLM_OPT_CHANNELS : 0;
    const int32_t to_last = (line - 1) * shape->kept_stride[2];
    int32_t index[3] = {0, 0, 0};
    reduction r;
    r.shape = *shape;
    r.params = *params;
    r.zero = params->input_offset * tflm_opt_reduced_count(shape);
    do {
        const int8_t *rest = input_data + together * shape->kept_stride[2];
        int32_t i;
        for (i = 0; i < together; i += TFLM_OPT_CHANNELS) {
            sum_channels(&r, input_data + i, output_data + i);
        }
        if (shape->reduced[0] == 1 && shape->reduced[1] == 1) {
            sum_runs(&r, rest, line - together, output_data + together);
        } else {
            sum_all(&r, rest, line - together, output_data + together);
        }
        output_data += line;
        input_data += to_last; /* from there, the next output is that of another line */
        index[2] = line - 1;
    } while (tflm_opt_next_kept(shape, index, &input_data));
    return ARM_CMSIS_NN_SUCCESS;
}
