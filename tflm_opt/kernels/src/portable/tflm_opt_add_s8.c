#include "tflm_opt_tier.h"

#if !TFLM_OPT_DSP

#include "tflm_opt_dot.h"
#include "tflm_opt_kernels.h"
#include "tflm_opt_sum.h"

#define LEFT_SHIFT 20 /* TFLM's for 8 bits */

/* One input of a sum; `offset` fits 9 bits, so that x + offset fits 10. */
typedef struct {
    const int8_t *data;
    int32_t offset;
    const cmsis_nn_per_tensor_quant_params *factor;
} operand;

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
    const int32_t upper = (other->factor->multiplier >> 16) * 32;
    const int32_t lower = other->factor->multiplier & 0xffff;
    const int32_t other_right = -other->factor->shift;
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

void tflm_opt_add_s8(const tflm_opt_sum_params *params,
                     const int8_t *input1_data,
                     const int8_t *input2_data,
                     int32_t count,
                     int8_t *output_data)
{
    const operand x = {input1_data, params->input1_offset, &params->input1_quant};
    const operand y = {input2_data, params->input2_offset, &params->input2_quant};
    const cmsis_nn_per_tensor_quant_params out = params->output_quant;
    const int32_t offset = params->output_offset;
    /* Sums keep below 2^28. */
    const int fits = params->left_shift == LEFT_SHIFT && x.offset >= -INT8_MAX &&
                     x.offset <= -INT8_MIN && y.offset >= -INT8_MAX && y.offset <= -INT8_MIN &&
                     out.shift < 0 && out.shift >= -TFLM_OPT_TWICE_MOST;
    const int whole_x = fits && tflm_opt_is_half(x.factor);
    const int whole_y = fits && tflm_opt_is_half(y.factor);
    if (whole_x && whole_y) {
        add_whole(&x, &y, out, offset, count, output_data);
    } else if (whole_x && y.factor->shift < 0) {
        add_scaled(&x, &y, out, offset, count, output_data);
    } else if (whole_y && x.factor->shift < 0) {
        add_scaled(&y, &x, out, offset, count, output_data);
    } else {
        tflm_opt_add_any(params, input1_data, input2_data, count, output_data);
        return;
    }
    tflm_opt_clamp_line(params->activation, output_data, count);
}

#endif /* !TFLM_OPT_DSP */
