/*
 * SVDF layers of both states: not part of the public interface. `is_wide`: 1 for a state and weights
 * in time of int16, 0 for int8; a constant to the compiler, as everything is inlined.
 */
#ifndef TFLM_OPT_SVDF_H
#define TFLM_OPT_SVDF_H

#include "tflm_opt_check.h"
#include "tflm_opt_dot.h"
#include "tflm_opt_movement.h"
#include "tflm_opt_recurrent.h"

#include <string.h>

typedef struct {
    const cmsis_nn_svdf_params *params;
    const cmsis_nn_per_tensor_quant_params *input_quant;
    const cmsis_nn_per_tensor_quant_params *output_quant;
    int32_t batches;
    int32_t size;
    int32_t filters;
    int32_t memory;
} tflm_opt_svdf;

/* The shape of a layer; 0 if its arguments make no sense. Data pointers are looked at elsewhere. */
TFLM_OPT_INLINE int tflm_opt_set_svdf(const cmsis_nn_svdf_params *params,
                                      const cmsis_nn_per_tensor_quant_params *input_quant,
                                      const cmsis_nn_per_tensor_quant_params *output_quant,
                                      const cmsis_nn_dims *input_dims,
                                      const cmsis_nn_dims *feature_dims,
                                      const cmsis_nn_dims *time_dims,
                                      tflm_opt_svdf *svdf)
{
    if (params == NULL || input_quant == NULL || output_quant == NULL || input_dims == NULL ||
        feature_dims == NULL || time_dims == NULL || !tflm_opt_is_shift(input_quant->shift) ||
        !tflm_opt_is_shift(output_quant->shift) || input_dims->n < 1 || input_dims->h < 1 ||
        feature_dims->n < 1 || feature_dims->h != input_dims->h ||
        time_dims->n != feature_dims->n || time_dims->h < 1 || params->rank < 1 ||
        feature_dims->n % params->rank != 0 ||
        params->input_activation.min > params->input_activation.max ||
        params->output_activation.min > params->output_activation.max) {
        return 0;
    }
    svdf->params = params;
    svdf->input_quant = input_quant;
    svdf->output_quant = output_quant;
    svdf->batches = input_dims->n;
    svdf->size = input_dims->h;
    svdf->filters = feature_dims->n;
    svdf->memory = time_dims->h;
    return 1;
}

/* What a filter makes of one input: the state's newest value. */
TFLM_OPT_INLINE int32_t tflm_opt_svdf_feature(const tflm_opt_svdf *svdf,
                                              const int8_t *input,
                                              const int8_t *weights)
{
    const int32_t sum =
        tflm_opt_dot_s8(0, input, weights, svdf->size, -svdf->params->input_offset);
    return tflm_opt_clamp(
        tflm_opt_requantize(sum, svdf->input_quant->multiplier, svdf->input_quant->shift),
        svdf->params->input_activation.min, svdf->params->input_activation.max);
}

TFLM_OPT_INLINE int32_t tflm_opt_svdf_value(const void *values, int32_t index, int is_wide)
{
    return is_wide ? ((const int16_t *)values)[index] : ((const int8_t *)values)[index];
}

/* The newest value of each filter, at the end of its part of the state. */
TFLM_OPT_INLINE void tflm_opt_svdf_features(const tflm_opt_svdf *svdf,
                                            const int8_t *input,
                                            const int8_t *weights,
                                            void *state,
                                            int is_wide)
{
    int32_t last = svdf->memory - 1;
    int32_t filter;
    for (filter = 0; filter < svdf->filters; filter++) {
        const int32_t value = tflm_opt_svdf_feature(svdf, input, weights);
        if (is_wide) {
            ((int16_t *)state)[last] = (int16_t)tflm_opt_clamp(value, INT16_MIN, INT16_MAX);
        } else {
            ((int8_t *)state)[last] = (int8_t)tflm_opt_clamp(value, INT8_MIN, INT8_MAX);
        }
        last += svdf->memory;
        weights += svdf->size;
    }
}

/* Outputs of one batch: each is made of all values of `rank` filters. */
TFLM_OPT_INLINE void tflm_opt_svdf_outputs(const tflm_opt_svdf *svdf,
                                           const void *state,
                                           const void *weights,
                                           const int32_t *bias,
                                           int8_t *output,
                                           int is_wide)
{
    const int32_t units = svdf->filters / svdf->params->rank;
    const int32_t values = svdf->params->rank * svdf->memory;
    int32_t at = 0;
    int32_t unit;
    for (unit = 0; unit < units; unit++) {
        const int32_t end = at + values;
        uint32_t sum = bias != NULL ? (uint32_t)bias[unit] : 0U;
        for (; at != end; at++) { /* wraps, as TFLM's */
            sum += (uint32_t)(tflm_opt_svdf_value(weights, at, is_wide) *
                              tflm_opt_svdf_value(state, at, is_wide));
        }
        output[unit] = tflm_opt_output_s8((int32_t)sum, svdf->output_quant->multiplier,
                                          svdf->output_quant->shift,
                                          svdf->params->output_offset,
                                          svdf->params->output_activation);
    }
}

/* All batches, once the state has moved on by one. */
TFLM_OPT_INLINE void tflm_opt_svdf_run(const tflm_opt_svdf *svdf,
                                       const int8_t *input,
                                       void *state_data,
                                       const int8_t *features,
                                       const void *times,
                                       const int32_t *bias,
                                       int8_t *output,
                                       int is_wide)
{
    const size_t bytes = is_wide ? 2U : 1U;
    const size_t values = (size_t)(svdf->filters * svdf->memory);
    int8_t *state = (int8_t *)state_data;
    int32_t batch;
    tflm_opt_move_bytes(state, state + bytes, ((size_t)svdf->batches * values - 1) * bytes);
    for (batch = 0; batch < svdf->batches; batch++) {
        tflm_opt_svdf_features(svdf, input, features, state, is_wide);
        tflm_opt_svdf_outputs(svdf, state, times, bias, output, is_wide);
        input += svdf->size;
        state += values * bytes;
        output += svdf->filters / svdf->params->rank;
    }
}

#endif /* TFLM_OPT_SVDF_H */
