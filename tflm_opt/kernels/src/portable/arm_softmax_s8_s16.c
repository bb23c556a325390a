#include "tflm_opt_fixed.h"
#include "tflm_opt_kernels.h"

#define ACCUMULATOR_BITS 12 /* the sum of exponentials is in Q12.19 */

/* exp of an input's difference to the greatest, in Q0.31. */
static int32_t exp_of(int32_t difference, int32_t mult, int32_t shift)
{
    return tflm_opt_exp_negative(
        tflm_opt_high_mul(tflm_opt_shift_left(difference, shift), mult));
}

static int32_t greatest(const int8_t *row, int32_t size)
{
    int32_t result = INT8_MIN;
    int32_t i;
    for (i = 0; i < size; i++) {
        result = tflm_opt_max(result, row[i]);
    }
    return result;
}

static uint32_t sum_of_exps(
    const int8_t *row, int32_t size, int32_t top, int32_t mult, int32_t shift, int32_t diff_min)
{
    uint32_t sum = 0;
    int32_t i;
    for (i = 0; i < size; i++) {
        if (row[i] - top >= diff_min) {
            sum += (uint32_t)tflm_opt_divide_by_pot(exp_of(row[i] - top, mult, shift),
                                                    ACCUMULATOR_BITS);
        }
    }
    return sum;
}

void arm_softmax_s8_s16(const int8_t *input,
                        const int32_t num_rows,
                        const int32_t row_size,
                        const int32_t mult,
                        const int32_t shift,
                        const int32_t diff_min,
                        int16_t *output)
{
    int32_t row;
    int32_t i;
    for (row = 0; row < num_rows; row++) {
        const int32_t top = greatest(input, row_size);
        const uint32_t sum = sum_of_exps(input, row_size, top, mult, shift, diff_min);
        const int32_t zeros = tflm_opt_leading_zeros(sum);
        const int32_t scale =
            tflm_opt_reciprocal((int32_t)((sum << zeros) - ((uint32_t)1 << 31)));
        const int32_t exponent = ACCUMULATOR_BITS - zeros + 31 - 16;
        for (i = 0; i < row_size; i++) {
            const int32_t difference = input[i] - top;
            int32_t value = INT16_MIN;
            if (difference >= diff_min) {
                const int32_t share = tflm_opt_high_mul(scale, exp_of(difference, mult, shift));
                value = tflm_opt_clamp(tflm_opt_divide_by_pot(share, exponent) + INT16_MIN,
                                       INT16_MIN, INT16_MAX);
            }
            output[i] = (int16_t)value;
        }
        input += row_size;
        output += row_size;
    }
}
