#include "tflm_opt_tier.h"

#if !TFLM_OPT_DSP

#include "tflm_opt_check.h"
#include "tflm_opt_kernels.h"
#include "tflm_opt_sum.h"

#define LEFT_SHIFT 20 /* TFLM's for 8 bits */

/* One input of a sum; `offset` fits 9 bits, so that x + offset fits 10. */
typedef struct {
    const int8_t *data;
    int32_t offset;
    int32_t multiplier;
    int32_t shift;
} operand;

/* Whether its factor is 1/2: of the coarser of two inputs it always is. */
TFLM_OPT_INLINE int is_whole(const operand *x)
{
    return x->multiplier == (int32_t)1 << 30 && x->shift == 0;
}

/*
 * Outputs of a whole input and another one. Of y * 2^20, TFLM's first rounding is
 * floor((y * multiplier + 2^10) / 2^11): by parts of the multiplier it takes no product of more
 * than 32 bits, as the upper part divides exactly.
 */
TFLM_OPT_INLINE void add_line(const operand *whole,
                              const operand *other,
                              int scaled,
                              cmsis_nn_per_tensor_quant_params out,
                              int32_t out_offset,
                              int32_t count,
                              int8_t *output)
{
    const int32_t right = -out.shift;
    const int32_t half = tflm_opt_half_and_offset(right, out_offset);
    const int32_t upper = (other->multiplier >> 16) * 32;
    const int32_t lower = other->multiplier & 0xffff;
    const int32_t other_right = -other->shift;
    const int32_t other_half = (int32_t)(((uint32_t)1 << other_right) >> 1);
    const int32_t y_offset = other->offset;
    const int32_t x_offset = (whole->offset + (scaled ? 0 : y_offset)) * ((int32_t)1 << 20);
    const int8_t *xs = whole->data;
    const int8_t *ys = other->data;
    const int8_t *end = output + count;
    while (output != end) {
        int32_t twice = *xs++ * ((int32_t)1 << 20) + x_offset;
        int32_t y = *ys++;
        if (scaled) {
            y += y_offset;
            y = y * upper + ((y * lower + 1024) >> 11);
            y = (y + (y >> 31) + other_half) >> other_right;
            twice += 2 * y;
        } else {
            twice += y * ((int32_t)1 << 20);
        }
        *output++ = tflm_opt_output_of_twice(twice, out.multiplier, half, right);
    }
}

TFLM_OPT_APART void add_whole(const operand *x,
                              const operand *y,
                              cmsis_nn_per_tensor_quant_params out,
                              int32_t out_offset,
                              int32_t count,
                              int8_t *output)
{
    add_line(x, y, 0, out, out_offset, count, output);
}

TFLM_OPT_APART void add_scaled(const operand *whole,
                               const operand *other,
                               cmsis_nn_per_tensor_quant_params out,
                               int32_t out_offset,
                               int32_t count,
                               int8_t *output)
{
    add_line(whole, other, 1, out, out_offset, count, output);
}

/* Any factors and offsets. */
TFLM_OPT_APART void add_any(const operand *x,
                            const operand *y,
                            int32_t left_shift,
                            cmsis_nn_per_tensor_quant_params out,
                            int32_t out_offset,
                            int32_t count,
                            int8_t *output)
{
    int32_t i;
    for (i = 0; i < count; i++) {
        const int32_t first =
            tflm_opt_term(x->data[i] + x->offset, left_shift, x->multiplier, x->shift);
        const int32_t second =
            tflm_opt_term(y->data[i] + y->offset, left_shift, y->multiplier, y->shift);
        const int32_t sum = tflm_opt_scale_down(first + second, out.multiplier, out.shift);
        output[i] = (int8_t)tflm_opt_clamp(sum + out_offset, INT8_MIN, INT8_MAX);
    }
}

arm_cmsis_nn_status arm_elementwise_add_s8(const int8_t *input_1_vect,
                                           const int8_t *input_2_vect,
                                           const int32_t input_1_offset,
                                           const int32_t input_1_mult,
                                           const int32_t input_1_shift,
                                           const int32_t input_2_offset,
                                           const int32_t input_2_mult,
                                           const int32_t input_2_shift,
                                           const int32_t left_shift,
                                           int8_t *output,
                                           const int32_t out_offset,
                                           const int32_t out_mult,
                                           const int32_t out_shift,
                                           const int32_t out_activation_min,
                                           const int32_t out_activation_max,
                                           const int32_t block_size)
{
    const operand x = {input_1_vect, input_1_offset, input_1_mult, input_1_shift};
    const operand y = {input_2_vect, input_2_offset, input_2_mult, input_2_shift};
    const cmsis_nn_per_tensor_quant_params out = {out_mult, out_shift};
    /* Sums keep below 2^28. */
    const int fits = left_shift == LEFT_SHIFT && x.offset >= -INT8_MAX && x.offset <= -INT8_MIN &&
                     y.offset >= -INT8_MAX && y.offset <= -INT8_MIN && out_shift < 0 &&
                     out_shift >= -TFLM_OPT_TWICE_MOST;
    if (!tflm_opt_pair_fits(input_1_vect, input_2_vect, output, block_size, out_activation_min,
                            out_activation_max) ||
        !tflm_opt_are_down(input_1_shift, input_2_shift, out_shift) || left_shift < 0 ||
        left_shift > 20) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    if (fits && is_whole(&x) && is_whole(&y)) {
        add_whole(&x, &y, out, out_offset, block_size, output);
    } else if (fits && is_whole(&x) && y.shift < 0) {
        add_scaled(&x, &y, out, out_offset, block_size, output);
    } else if (fits && is_whole(&y) && x.shift < 0) {
        add_scaled(&y, &x, out, out_offset, block_size, output);
    } else {
        add_any(&x, &y, left_shift, out, out_offset, block_size, output);
    }
    if (out_activation_min > INT8_MIN || out_activation_max < INT8_MAX) {
        int32_t i;
        for (i = 0; i < block_size; i++) {
            output[i] =
                (int8_t)tflm_opt_clamp(output[i], out_activation_min, out_activation_max);
        }
    }
    return ARM_CMSIS_NN_SUCCESS;
}

#endif /* !TFLM_OPT_DSP */
