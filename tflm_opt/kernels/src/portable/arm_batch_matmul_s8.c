#include "tflm_opt_kernels.h"
#include "tflm_opt_matrices.h"

arm_cmsis_nn_status arm_batch_matmul_s8(const cmsis_nn_context *ctx,
                                        const cmsis_nn_bmm_params *bmm_params,
                                        const cmsis_nn_per_tensor_quant_params *quant_params,
                                        const cmsis_nn_dims *input_lhs_dims,
                                        const int8_t *input_lhs,
                                        const cmsis_nn_dims *input_rhs_dims,
                                        const int8_t *input_rhs,
                                        const cmsis_nn_dims *output_dims,
                                        int8_t *output)
{
    tflm_opt_matmul_params params;
    tflm_opt_matmul shape;
    (void)ctx;
    if (bmm_params == NULL || quant_params == NULL || input_lhs == NULL || input_rhs == NULL ||
        output == NULL || !tflm_opt_is_shift(quant_params->shift) ||
        bmm_params->fc_params.activation.min > bmm_params->fc_params.activation.max ||
        !tflm_opt_set_matmul(input_lhs_dims, input_rhs_dims, output_dims, &shape)) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    params.left_offset = bmm_params->fc_params.input_offset;
    params.right_offset = bmm_params->fc_params.filter_offset;
    params.output_offset = bmm_params->fc_params.output_offset;
    params.quant = *quant_params;
    params.activation = bmm_params->fc_params.activation;
    return tflm_opt_batch_matmul_s8(&params, &shape, input_lhs, input_rhs, output);
}
