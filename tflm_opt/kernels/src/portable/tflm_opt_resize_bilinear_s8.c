#include "tflm_opt_math.h"
#include "tflm_opt_pointwise.h"

#define ONE 1024

/* Where an output row or column lies: between `low` and `high`, `part`/1024 on the way. */
typedef struct {
    int32_t low;
    int32_t high;
    int32_t part;
} sample;

static sample locate(int32_t place, int32_t size)
{
    sample at;

    at.low = tflm_opt_max(place / ONE, 0);
    at.high = tflm_opt_min((place + ONE - 1) / ONE, size - 1);
    at.part = place - at.low * ONE;
    return at;
}

/*
 * Parts lie in [-512, 1023], and where one is negative or the border is met, low == high: all
 * four products together stay below 2^31.
 */
static int8_t blend(int32_t top_left, int32_t bottom_left, int32_t top_right, int32_t bottom_right,
                    int32_t down, int32_t right)
{
    const int32_t left_column = top_left * (ONE - down) + bottom_left * down;
    const int32_t right_column = top_right * (ONE - down) + bottom_right * down;
    const int32_t sum = left_column * (ONE - right) + right_column * right;
    const int32_t half = sum > 0 ? ONE * ONE / 2 : -(ONE * ONE / 2);

    return (int8_t)((sum + half) / (ONE * ONE));
}

void tflm_opt_resize_bilinear_s8(const tflm_opt_resize_params *params, const int8_t *input,
                                 const cmsis_nn_dims *input_dims, int8_t *output,
                                 const cmsis_nn_dims *output_dims)
{
    const int32_t depth = input_dims->c;
    const int32_t row = input_dims->w * depth;
    int32_t n;
    int32_t h;
    int32_t w;
    int32_t c;

    for (n = 0; n < output_dims->n; ++n) {
        for (h = 0; h < output_dims->h; ++h) {
            const sample y = locate(h * params->scale.h + params->start.h, input_dims->h);
            const int8_t *top = input + (n * input_dims->h + y.low) * row;
            const int8_t *bottom = input + (n * input_dims->h + y.high) * row;
            for (w = 0; w < output_dims->w; ++w) {
                const sample x = locate(w * params->scale.w + params->start.w, input_dims->w);
                const int32_t left = x.low * depth;
                const int32_t right = x.high * depth;
                for (c = 0; c < depth; ++c) {
                    *output++ = blend(top[left + c], bottom[left + c], top[right + c],
                                      bottom[right + c], y.part, x.part);
                }
            }
        }
    }
}
