#include "tflm_opt_channel_sums.h"
#include "tflm_opt_kernels.h"

#include <string.h>

void tflm_opt_sum_rows_s8(int32_t *sums,
                          int32_t first,
                          const cmsis_nn_dims *input_dims,
                          const int8_t *input_data)
{
    const int32_t pixels = input_dims->h * input_dims->w;
    int32_t left = input_dims->c;
    if (first) {
        memset(sums, 0, (size_t)left * sizeof *sums);
    }
    for (; left >= TFLM_OPT_CHANNELS; left -= TFLM_OPT_CHANNELS) {
        tflm_opt_add_channels(sums, input_data, input_dims->c, pixels);
        sums += TFLM_OPT_CHANNELS;
        input_data += TFLM_OPT_CHANNELS;
    }
    for (; left > 0; left--) {
        const int8_t *in = input_data++;
        int32_t sum = *sums;
        int32_t i;
        for (i = pixels; i > 0; i--) {
            sum += *in;
            in += input_dims->c;
        }
        *sums++ = sum;
    }
}
