#include "tflm_opt_depthwise.h"
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP && !TFLM_OPT_MVE

/*
 * Four channels' products of one tap, added to r0 to r3: the input's offset, twice in r4, is added to
 * each value. r5 is from one value to the next, r6 walks over values, r7 over taps.
 */
#define TAP(value, tap)                   \
    "ldr r8, [r6" value "]            \n" \
    "ldr r10, [r7" tap "]             \n" \
    "sxtab16 r9, r4, r8               \n" \
    "sxtb16 r11, r10                  \n" \
    "sxtab16 r8, r4, r8, ror #8       \n" \
    "sxtb16 r10, r10, ror #8          \n" \
    "smlabb r0, r9, r11, r0           \n" \
    "smlatt r2, r9, r11, r2           \n" \
    "smlabb r1, r8, r10, r1           \n" \
    "smlatt r3, r8, r10, r3           \n"

/*
 * The long form of an output, made on the way: the multiplier is loaded from r4, the shift from r5;
 * r6 is -1, r7 the output's offset, r8 where it goes.
 */
#define OUTPUT(sum)                        \
    "ldr r9, [r5], #4                  \n" \
    "ldr r10, [r4], #4                 \n" \
    "add r9, r9, #32                   \n" \
    "lsl r9, r6, r9                    \n" \
    "lsl " sum ", " sum ", #1          \n" \
    "smmulr " sum ", " sum ", r10      \n" \
    "add " sum ", " sum ", " sum ", asr #31 \n" \
    "smmlsr " sum ", " sum ", r9, r7   \n" \
    "ssat " sum ", #8, " sum "         \n" \
    "strb " sum ", [r8], #1            \n"

/*
 * All groups of channels of one pixel. r12 walks over the rows' distances, of which 0 is the last;
 * where rows are not short, it does so in memory.
 */
__attribute__((naked))
void tflm_opt_depthwise_taps_s8(__attribute__((unused)) tflm_opt_depthwise_pixel *pixel)
{
    __asm__(
        "push {r0, r1, r4-r11, lr}  \n"
        "1:                         \n" /* a group of channels */
        "ldr r9, [sp]               \n"
        "ldm r9, {r6-r8}            \n" /* source, taps, bias */
        "ldrd r4, r5, [r9, #28]     \n" /* offset, input_step */
        "ldr r12, [r9, #36]         \n" /* distances */
        "ldr r9, [r9, #60]          \n" /* few */
        "ldm r8, {r0-r3}            \n"
        "mov lr, r6                 \n"
        "cmp r9, #3                 \n" /* flags that hold for all rows */
        "blt.w 3f                   \n"
        "2:                         \n" /* a row of two or three taps */
        "bne 21f                    \n"
        TAP(", r5, lsl #1", ", r5, lsl #1")
        "21:                        \n"
        TAP(", r5", ", r5")
        TAP("", "")
        "ldr r8, [sp]               \n"
        "ldr r6, [r12], #4          \n"
        "ldr r8, [r8, #44]          \n" /* from a row of taps to the next */
        "cbz r6, 6f                 \n"
        "add r6, r6, lr             \n"
        "add r7, r7, r8             \n"
        "b 2b                       \n"
        "6:                         \n"
        "ldr r9, [sp]               \n"
        "ldrd r4, r5, [r9, #12]     \n" /* multiplier, shift */
        "ldr r7, [r9, #48]          \n" /* output_offset */
        "ldr r8, [r9, #20]          \n" /* output */
        "mvn r6, #0                 \n"
        OUTPUT("r0")
        OUTPUT("r1")
        OUTPUT("r2")
        OUTPUT("r3")
        "ldr r12, [sp]              \n"
        "ldm r12, {r0-r2}           \n"
        "ldr r3, [r12, #52]         \n" /* bias_step */
        "ldr r7, [r12, #24]         \n" /* groups */
        "add r0, r0, #4             \n"
        "add r1, r1, #4             \n"
        "add r2, r2, r3             \n"
        "subs r7, r7, #1            \n"
        "stm r12, {r0-r2, r4, r5, r8} \n"
        "str r7, [r12, #24]         \n"
        "bne 1b                     \n"
        "pop {r0, r1, r4-r11, pc}   \n"
        "3:                         \n" /* rows of any number of taps, the first alone if it is odd */
        "ldr r8, [sp]               \n"
        "str r12, [sp, #4]          \n"
        "ldr r12, [r8, #56]         \n" /* tap_step */
        "31:                        \n"
        "ldr r8, [sp]               \n"
        "ldr r8, [r8, #40]          \n" /* columns */
        "mla lr, r8, r5, r6         \n" /* where the row ends */
        "tst r8, #1                 \n"
        "beq 4f                     \n"
        TAP("", "")
        "add r6, r6, r5             \n"
        "add r7, r7, r12            \n"
        "cmp r6, lr                 \n"
        "beq 5f                     \n"
        "4:                         \n"
        TAP("", "")
        TAP(", r5", ", r12")
        "add r6, r6, r5, lsl #1     \n"
        "add r7, r7, r12, lsl #1    \n"
        "cmp r6, lr                 \n"
        "bne 4b                     \n"
        "5:                         \n"
        "ldrd r9, r10, [sp]         \n"
        "ldr r6, [r10], #4          \n"
        "str r10, [sp, #4]          \n"
        "ldrd r8, lr, [r9, #40]     \n" /* columns, from a row of taps to the next */
        "ldr r9, [r9]               \n"
        "mls r7, r8, r12, r7        \n"
        "cmp r6, #0                 \n"
        "add r6, r6, r9             \n"
        "add r7, r7, lr             \n"
        "bne 31b                    \n"
        "b 6b                       \n");
}

#endif
