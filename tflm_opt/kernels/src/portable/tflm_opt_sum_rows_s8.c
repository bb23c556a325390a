#include "tflm_opt_kernels.h"

void tflm_opt_sum_rows_s8(int32_t *sums,
                          int32_t first,
                          const cmsis_nn_dims *input_dims,
                          const int8_t *input_data)
{
    const int32_t pixels = input_dims->h * input_dims->w;
    int32_t channel;
    for (channel = 0; channel < input_dims->c; channel++) {
        const int8_t *in = input_data + channel;
        int32_t sum = first ? 0 : sums[channel];
        int32_t left;
        for (left = pixels; left > 0; left--) {
            sum += *in;
            in += input_dims->c;
        }
        sums[channel] = sum;
    }
}
