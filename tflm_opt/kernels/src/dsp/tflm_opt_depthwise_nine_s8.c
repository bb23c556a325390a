#include "tflm_opt_depthwise.h"
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP && !TFLM_OPT_MVE

/*
 * What tflm_opt_depthwise_words_s8 makes of taps in two pairs of rows, column by column: r0 walks over
 * the upper row of the first by r5, r10 leads to the lower one, r11 and lr to those of the second, of
 * which the lower one counts by r12. r7 and r3 walk over both pairs' words of the first channel, r8
 * leads to the next one's.
 */
#define FOUR_TAPS(to)                   \
    "pkhbt r4, r1, r2, lsl #16      \n" \
    "pkhtb r2, r2, r1, asr #16      \n" \
    "and r1, r6, r4                 \n" \
    "and r4, r6, r4, lsl #8         \n" \
    "str r1, [" to ", r8]           \n" \
    "and r1, r6, r2, lsl #8         \n" \
    "and r2, r6, r2                 \n" \
    "str r1, [" to ", r8, lsl #1]   \n" \
    "str r2, [" to ", r9]           \n" \
    "str r4, [" to "], #4          \n"

__attribute__((naked))
void tflm_opt_depthwise_nine_s8(__attribute__((unused)) const tflm_opt_depthwise_words *taps)
{
    __asm__(
        "push {r3-r11, lr}          \n" /* the first place is for where words end */
        "ldm r0, {r1-r8}            \n" /* pairs, ..., row_bytes, ..., plane */
        "ldm r1, {r0, r9-r12, lr}   \n"
        "add r3, r3, r7             \n"
        "str r3, [sp]               \n"
        "add r3, r7, #12            \n"
        "sub r11, r11, r0           \n"
        "add r0, r0, r4             \n"
        "rsb r12, lr, #0            \n" /* 0 if the lower row is missing */
        "asr r12, r12, #31          \n"
        "add lr, lr, r11            \n"
        "add r9, r8, r8, lsl #1     \n"
        "1:                         \n"
        "ldr r1, [r0]               \n"
        "ldr r2, [r0, r10]          \n"
        FOUR_TAPS("r7")
        "ldr r1, [r0, r11]          \n"
        "ldr r2, [r0, lr]           \n"
        "add r0, r0, r5             \n"
        "and r2, r2, r12            \n"
        FOUR_TAPS("r3")
        "ldr r1, [sp]               \n"
        "cmp r7, r1                 \n"
        "bne 1b                     \n"
        "pop {r3-r11, pc}           \n");
}

#endif
