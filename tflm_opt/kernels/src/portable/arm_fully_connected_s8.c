#include "tflm_opt_connect.h"
#include "tflm_opt_kernels.h"

/* Outputs where the filter has an offset too: files of old converters. */
TFLM_OPT_APART void connect_offsets(const cmsis_nn_fc_params *params,
                                    const tflm_opt_channels *channels,
                                    int32_t rows,
                                    const int8_t *input,
                                    int32_t depth,
                                    const int8_t *filter_data,
                                    int32_t count,
                                    int8_t *output)
{
    for (; rows > 0; rows--) {
        const int32_t *bias = channels->bias;
        const int8_t *filter = filter_data;
        const int8_t *end = output + count;
        for (; output != end; output++) {
            int32_t sum = *bias;
            int32_t i;
            for (i = 0; i < depth; i++) {
                sum += (input[i] + params->input_offset) * (*filter++ + params->filter_offset);
            }
            *output = tflm_opt_output_s8(sum, *channels->multiplier, *channels->shift,
                                         params->output_offset, params->activation);
            bias += channels->bias_step;
        }
        input += depth;
    }
}

arm_cmsis_nn_status arm_fully_connected_s8(const cmsis_nn_context *ctx,
                                           const cmsis_nn_fc_params *fc_params,
                                           const cmsis_nn_per_tensor_quant_params *quant_params,
                                           const cmsis_nn_dims *input_dims,
                                           const int8_t *input_data,
                                           const cmsis_nn_dims *filter_dims,
                                           const int8_t *filter_data,
                                           const cmsis_nn_dims *bias_dims,
                                           const int32_t *bias_data,
                                           const cmsis_nn_dims *output_dims,
                                           int8_t *output_data)
{
    tflm_opt_channels channels;
    (void)ctx;
    (void)bias_dims;
    tflm_opt_set_bias(&channels, bias_data);
    channels.multiplier = &quant_params->multiplier;
    channels.shift = &quant_params->shift;
    channels.quant_step = 0;
    if (fc_params->filter_offset != 0) {
        connect_offsets(fc_params, &channels, input_dims->n, input_data, filter_dims->n,
                        filter_data, output_dims->c, output_data);
    } else {
        tflm_opt_connect(NULL, fc_params, &channels, input_dims->n, input_data, filter_dims->n,
                         filter_data, output_dims->c, output_data);
    }
    return ARM_CMSIS_NN_SUCCESS;
}

int32_t arm_fully_connected_s8_get_buffer_size(const cmsis_nn_dims *filter_dims)
{
    (void)filter_dims;
    return 0;
}
