/*
 * What LSTM layers of both activation types share: not part of the public interface.
 *
 * Units are computed one by one, with their four gates, so that no scratch is needed.
 */
#ifndef TFLM_OPT_LSTM_H
#define TFLM_OPT_LSTM_H

#include "tflm_opt_check.h"
#include "tflm_opt_recurrent.h"
#include "tflm_opt_wide.h"

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

/* Whether a layer makes sense; is_wide: sums are int64. */
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

/* A gate's value, from what input and hidden state add to it. */
TFLM_OPT_INLINE int32_t tflm_opt_open_gate(const cmsis_nn_lstm_gate *gate,
                                           int32_t input_part,
                                           int32_t hidden_part)
{
    const int32_t sum = tflm_opt_clamp_s16(tflm_opt_clamp_s16(input_part) +
                                           tflm_opt_clamp_s16(hidden_part));
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

#endif /* TFLM_OPT_LSTM_H */
