/*
 * What SVDF layers of both states share: not part of the public interface.
 */
#ifndef TFLM_OPT_SVDF_H
#define TFLM_OPT_SVDF_H

#include "tflm_opt_check.h"
#include "tflm_opt_dot.h"
#include "tflm_opt_recurrent.h"

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

#endif /* TFLM_OPT_SVDF_H */
