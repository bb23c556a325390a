#include "tflm_opt_kernels.h"
#include "tflm_opt_lstm.h"

arm_cmsis_nn_status arm_lstm_unidirectional_s16(const int16_t *input,
                                                int16_t *output,
                                                const cmsis_nn_lstm_params *params,
                                                cmsis_nn_lstm_context *buffers)
{
    return tflm_opt_lstm(input, output, params, buffers, 1);
}
