#include "tflm_opt_depthwise.h"
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP && !TFLM_OPT_MVE

/*
 * Of a channel, r11 is the bias and later the multiplier, r12 the second word of its form, in short
 * form 64 + (2 * offset + 1) * 2^(right + 6), lr the third. r10 is 4 more than the first channel.
 */
__attribute__((naked))
void tflm_opt_depthwise_forms_s8(__attribute__((unused)) const tflm_opt_depthwise_forms *forms)
{
    __asm__(
        "push {r4-r11, lr}          \n"
        "ldm r0, {r1-r10}           \n"
        "mov r0, #4                 \n"
        "add r10, r10, #4           \n"
        "1:                         \n"
        "ldr r11, [r1], #4          \n" /* bias */
        "ldr r12, [r3], #4          \n" /* shift */
        "add lr, r11, r8            \n"
        "cmp lr, r8, lsl #1         \n" /* no larger than r8 */
        "bhi 4f                     \n"
        "mvn r12, r12               \n" /* right - 1 */
        "cmp r12, r9                \n"
        "bcs 3f                     \n"
        "add lr, r12, #7            \n"
        "lsl r12, r4, lr            \n"
        "add r12, r12, #64          \n"
        "add lr, lr, #1             \n"
        "2:                         \n"
        "lsl r11, r11, #8           \n"
        "strd r11, r11, [r5]        \n"
        "strd r11, r11, [r5, #8]    \n"
        "ldr r11, [r2], #4          \n" /* multiplier */
        "20:                        \n"
        "add r5, r5, r6             \n"
        "stmdb r5, {r11, r12, lr}   \n"
        "subs r0, r0, #1            \n"
        "bne 1b                     \n"
        "pop {r4-r11, pc}           \n"
        "3:                         \n" /* the long form, for shifts from 1 to 31 */
        "rsbs lr, r12, #31          \n"
        "bls 4f                     \n"
        "mvn r12, #0                \n"
        "lsl r12, r12, lr           \n"
        "mov lr, #0                 \n"
        "b 2b                       \n"
        "4:                         \n" /* none */
        "mov r12, #0                \n"
        "mov lr, #0                 \n"
        "strd lr, lr, [r5]          \n"
        "strd lr, lr, [r5, #8]      \n"
        "add r2, r2, #4             \n"
        "sub r11, r10, r0           \n"
        "b 20b                      \n");
}

#endif
