#include "tflm_opt_check.h"
#include "tflm_opt_kernels.h"
#include "tflm_opt_mve.h"

#if TFLM_OPT_MVE

/*
 * Four outputs at a time; the block is four elements, of which both inputs are read before the
 * outputs are written. `scale` takes products in q0 to the output's scale, with q1 to spare.
 */
#define LOOP(scale)                                                                                \
    __asm__ volatile("dlstp.32 lr, %[count]\n"                                                     \
                     "1:\n\t"                                                                      \
                     "vldrb.s32 q0, [%[first]], #4\n\t"                                            \
                     "vadd.i32 q0, q0, %[first_offset]\n\t"                                        \
                     "vldrb.s32 q1, [%[second]], #4\n\t"                                           \
                     "vadd.i32 q1, q1, %[second_offset]\n\t"                                       \
                     "vmul.i32 q0, q0, q1\n\t" scale                                               \
                     "vadd.i32 q0, q0, %[out_offset]\n\t"                                          \
                     "vmax.s32 q0, q0, %q[low]\n\t"                                                \
                     "vmin.s32 q0, q0, %q[high]\n\t"                                               \
                     "vstrb.32 q0, [%[output]], #4\n\t"                                            \
                     "letp lr, 1b"                                                                 \
                     : [first] "+l"(first), [second] "+l"(second), [output] "+l"(output)           \
                     : [count] "r"(count), [first_offset] "r"(input_1_offset),                     \
                       [second_offset] "r"(input_2_offset), [multiplier] "r"(out_mult),            \
                       [shift] "r"(out_shift), [out_offset] "r"(out_offset), [low] "w"(low),       \
                       [high] "w"(high)                                                            \
                     : "lr", "q0", "q1", "memory")

#define RIGHT                                                                                      \
    "vqrdmulh.s32 q0, q0, %[multiplier]\n\t"                                                       \
    "vshr.s32 q1, q0, #31\n\t"                                                                     \
    "vadd.i32 q0, q0, q1\n\t"                                                                      \
    "vrshl.s32 q0, %[shift]\n\t"
#define LEFT                                                                                       \
    "vshl.s32 q0, %[shift]\n\t"                                                                    \
    "vqrdmulh.s32 q0, q0, %[multiplier]\n\t"

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
    const int32x4_t low = vdupq_n_s32(out_activation_min);
    const int32x4_t high = vdupq_n_s32(out_activation_max);
    const int8_t *first = input_1_vect;
    const int8_t *second = input_2_vect;
    const int32_t count = block_size;
    if (!tflm_opt_pair_fits(input_1_vect, input_2_vect, output, block_size, out_activation_min,
                            out_activation_max) ||
        !tflm_opt_is_shift(out_shift)) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
    if (count == 0) {
        return ARM_CMSIS_NN_SUCCESS;
    }
    if (out_shift < 0) {
        LOOP(RIGHT);
    } else {
        LOOP(LEFT);
    }
    return ARM_CMSIS_NN_SUCCESS;
}

#endif
