#include "tflm_opt_depthwise.h"
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP

/*
 * Sums of taps times the input's offset, one row at a time, added to the bias in r8: words come from
 * r0, the offset is in both halves of r4. With stride 1 each tap is in two words.
 */
#define ROW_3_1                         \
    "ldmia r0!, {r9, r10}           \n" \
    "smlad r8, r9, r4, r8           \n" \
    "smlatb r8, r10, r4, r8         \n"
#define ROW_5_1                         \
    "ldmia r0!, {r9-r12}            \n" \
    "smlad r8, r9, r4, r8           \n" \
    "smlad r8, r11, r4, r8          \n" \
    "smlatb r8, r12, r4, r8         \n"
#define ROW_7_1                         \
    "ldmia r0!, {r9-r11}            \n" \
    "smlad r8, r9, r4, r8           \n" \
    "smlad r8, r11, r4, r8          \n" \
    "ldmia r0!, {r9-r11}            \n" \
    "smlad r8, r10, r4, r8          \n" \
    "smlatb r8, r11, r4, r8         \n"
#define ROW_3_2                         \
    "ldmia r0!, {r9, r10}           \n" \
    "smlad r8, r9, r4, r8           \n" \
    "smlad r8, r10, r4, r8          \n"
#define ROW_5_2                         \
    "ldmia r0!, {r9-r11}            \n" \
    "smlad r8, r9, r4, r8           \n" \
    "smlad r8, r10, r4, r8          \n" \
    "smlad r8, r11, r4, r8          \n"
#define ROW_7_2                         \
    "ldmia r0!, {r9-r12}            \n" \
    "smlad r8, r9, r4, r8           \n" \
    "smlad r8, r10, r4, r8          \n" \
    "smlad r8, r11, r4, r8          \n" \
    "smlad r8, r12, r4, r8          \n"

/*
 * All channels. The bias must be no larger than r6; a shift right by 1 to 15 has a short form
 * (tflm_opt_set_short), whose constant is 64 + (2 * output_offset + 1) * 2^(right + 6).
 */
#define SCALES(row)                                                              \
    "push {r4-r11, lr}          \n"                                              \
    "sub sp, sp, #12            \n"                                              \
    "ldmia r0!, {r1-r6}         \n"                                              \
    "ldm r0, {r7-r10, lr}       \n" /* words, rows, size, count, bias_step */    \
    "mov r0, r7                 \n"                                              \
    "sub r9, r9, #12            \n"                                              \
    "stm sp, {r8-r10}           \n"                                              \
    "1:                         \n" /* a channel */                              \
    "ldr r8, [r1]               \n"                                              \
    "add r1, r1, lr             \n"                                              \
    "add r9, r8, r6             \n"                                              \
    "cmp r9, r6, lsl #1         \n"                                              \
    "bhi 3f                     \n"                                              \
    "lsl r8, r8, #8             \n"                                              \
    "ldr r7, [sp]               \n"                                              \
    "add r0, r0, #16            \n"                                              \
    "2:                         \n"                                              \
    row                                                                          \
    "subs r7, r7, #1            \n"                                              \
    "bne 2b                     \n"                                              \
    "ldrd r10, r7, [sp, #4]     \n"                                              \
    "sub r9, r0, r10            \n"                                              \
    "strd r8, r8, [r9]          \n"                                              \
    "strd r8, r8, [r9, #8]      \n"                                              \
    "ldr r10, [r3], #4          \n" /* shift */                                  \
    "ldr r9, [r2], #4           \n" /* multiplier */                             \
    "mvn r11, r10               \n"                                              \
    "cmp r11, #14               \n"                                              \
    "bhi 3f                     \n"                                              \
    "add r10, r11, #7           \n"                                              \
    "lsl r10, r5, r10           \n"                                              \
    "add r10, r10, #64          \n"                                              \
    "add r11, r11, #8           \n"                                              \
    "stmia r0!, {r9-r11}        \n"                                              \
    "subs r7, r7, #1            \n"                                              \
    "str r7, [sp, #8]           \n"                                              \
    "bne 1b                     \n"                                              \
    "mov r0, #1                 \n"                                              \
    "b 4f                       \n"                                              \
    "3:                         \n"                                              \
    "mov r0, #0                 \n"                                              \
    "4:                         \n"                                              \
    "add sp, sp, #12            \n"                                              \
    "pop {r4-r11, pc}           \n"

typedef int32_t set_scales(const tflm_opt_depthwise_scales *scales);

#define CORE(name, row)                                              \
    __attribute__((naked, noinline)) static int32_t name(            \
        __attribute__((unused)) const tflm_opt_depthwise_scales *scales) \
    {                                                                \
        __asm__(SCALES(row));                                        \
    }

CORE(scales_3_1, ROW_3_1)
CORE(scales_5_1, ROW_5_1)
CORE(scales_7_1, ROW_7_1)
CORE(scales_3_2, ROW_3_2)
CORE(scales_5_2, ROW_5_2)
CORE(scales_7_2, ROW_7_2)

int32_t tflm_opt_depthwise_scales_s8(const tflm_opt_depthwise_scales *scales,
                                     const tflm_opt_depthwise_shape *shape)
{
    static set_scales *const by_shape[2][3] = {{scales_3_1, scales_5_1, scales_7_1},
                                               {scales_3_2, scales_5_2, scales_7_2}};
    return by_shape[shape->stride_w - 1][shape->width / 2 - 1](scales);
}

#endif
