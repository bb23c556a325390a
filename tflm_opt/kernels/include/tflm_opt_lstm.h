/*
 * What LSTM layers of both activation types share: not part of the public interface.
 *
 * Units are computed one by one, with their four gates, so that no scratch is needed. `is_wide`: 1
 * for int16 activations, whose biases and sums are int64, else 0; a source passes only one of them,
 * so that the compiler leaves the other out.
 */
#ifndef TFLM_OPT_LSTM_H
#define TFLM_OPT_LSTM_H

#include "tflm_opt_check.h"
#include "tflm_opt_dot.h"
#include "tflm_opt_recurrent.h"
#include "tflm_opt_wide.h"

#include <string.h>

#define TFLM_OPT_CELL_SHIFT 12 /* of the cell's scale: the gates' functions take Q3.12 */

TFLM_OPT_INLINE int tflm_opt_is_gate(const cmsis_nn_lstm_gate *gate, int is_wide)
{
    const int32_t low = is_wide ? TFLM_OPT_WIDE_SHIFT_MIN : -31;
    const int32_t high = is_wide ? TFLM_OPT_WIDE_SHIFT_MAX : 31;
    return gate->input_weights != NULL && gate->input_effective_bias != NULL &&
           gate->hidden_weights != NULL && gate->hidden_effective_bias != NULL &&
           gate->input_shift >= low && gate->input_shift <= high && gate->hidden_shift >= low &&
           gate->hidden_shift <= high;
}

/* Whether a layer makes sense. */
TFLM_OPT_INLINE int tflm_opt_is_lstm(const cmsis_nn_lstm_params *params,
                                     const cmsis_nn_lstm_context *buffers,
                                     int is_wide)
{
    return params != NULL && buffers != NULL && buffers->cell_state != NULL &&
           params->batch_size > 0 && params->time_steps > 0 && params->input_size > 0 &&
           params->hidden_size > 0 && params->cell_scale_power >= -30 - TFLM_OPT_CELL_SHIFT &&
           params->cell_scale_power <= 14 - TFLM_OPT_CELL_SHIFT &&
           tflm_opt_is_shift(params->forget_to_cell_shift) &&
           tflm_opt_is_shift(params->input_to_cell_shift) &&
           tflm_opt_is_shift(params->output_shift) &&
           tflm_opt_is_gate(&params->forget_gate, is_wide) &&
           tflm_opt_is_gate(&params->input_gate, is_wide) &&
           tflm_opt_is_gate(&params->cell_gate, is_wide) &&
           tflm_opt_is_gate(&params->output_gate, is_wide);
}

/* Which row of an input or output a step of a batch is. */
TFLM_OPT_INLINE int32_t tflm_opt_lstm_row(const cmsis_nn_lstm_params *params,
                                          int32_t step,
                                          int32_t batch)
{
    return params->time_major ? step * params->batch_size + batch
                              : batch * params->time_steps + step;
}

TFLM_OPT_INLINE int8_t *tflm_opt_lstm_at(const void *values, int32_t index, int is_wide)
{
    return (int8_t *)values + (is_wide ? 2 * index : index);
}

/* What `size` values add to a gate, with the weights and the bias of one unit. */
TFLM_OPT_INLINE int32_t tflm_opt_gate_part(const void *values,
                                           const int8_t *weights,
                                           const void *bias,
                                           int32_t unit,
                                           int32_t size,
                                           int32_t multiplier,
                                           int32_t shift,
                                           int is_wide)
{
    weights += unit * size;
    if (is_wide) {
        const int64_t sum = tflm_opt_dot_s16((const int16_t *)values, weights, size);
        return tflm_opt_requantize_wide(((const int64_t *)bias)[unit] + sum, multiplier, shift);
    }
    return tflm_opt_requantize(tflm_opt_dot_s8(((const int32_t *)bias)[unit],
                                               (const int8_t *)values, weights, size, 0),
                               multiplier, shift);
}

/* One gate of one unit. hidden: NULL before the first step, where it is zero. */
TFLM_OPT_APART int32_t tflm_opt_gate(const cmsis_nn_lstm_params *params,
                                     const cmsis_nn_lstm_gate *gate,
                                     int32_t unit,
                                     const void *input,
                                     const void *hidden,
                                     int is_wide)
{
    const int32_t from_input = tflm_opt_gate_part(
        input, (const int8_t *)gate->input_weights, gate->input_effective_bias, unit,
        params->input_size, gate->input_multiplier, gate->input_shift, is_wide);
    int32_t from_hidden = 0;
    int32_t sum;
    if (hidden != NULL) {
        from_hidden = tflm_opt_gate_part(
            hidden, (const int8_t *)gate->hidden_weights, gate->hidden_effective_bias, unit,
            params->hidden_size, gate->hidden_multiplier, gate->hidden_shift, is_wide);
    }
    sum = tflm_opt_clamp_s16(tflm_opt_clamp_s16(from_input) + tflm_opt_clamp_s16(from_hidden));
    return gate->activation_type == ARM_TANH ? tflm_opt_tanh_s16(sum, 0)
                                             : tflm_opt_sigmoid_s16(sum, 0);
}

