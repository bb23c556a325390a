#include "tflm_opt_check.h"
#include "tflm_opt_fixed.h"
#include "tflm_opt_kernels.h"
#include "tflm_opt_wide.h"

/* A table over [-32768, 32767], of 512 steps of 128: the line between the two values around x. */
static int32_t look_up(int32_t x, const int16_t *table)
{
    const int32_t at = 256 + (x >> 7);
    const int32_t slope = (int16_t)(table[at + 1] - table[at]);
    return (int16_t)(table[at] + ((slope * (x & 127) + 64) >> 7));
}

static int32_t greatest(const int16_t *row, int32_t size)
{
    int32_t result = INT16_MIN;
    int32_t i;
    for (i = 0; i < size; i++) {
        result = tflm_opt_max(result, row[i]);
    }
    return result;
}

/* One row, with the exponentials in the output until their sum is known. */
static void softmax_row(const int16_t *input,
                        int32_t size,
                        int32_t mult,
                        int32_t shift,
                        const cmsis_nn_softmax_lut_s16 *tables,
                        int16_t *output)
{
    const int32_t top = greatest(input, size);
    int32_t sum = 0;
    int32_t zeros;
    int32_t shifted;
    int32_t right;
    int64_t reciprocal;
    int32_t i;
    for (i = 0; i < size; i++) {
        /* -65535 to 0 stand for -10 to 0 */
        const int32_t difference = tflm_opt_requantize(input[i] - top, mult, shift);
        const int32_t centred = tflm_opt_clamp(difference, -65535, 0) + INT16_MAX;
        output[i] = (int16_t)look_up(centred, tables->exp_lut);
        sum += output[i];
    }
    /* The greatest exponential is nearly 2^15; only tables of something else go beyond this. */
    zeros = tflm_opt_clamp(tflm_opt_leading_zeros((uint32_t)sum), 1, 29);
    shifted = (int32_t)((((int64_t)sum << (zeros - 1)) + (1 << 13)) >> 14);
    reciprocal = look_up(tflm_opt_clamp_s16(shifted - ((1 << 15) + (1 << 16))),
                         tables->one_by_one_lut);
    right = 31 - zeros;
    for (i = 0; i < size; i++) {
        const int64_t product = output[i] * reciprocal + ((int32_t)1 << (right - 1));
        output[i] = (int16_t)tflm_opt_clamp((int32_t)(product >> right), 0, INT16_MAX);
    }
}

arm_cmsis_nn_status arm_softmax_s16(const int16_t *input,
                                    const int32_t num_rows,
                                    const int32_t row_size,
                                    const int32_t mult,
                                    const int32_t shift,
                                    const cmsis_nn_softmax_lut_s16 *softmax_params,
                                    int16_t *output)
{
    int32_t row;
    if (input == NULL || output == NULL || softmax_params == NULL ||
        softmax_params->exp_lut == NULL || softmax_params->one_by_one_lut == NULL ||
        num_rows < 1 || row_size < 1 || !tflm_opt_is_shift(shift)) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    for (row = 0; row < num_rows; row++) {
        softmax_row(input, row_size, mult, shift, softmax_params, output);
        input += row_size;
        output += row_size;
    }
    return ARM_CMSIS_NN_SUCCESS;
}
