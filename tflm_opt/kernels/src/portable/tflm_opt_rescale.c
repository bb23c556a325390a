#include "tflm_opt_math.h"
#include "tflm_opt_pointwise.h"

static int32_t load(const void *data, int32_t bytes, int32_t index)
{
    switch (bytes) {
    case 1:
        return ((const int8_t *)data)[index];
    case 2:
        return ((const int16_t *)data)[index];
    default:
        return ((const int32_t *)data)[index];
    }
}

static void store(void *data, int32_t bytes, int32_t index, int32_t value)
{
    switch (bytes) {
    case 1:
        ((int8_t *)data)[index] = (int8_t)tflm_opt_clamp(value, INT8_MIN, INT8_MAX);
        break;
    case 2:
        ((int16_t *)data)[index] = (int16_t)tflm_opt_clamp(value, INT16_MIN, INT16_MAX);
        break;
    default:
        ((int32_t *)data)[index] = value;
        break;
    }
}

/* a + b modulo 2^32, as it comes out on every target of the reference */
static int32_t wrapping_add(int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)a + (uint32_t)b);
}

void tflm_opt_rescale(const tflm_opt_rescale_params *params, const void *input, int32_t size,
                      void *output)
{
    int32_t i;

    for (i = 0; i < size; ++i) {
        const int32_t value = wrapping_add(load(input, params->input_bytes, i),
                                           -params->input_zero_point);
        const int32_t scaled = tflm_opt_requantize(value, params->multiplier, params->shift);
        store(output, params->output_bytes, i, wrapping_add(scaled, params->output_zero_point));
    }
}
