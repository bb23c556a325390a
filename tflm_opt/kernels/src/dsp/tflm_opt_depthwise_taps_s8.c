#include "tflm_opt_depthwise.h"
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP

/*
 * Four channels' products of one tap, added to r0 to r3: the input's offset, twice in r4, is added to
 * each value. r5 is the number of channels, r6 walks over values, r7 over taps.
 */
#define TAP(place)                        \
    "ldr r8, [r6" place "]            \n" \
    "ldr r10, [r7" place "]           \n" \
    "sxtab16 r9, r4, r8               \n" \
    "sxtb16 r11, r10                  \n" \
    "sxtab16 r8, r4, r8, ror #8       \n" \
    "sxtb16 r10, r10, ror #8          \n" \
    "smlabb r0, r9, r11, r0           \n" \
    "smlatt r2, r9, r11, r2           \n" \
    "smlabb r1, r8, r10, r1           \n" \
    "smlatt r3, r8, r10, r3           \n"

/*
 * The short form of tflm_opt_dsp.h, made on the way: the multiplier is loaded from r4, the shift from
 * r5; r6 is 2 * output_offset + 1, r7 the kink, r8 where the output goes.
 */
#define OUTPUT(sum)                        \
    "ldr r9, [r5], #4                  \n" \
    "ldr r10, [r4], #4                 \n" \
    "lsl " sum ", " sum ", #8          \n" \
    "rsb r9, r9, #6                    \n" \
    "lsl r11, r6, r9                   \n" \
    "add r11, r11, #64                 \n" \
    "smmla r11, " sum ", r10, r11      \n" \
    "and " sum ", r7, " sum ", asr #31 \n" \
    "add r9, r9, #1                    \n" \
    "add r11, r11, " sum "             \n" \
    "asr r11, r11, r9                  \n" \
    "ssat r11, #8, r11                 \n" \
    "strb r11, [r8], #1                \n"

/* All groups of channels of one pixel. r12 walks over the rows' distances, of which 0 is the last. */
__attribute__((naked))
void tflm_opt_depthwise_taps_s8(__attribute__((unused)) tflm_opt_depthwise_pixel *pixel)
{
    __asm__(
        "push {r0, r4-r11, lr}      \n"
        "1:                         \n" /* a group of channels */
        "ldr r9, [sp]               \n"
        "ldm r9, {r6-r8}            \n" /* source, taps, bias */
        "ldrd r4, r5, [r9, #28]     \n" /* offset, channels */
        "ldrd r12, r10, [r9, #36]   \n" /* distances, columns */
        "ldm r8, {r0-r3}            \n"
        "mov lr, r6                 \n"
        "cmp r10, #3                \n"
        "bne 3f                     \n"
        "2:                         \n" /* a row of three taps */
        TAP("")
        TAP(", r5")
        TAP(", r5, lsl #1")
        "ldr r8, [sp]               \n"
        "ldr r6, [r12], #4          \n"
        "ldr r8, [r8, #44]          \n" /* from a row of taps to the next */
        "cmp r6, #0                 \n"
        "add r6, r6, lr             \n"
        "add r7, r7, r8             \n"
        "bne 2b                     \n"
        "b 6f                       \n"
        "3:                         \n" /* a row of any number, the first alone if it is odd */
        "ldr r8, [sp]               \n"
        "ldr r8, [r8, #40]          \n" /* columns */
        "mla lr, r8, r5, r6         \n" /* where the row ends */
        "tst r8, #1                 \n"
        "beq 4f                     \n"
        TAP("")
        "add r6, r6, r5             \n"
        "add r7, r7, r5             \n"
        "cmp r6, lr                 \n"
        "beq 5f                     \n"
        "4:                         \n"
        TAP("")
        TAP(", r5")
        "add r6, r6, r5, lsl #1     \n"
        "add r7, r7, r5, lsl #1     \n"
        "cmp r6, lr                 \n"
        "bne 4b                     \n"
        "5:                         \n"
        "ldr r9, [sp]               \n"
        "ldr r6, [r12], #4          \n"
        "ldrd r8, lr, [r9, #40]     \n" /* columns, from a row of taps to the next */
        "ldr r9, [r9]               \n"
        "mls r7, r8, r5, r7         \n"
        "cmp r6, #0                 \n"
        "add r6, r6, r9             \n"
        "add r7, r7, lr             \n"
        "bne 3b                     \n"
        "6:                         \n"
        "ldr r9, [sp]               \n"
        "ldrd r4, r5, [r9, #12]     \n" /* multiplier, shift */
        "ldrd r6, r7, [r9, #48]     \n" /* factor, kink */
        "ldr r8, [r9, #20]          \n" /* output */
        OUTPUT("r0")
        OUTPUT("r1")
        OUTPUT("r2")
        OUTPUT("r3")
        "ldr r12, [sp]              \n"
        "ldm r12, {r0-r2}           \n"
        "ldr r3, [r12, #56]         \n" /* bias_step */
        "ldr r7, [r12, #24]         \n" /* groups */
        "add r0, r0, #4             \n"
        "add r1, r1, #4             \n"
        "add r2, r2, r3             \n"
        "subs r7, r7, #1            \n"
        "stm r12, {r0-r2, r4, r5, r8} \n"
        "str r7, [r12, #24]         \n"
        "bne 1b                     \n"
        "pop {r0, r4-r11, pc}       \n");
}

#endif
