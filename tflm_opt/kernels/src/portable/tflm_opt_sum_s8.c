#include "tflm_opt_channel_sums.h"
#include "tflm_opt_kernels.h"
#include "tflm_opt_reduce.h"
#include "tflm_opt_sum.h"

/* A reduction with what its outputs have in common. */
typedef struct {
    const tflm_opt_reduction *shape;
    const tflm_opt_reduce_params *params;
    int32_t zero; /* the input's offset, as often as an output has elements */
} reduction;

TFLM_OPT_APART int8_t output_of(const reduction *r, int32_t sum)
{
    const tflm_opt_reduce_params *params = r->params;
    sum = tflm_opt_requantize(sum, params->quant.multiplier, params->quant.shift);
    return tflm_opt_saturated(sum + params->output_offset);
}

/* Four neighbouring outputs whose elements are neighbours too. */
TFLM_OPT_APART void sum_channels(const reduction *r, const int8_t *input, int8_t *output)
{
    const tflm_opt_reduction *shape = r->shape;
    int32_t sums[TFLM_OPT_CHANNELS] = {r->zero, r->zero, r->zero, r->zero};
    int32_t outer;
    int32_t inner;
    for (outer = 0; outer < shape->reduced[0]; outer++) {
        const int8_t *in = input;
        for (inner = 0; inner < shape->reduced[1]; inner++) {
            tflm_opt_add_channels(sums, in, shape->reduced_stride[2], shape->reduced[2]);
            in += shape->reduced_stride[1];
        }
        input += shape->reduced_stride[0];
    }
    output[0] = output_of(r, sums[0]);
    output[1] = output_of(r, sums[1]);
    output[2] = output_of(r, sums[2]);
    output[3] = output_of(r, sums[3]);
}

/* Any outputs. */
TFLM_OPT_APART void sum_all(const reduction *r, const int8_t *input, int32_t count, int8_t *output)
{
    const tflm_opt_reduction *shape = r->shape;
    for (; count > 0; count--) {
        int32_t sum;
        TFLM_OPT_REDUCE(sum, r->zero, shape, input, tflm_opt_take_sum);
        *output++ = output_of(r, sum);
        input += shape->kept_stride[2];
    }
}

arm_cmsis_nn_status tflm_opt_sum_s8(const tflm_opt_reduce_params *params,
                                    const tflm_opt_reduction *shape,
                                    const int8_t *input_data,
                                    int8_t *output_data)
{
    const int32_t line = shape->kept[2];
    const int32_t stride = shape->kept_stride[2];
    const int32_t together = stride == 1 ? line & -TFLM_OPT_CHANNELS : 0;
    const int runs = together == 0 && shape->reduced[0] == 1 && shape->reduced[1] == 1;
    int32_t index[3] = {0, 0, 0};
    reduction r;
    r.shape = shape;
    r.params = params;
    r.zero = params->input_offset * tflm_opt_reduced_count(shape);
    do {
        const int8_t *in = input_data;
        int32_t made;
        if (runs) {
            tflm_opt_sum_runs_s8(params, shape, in, output_data);
        } else {
            for (made = 0; made < together; made += TFLM_OPT_CHANNELS) {
                sum_channels(&r, in, output_data + made);
                in += TFLM_OPT_CHANNELS;
            }
            sum_all(&r, in, line - made, output_data + made);
        }
        output_data += line;
        input_data += (line - 1) * stride; /* from there, the next output is of another line */
        index[2] = line - 1;
    } while (tflm_opt_next_kept(shape, index, &input_data));
    return ARM_CMSIS_NN_SUCCESS;
}
