#include <string.h>

#include "tflm_opt_movement.h"

typedef struct {
    const tflm_opt_pad_params *params;
    const int8_t *from;
    const int8_t *fill;
    int8_t *to;
} pad_state;

static void write_fill(pad_state *state, int32_t count)
{
    const int32_t bytes = state->params->element_bytes;
    int32_t i;

    if (bytes == 1) {
        memset(state->to, state->fill[0], (size_t)count);
        state->to += count;
        return;
    }
    for (i = 0; i < count; ++i) {
        memcpy(state->to, state->fill, (size_t)bytes);
        state->to += bytes;
    }
}

static void write_input(pad_state *state, int32_t count)
{
    const size_t bytes = (size_t)(count * state->params->element_bytes);

    tflm_opt_move_bytes(state->to, state->from, bytes);
    state->to += bytes;
    state->from += bytes;
}

/* Elements of the padded tensor below `axis`. */
static int32_t padded_size(const tflm_opt_pad_params *params, int32_t axis)
{
    int32_t size = 1;

    for (; axis < TFLM_OPT_PAD_AXES; ++axis) {
        size *= params->before[axis] + params->sizes[axis] + params->after[axis];
    }
    return size;
}

void tflm_opt_pad(const tflm_opt_pad_params *params, const void *input, const void *fill,
                  void *output)
{
    const int32_t last = TFLM_OPT_PAD_AXES - 1;
    pad_state state;
    int32_t index[TFLM_OPT_PAD_AXES] = {0};
    int32_t axis = 0;

    state.params = params;
    state.from = (const int8_t *)input;
    state.fill = (const int8_t *)fill;
    state.to = (int8_t *)output;
    while (axis >= 0) {
        /* the borders before the first slice of every axis that has just begun */
        for (; axis < last; ++axis) {
            write_fill(&state, params->before[axis] * padded_size(params, axis + 1));
        }
        write_fill(&state, params->before[last]);
        write_input(&state, params->sizes[last]);
        write_fill(&state, params->after[last]);
        /* the borders after the last slice of every axis that has just ended */
        for (axis = last - 1; axis >= 0; --axis) {
            if (++index[axis] < params->sizes[axis]) {
                ++axis;
                break;
            }
            index[axis] = 0;
            write_fill(&state, params->after[axis] * padded_size(params, axis + 1));
        }
    }
}