TFLM_OPT_INLINE int16_t tflm_opt_next_cell(const cmsis_nn_lstm_params *params,
                                           int32_t cell,
                                           int32_t forget,
                                           int32_t input,
                                           int32_t candidate)
{
    const int32_t kept = tflm_opt_requantize(cell * forget, params->forget_to_cell_multiplier,
                                             params->forget_to_cell_shift);
    const int32_t added = tflm_opt_requantize(input * candidate, params->input_to_cell_multiplier,
                                              params->input_to_cell_shift);
    const int32_t sum =
        tflm_opt_clamp_s16(tflm_opt_clamp_s16(kept) + tflm_opt_clamp_s16(added));
    const int32_t clip = params->cell_clip > 0 ? params->cell_clip : INT16_MAX + 1;
    return (int16_t)tflm_opt_clamp(sum, -clip, clip);
}

TFLM_OPT_INLINE int32_t tflm_opt_next_hidden(const cmsis_nn_lstm_params *params,
                                             int32_t cell,
                                             int32_t gate)
{
    const int32_t value =
        tflm_opt_tanh_s16(cell, params->cell_scale_power + TFLM_OPT_CELL_SHIFT) * gate;
    return tflm_opt_requantize(value, params->output_multiplier, params->output_shift) +
           params->output_offset;
}

/* One step of one batch. */
TFLM_OPT_INLINE void tflm_opt_lstm_step(const cmsis_nn_lstm_params *params,
                                        const void *input,
                                        const void *hidden,
                                        int16_t *cell,
                                        void *output,
                                        int is_wide)
{
    int32_t unit;
    for (unit = 0; unit < params->hidden_size; unit++) {
        const int32_t forget =
            tflm_opt_gate(params, &params->forget_gate, unit, input, hidden, is_wide);
        const int32_t take =
            tflm_opt_gate(params, &params->input_gate, unit, input, hidden, is_wide);
        const int32_t candidate =
            tflm_opt_gate(params, &params->cell_gate, unit, input, hidden, is_wide);
        const int32_t show =
            tflm_opt_gate(params, &params->output_gate, unit, input, hidden, is_wide);
        int32_t value;
        cell[unit] = tflm_opt_next_cell(params, cell[unit], forget, take, candidate);
        value = tflm_opt_next_hidden(params, cell[unit], show);
        if (is_wide) {
            ((int16_t *)output)[unit] = tflm_opt_clamp_s16(value);
        } else {
            ((int8_t *)output)[unit] = (int8_t)tflm_opt_clamp(value, INT8_MIN, INT8_MAX);
        }
    }
}

/* A layer: all steps of all batches. */
TFLM_OPT_INLINE arm_cmsis_nn_status tflm_opt_lstm(const void *input,
                                                  void *output,
                                                  const cmsis_nn_lstm_params *params,
                                                  const cmsis_nn_lstm_context *buffers,
                                                  int is_wide)
{
    int32_t batch;
    int32_t step;
    if (input == NULL || output == NULL || !tflm_opt_is_lstm(params, buffers, is_wide)) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    for (batch = 0; batch < params->batch_size; batch++) {
        const int32_t size = params->hidden_size;
        const size_t bytes = (size_t)size * (is_wide ? 2U : 1U);
        int16_t *cell = (int16_t *)buffers->cell_state + batch * size;
        int8_t *state = NULL;
        const int8_t *hidden = NULL;
        if (buffers->hidden_state == NULL) {
            memset(cell, 0, (size_t)size * sizeof *cell);
        } else {
            state = tflm_opt_lstm_at(buffers->hidden_state, batch * size, is_wide);
            hidden = state;
        }
        for (step = 0; step < params->time_steps; step++) {
            const int32_t row = tflm_opt_lstm_row(params, step, batch);
            int8_t *made = tflm_opt_lstm_at(output, row * size, is_wide);
            tflm_opt_lstm_step(params, tflm_opt_lstm_at(input, row * params->input_size, is_wide),
                               hidden, cell, made, is_wide);
            hidden = made;
        }
        if (state != NULL) {
            memcpy(state, hidden, bytes);
        }
    }
    return ARM_CMSIS_NN_SUCCESS;
}

#endif /* TFLM_OPT_LSTM_H */
