#include "tflm_opt_channel_sums.h"
#include "tflm_opt_kernels.h"
#include "tflm_opt_reduce.h"

TFLM_OPT_INLINE int8_t output_of(const tflm_opt_reduce_params *params, int32_t sum)
{
    sum = tflm_opt_requantize(sum, params->quant.multiplier, params->quant.shift);
    return (int8_t)tflm_opt_clamp(sum + params->output_offset, INT8_MIN, INT8_MAX);
}

/* Four neighbouring outputs whose elements are neighbours too. */
TFLM_OPT_APART void sum_channels(const tflm_opt_reduce_params *params,
                                 const tflm_opt_reduction *shape,
                                 int32_t zero,
                                 const int8_t *input,
                                 int8_t *output)
{
    int32_t sums[TFLM_OPT_CHANNELS] = {zero, zero, zero, zero};
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

arm_cmsis_nn_status tflm_opt_sum_s8(const tflm_opt_reduce_params *params,
                                    const tflm_opt_reduction *shape,
                                    const int8_t *input_data,
                                    int8_t *output_data)
{
    const int32_t zero = params->input_offset * tflm_opt_reduced_count(shape);
    const int32_t channels = shape->kept_stride[2] == 1 ? shape->kept[2] : 0;
    int32_t index[3] = {0, 0, 0};
    do {
        if (index[2] + TFLM_OPT_CHANNELS <= channels) {
            const int32_t more = TFLM_OPT_CHANNELS - 1;
            sum_channels(params, shape, zero, input_data, output_data);
            output_data += TFLM_OPT_CHANNELS;
            index[2] += more;
            input_data += more;
        } else {
            int32_t sum;
            TFLM_OPT_REDUCE(sum, zero, shape, input_data, tflm_opt_take_sum);
            *output_data++ = output_of(params, sum);
        }
    } while (tflm_opt_next_kept(shape, index, &input_data));
    return ARM_CMSIS_NN_SUCCESS;
}
