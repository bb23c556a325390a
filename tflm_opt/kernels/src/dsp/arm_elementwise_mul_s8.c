/*
 * Products, four outputs at a time: both inputs with their offsets are halves of words, and one of
 * the two doubled, as tflm_opt_scaled_s8 takes a product. All of a block is read before any of it
 * is written.
 */
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP && !TFLM_OPT_MVE

#include "tflm_opt_check.h"
#include "tflm_opt_kernels.h"
#include "tflm_opt_scale.h"

/* Low halves multiplied, and high ones. */
TFLM_OPT_INLINE int32_t low_product(uint32_t a, uint32_t b)
{
    int32_t result;
    __asm__("smulbb %0, %1, %2" : "=r"(result) : "r"(a), "r"(b));
    return result;
}

TFLM_OPT_INLINE int32_t high_product(uint32_t a, uint32_t b)
{
    int32_t result;
    __asm__("smultt %0, %1, %2" : "=r"(result) : "r"(a), "r"(b));
    return result;
}

/* The first outputs, a multiple of four of them: how many. */
TFLM_OPT_APART int32_t blocks(const int8_t *first,
                              const int8_t *second,
                              int32_t first_offset,
                              int32_t second_offset,
                              tflm_opt_scale scale,
                              int32_t count,
                              int8_t *output)
{
    const uint32_t offsets1 = tflm_opt_pack_low((uint32_t)first_offset, (uint32_t)first_offset);
    const uint32_t offsets2 = tflm_opt_pack_low((uint32_t)second_offset, (uint32_t)second_offset);
    const int8_t *end = output + (count & ~3);
    while (output != end) {
        const uint32_t x = tflm_opt_word(first);
        const uint32_t y = tflm_opt_word(second);
        const uint32_t x_even = tflm_opt_sxtab16(offsets1, x);
        const uint32_t x_odd = tflm_opt_sxtab16_odd(offsets1, x);
        const uint32_t y_even = tflm_opt_twice_halves(tflm_opt_sxtab16(offsets2, y));
        const uint32_t y_odd = tflm_opt_twice_halves(tflm_opt_sxtab16_odd(offsets2, y));
        output[0] = (int8_t)tflm_opt_scaled_s8(&scale, low_product(x_even, y_even));
        output[1] = (int8_t)tflm_opt_scaled_s8(&scale, low_product(x_odd, y_odd));
        output[2] = (int8_t)tflm_opt_scaled_s8(&scale, high_product(x_even, y_even));
        output[3] = (int8_t)tflm_opt_scaled_s8(&scale, high_product(x_odd, y_odd));
        first += 4;
        second += 4;
        output += 4;
    }
    return count & ~3;
}

arm_cmsis_nn_status arm_elementwise_mul_s8(const int8_t *input_1_vect,
                                           const int8_t *input_2_vect,
                                           const int32_t input_1_offset,
                                           const int32_t input_2_offset,
                                           int8_t *output,
                                           const int32_t out_offset,
                                           const int32_t out_mult,
                                           const int32_t out_shift,
                                           const int32_t out_activation_min,
                                           const int32_t out_activation_max,
                                           const int32_t block_size)
{
    tflm_opt_scale scale;
    int32_t i = 0;
    if (!tflm_opt_pair_fits(input_1_vect, input_2_vect, output, block_size, out_activation_min,
                            out_activation_max) ||
        !tflm_opt_is_shift(out_shift)) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    if (tflm_opt_is_offset(input_1_offset) && tflm_opt_is_offset(input_2_offset) &&
        tflm_opt_set_scale(out_mult, out_shift, out_offset, TFLM_OPT_SCALE_SMALL, &scale)) {
        i = blocks(input_1_vect, input_2_vect, input_1_offset, input_2_offset, scale, block_size,
                   output);
        if (tflm_opt_is_narrow(out_activation_min, out_activation_max)) {
            tflm_opt_clamp_outputs(output, i, out_activation_min, out_activation_max);
        }
    }
    for (; i < block_size; i++) {
        const int32_t product =
            (input_1_vect[i] + input_1_offset) * (input_2_vect[i] + input_2_offset);
        const int32_t scaled = tflm_opt_requantize(product, out_mult, out_shift) + out_offset;
        output[i] = (int8_t)tflm_opt_clamp(scaled, out_activation_min, out_activation_max);
    }
    return ARM_CMSIS_NN_SUCCESS;
}

#endif /* TFLM_OPT_DSP */
