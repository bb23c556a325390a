#include <string.h>

#include "tflm_opt_movement.h"

/* One output row: of input row `y`, the columns x = left-shifted multiples of the block. */
static void write_row(const tflm_opt_space_to_batch_params *params, const int8_t *row,
                      const cmsis_nn_dims *input_dims, int32_t shift_w, int32_t width, int8_t *to)
{
    const size_t bytes = (size_t)input_dims->c;
    int32_t i;

    for (i = 0; i < width; ++i) {
        const int32_t x = i * params->block.w + shift_w - params->left;
        if (row == NULL || x < 0 || x >= input_dims->w) {
            memset(to, 0, bytes);
        } else {
            tflm_opt_move_bytes(to, row + x * input_dims->c, bytes);
        }
        to += bytes;
    }
}

void tflm_opt_space_to_batch(const tflm_opt_space_to_batch_params *params, const void *input,
                             const cmsis_nn_dims *input_dims, void *output,
                             const cmsis_nn_dims *output_dims)
{
    const int32_t row_bytes = input_dims->w * input_dims->c;
    int8_t *to = (int8_t *)output;
    int32_t batch;
    int32_t h;

    for (batch = 0; batch < output_dims->n; ++batch) {
        const int32_t shift = batch / input_dims->n;
        const int8_t *image =
            (const int8_t *)input + (batch % input_dims->n) * input_dims->h * row_bytes;
        for (h = 0; h < output_dims->h; ++h) {
            const int32_t y = h * params->block.h + shift / params->block.w - params->top;
            const int8_t *row = y < 0 || y >= input_dims->h ? NULL : image + y * row_bytes;
            write_row(params, row, input_dims, shift % params->block.w, output_dims->w, to);
            to += output_dims->w * input_dims->c;
        }
    }
}
