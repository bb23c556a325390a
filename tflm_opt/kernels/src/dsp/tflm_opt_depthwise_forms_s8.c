#include "tflm_opt_depthwise.h"
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP && !TFLM_OPT_MVE

/*
 * Of a channel, r11 is the bias, lr the shift right, later the form's last word, r12 its constant: in
 * short form 64 + (2 * offset + 1) * 2^(right + 6).
 */
__attribute__((naked))
void tflm_opt_depthwise_forms_s8(__attribute__((unused)) const tflm_opt_depthwise_forms *forms)
{
    __asm__(
        "push {r4-r11, lr}          \n"
        "ldm r0, {r1-r10}           \n"
        "mov r0, #4                 \n"
        "1:                         \n"
        "ldr r11, [r1], #4          \n" /* bias */
        "ldr lr, [r3], #4           \n" /* shift */
        "add r12, r11, r8           \n"
        "cmp r12, r8, lsl #1        \n" /* no larger than r8 */
        "bhi 3f                     \n"
        "rsb lr, lr, #0             \n"
        "sub r12, lr, #1            \n"
        "cmp r12, #30               \n" /* from 1 to 31 */
        "bhi 3f                     \n"
        "cmp lr, r9                 \n"
        "bgt 2f                     \n"
        "add r12, lr, #6            \n"
        "lsl r12, r4, r12           \n"
        "add r12, r12, #64          \n"
        "add lr, lr, #7             \n"
        "b 4f                       \n"
        "2:                         \n" /* the long form */
        "rsb lr, lr, #32            \n"
        "mvn r12, #0                \n"
        "lsl lr, r12, lr            \n"
        "mov r12, r7                \n"
        "b 4f                       \n"
        "3:                         \n" /* none */
        "mov r11, #0                \n"
        "mov lr, #0                 \n"
        "4:                         \n"
        "lsl r11, r11, #8           \n"
        "strd r11, r11, [r5]        \n"
        "strd r11, r11, [r5, #8]    \n"
        "add r5, r5, r6             \n"
        "ldr r11, [r2], #4          \n" /* multiplier */
        "cmp lr, #0                 \n"
        "it eq                      \n"
        "moveq r11, r10             \n"
        "add r10, r10, #1           \n"
        "stmdb r5, {r11, r12, lr}   \n"
        "subs r0, r0, #1            \n"
        "bne 1b                     \n"
        "pop {r4-r11, pc}           \n");
}

#endif
