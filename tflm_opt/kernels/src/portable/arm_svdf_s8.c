#include "tflm_opt_kernels.h"
#include "tflm_opt_svdf.h"
#include "tflm_opt_tier.h"

#include <string.h>

/* The newest value of each filter, at the end of its part of the state. */
static void put_features(const tflm_opt_svdf *svdf,
                         const int8_t *input,
                         const int8_t *weights,
                         int8_t *state)
{
    int32_t filter;
    for (filter = 0; filter < svdf->filters; filter++) {
        state += svdf->memory;
        state[-1] = (int8_t)tflm_opt_clamp(tflm_opt_svdf_feature(svdf, input, weights), INT8_MIN,
                                         INT8_MAX);
        weights += svdf->size;
    }
}

/* Outputs of one batch: each is made of all values of `rank` filters. */
static void put_outputs(const tflm_opt_svdf *svdf,
                        const int8_t *state,
                        const int8_t *weights,
                        const int32_t *bias,
                        int8_t *output)
{
    const int32_t units = svdf->filters / svdf->params->rank;
    const int32_t values = svdf->params->rank * svdf->memory;
    int32_t unit;
    int32_t i;
    for (unit = 0; unit < units; unit++) {
        uint32_t sum = bias != NULL ? (uint32_t)bias[unit] : 0U;
        for (i = 0; i < values; i++) {
            sum += (uint32_t)(*weights++ * *state++); /* wraps, as TFLM's */
        }
        output[unit] = tflm_opt_output_s8((int32_t)sum, svdf->output_quant->multiplier,
                                          svdf->output_quant->shift,
                                          svdf->params->output_offset,
                                          svdf->params->output_activation);
    }
}

arm_cmsis_nn_status arm_svdf_s8(const cmsis_nn_context *ctx,
                                const cmsis_nn_context *input_ctx,
                                const cmsis_nn_context *output_ctx,
                                const cmsis_nn_svdf_params *svdf_params,
                                const cmsis_nn_per_tensor_quant_params *input_quant_params,
                                const cmsis_nn_per_tensor_quant_params *output_quant_params,
                                const cmsis_nn_dims *input_dims,
                                const int8_t *input_data,
                                const cmsis_nn_dims *state_dims,
                                int8_t *state_data,
                                const cmsis_nn_dims *weights_feature_dims,
                                const int8_t *weights_feature_data,
                                const cmsis_nn_dims *weights_time_dims,
                                const int8_t *weights_time_data,
                                const cmsis_nn_dims *bias_dims,
                                const int32_t *bias_data,
                                const cmsis_nn_dims *output_dims,
                                int8_t *output_data)
{
    tflm_opt_svdf svdf;
    int32_t batch;
    int32_t values;
    (void)ctx;
    (void)input_ctx;
    (void)output_ctx;
    (void)state_dims;
    (void)bias_dims;
    (void)output_dims;
    if (input_data == NULL || state_data == NULL || weights_feature_data == NULL ||
        weights_time_data == NULL || output_data == NULL ||
        !tflm_opt_set_svdf(svdf_params, input_quant_params, output_quant_params, input_dims,
                           weights_feature_dims, weights_time_dims, &svdf)) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    values = svdf.filters * svdf.memory;
    memmove(state_data, state_data + 1,
            (size_t)(svdf.batches * values - 1) * sizeof *state_data);
    for (batch = 0; batch < svdf.batches; batch++) {
        put_features(&svdf, input_data, weights_feature_data, state_data);
        put_outputs(&svdf, state_data, weights_time_data, bias_data, output_data);
        input_data += svdf.size;
        state_data += values;
        output_data += svdf.filters / svdf.params->rank;
    }
    return ARM_CMSIS_NN_SUCCESS;
}

int32_t arm_svdf_s8_get_buffer_size(const cmsis_nn_dims *weights_feature_dims)
{
    return TFLM_OPT_MVE ? weights_feature_dims->n * (int32_t)sizeof(int32_t) : 0;
}
