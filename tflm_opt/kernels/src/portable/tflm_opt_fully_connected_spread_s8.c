#include "tflm_opt_tier.h"

#if TFLM_OPT_PAIRED
#define TFLM_OPT_DENSE_PAIRED 1
#define TFLM_OPT_DENSE_SPREAD 1
#endif
#include "tflm_opt_connect.h"
#include "tflm_opt_kernels.h"

arm_cmsis_nn_status tflm_opt_fully_connected_spread_s8(const cmsis_nn_context *ctx,
                                                       const cmsis_nn_fc_params *fc_params,
                                                       const cmsis_nn_quant_params *quant_params,
                                                       const cmsis_nn_dims *input_dims,
                                                       const int8_t *input_data,
                                                       const cmsis_nn_dims *filter_dims,
                                                       const int8_t *filter_data,
                                                       const cmsis_nn_dims *bias_dims,
                                                       const int32_t *bias_data,
                                                       const cmsis_nn_dims *output_dims,
                                                       int8_t *output_data)
{
    (void)bias_dims;
#if TFLM_OPT_PAIRED
    if (ctx->buf == NULL || ctx->size < (filter_dims->n & ~3) * 2) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
#endif
    return tflm_opt_connect_plain(ctx, fc_params, quant_params, input_dims, input_data, filter_dims,
                                  filter_data, bias_data, output_dims, output_data);
}
