#include "tflm_opt_dot.h"
#include "tflm_opt_kernels.h"
#include "tflm_opt_lstm.h"

#include <string.h>

/* One gate of one unit. hidden: NULL before the first step, where it is zero. */
static int32_t gate_value(const cmsis_nn_lstm_params *params,
                          const cmsis_nn_lstm_gate *gate,
                          int32_t unit,
                          const int16_t *input,
                          const int16_t *hidden)
{
    const int8_t *input_weights = (const int8_t *)gate->input_weights;
    const int8_t *hidden_weights = (const int8_t *)gate->hidden_weights;
    const int64_t *input_bias = (const int64_t *)gate->input_effective_bias;
    const int64_t *hidden_bias = (const int64_t *)gate->hidden_effective_bias;
    const int64_t input_sum =
        input_bias[unit] +
        tflm_opt_dot_s16(input, input_weights + unit * params->input_size, params->input_size);
    int32_t hidden_part = 0;
    if (hidden != NULL) {
        const int64_t hidden_sum =
            hidden_bias[unit] + tflm_opt_dot_s16(hidden,
                                                 hidden_weights + unit * params->hidden_size,
                                                 params->hidden_size);
        hidden_part =
            tflm_opt_requantize_wide(hidden_sum, gate->hidden_multiplier, gate->hidden_shift);
    }
    return tflm_opt_open_gate(
        gate, tflm_opt_requantize_wide(input_sum, gate->input_multiplier, gate->input_shift),
        hidden_part);
}

/* One step of one batch. */
static void step_batch(const cmsis_nn_lstm_params *params,
                       const int16_t *input,
                       const int16_t *hidden,
                       int16_t *cell,
                       int16_t *output)
{
    int32_t unit;
    for (unit = 0; unit < params->hidden_size; unit++) {
        const int32_t forget = gate_value(params, &params->forget_gate, unit, input, hidden);
        const int32_t take = gate_value(params, &params->input_gate, unit, input, hidden);
        const int32_t candidate = gate_value(params, &params->cell_gate, unit, input, hidden);
        const int32_t show = gate_value(params, &params->output_gate, unit, input, hidden);
        cell[unit] = tflm_opt_next_cell(params, cell[unit], forget, take, candidate);
        output[unit] = (int16_t)tflm_opt_clamp(tflm_opt_next_hidden(params, cell[unit], show),
                                            INT16_MIN, INT16_MAX);
    }
}

arm_cmsis_nn_status arm_lstm_unidirectional_s16(const int16_t *input,
                                               int16_t *output,
                                               const cmsis_nn_lstm_params *params,
                                               cmsis_nn_lstm_context *buffers)
{
    int16_t *state;
    int32_t batch;
    int32_t step;
    if (input == NULL || output == NULL || !tflm_opt_is_lstm(params, buffers, 1)) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    state = (int16_t *)buffers->hidden_state;
    for (batch = 0; batch < params->batch_size; batch++) {
        const int32_t size = params->hidden_size;
        int16_t *cell = (int16_t *)buffers->cell_state + batch * size;
        const int16_t *hidden = state;
        if (state == NULL) {
            memset(cell, 0, (size_t)size * sizeof *cell);
        } else {
            hidden += batch * size;
        }
        for (step = 0; step < params->time_steps; step++) {
            const int32_t row = tflm_opt_lstm_row(params, step, batch);
            step_batch(params, input + row * params->input_size, hidden, cell,
                       output + row * size);
            hidden = output + row * size;
        }
        if (state != NULL) {
            memcpy(state + batch * size, hidden, (size_t)size * sizeof *state);
        }
    }
    return ARM_CMSIS_NN_SUCCESS;
}
