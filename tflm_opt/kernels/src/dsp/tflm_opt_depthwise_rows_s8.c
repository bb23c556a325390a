#include "tflm_opt_depthwise.h"
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP

/*
 * Sums of four outputs of a row are in r0 to r3; r12 walks over taps, r11 over words, by lr from
 * row to row. Each of these is what one row of taps does; they are as long as
 * tflm_opt_depthwise_band_s8 says, in instructions of 4 bytes all of them.
 *
 * Words are E0, E1, ... from the group's first column on.
 */

/* Stride 1: w01 and w12 in r4 and r5, E0 to E2 in r8 to r10. */
#define ROW_3_1                         \
    "ldmia.w r12!, {r4, r5}         \n" \
    "ldmia.w r11, {r8-r10}          \n" \
    "add.w r11, r11, lr             \n" \
    "smlad r0, r8, r4, r0           \n" \
    "smlatb r1, r8, r4, r1          \n" \
    "smlabt r0, r9, r5, r0          \n" \
    "smlad r1, r9, r5, r1           \n" \
    "smlad r2, r9, r4, r2           \n" \
    "smlatb r3, r9, r4, r3          \n" \
    "smlabt r2, r10, r5, r2         \n" \
    "smlad r3, r10, r5, r3          \n"

/* w01, w12, w23, w34 in r4 to r7, E0 (later E3), E1, E2 in r8 to r10. */
#define ROW_5_1                         \
    "ldmia.w r12!, {r4-r7}          \n" \
    "ldmia.w r11, {r8-r10}          \n" \
    "smlad r0, r8, r4, r0           \n" \
    "smlatb r1, r8, r4, r1          \n" \
    "smlad r0, r9, r6, r0           \n" \
    "smlad r1, r9, r5, r1           \n" \
    "smlad r2, r9, r4, r2           \n" \
    "smlatb r3, r9, r4, r3          \n" \
    "ldr.w r8, [r11, #12]           \n" \
    "add.w r11, r11, lr             \n" \
    "smlabt r0, r10, r7, r0         \n" \
    "smlad r1, r10, r7, r1          \n" \
    "smlad r2, r10, r6, r2          \n" \
    "smlad r3, r10, r5, r3          \n" \
    "smlabt r2, r8, r7, r2          \n" \
    "smlad r3, r8, r7, r3           \n"

/* w01, w12, w23, later w34, w45, w56 in r4 to r6; E0, E1 (later E3, E4) and E2 in r8 to r10. */
#define ROW_7_1                         \
    "ldmia.w r12!, {r4-r6}          \n" \
    "ldmia.w r11, {r8-r10}          \n" \
    "smlad r0, r8, r4, r0           \n" \
    "smlatb r1, r8, r4, r1          \n" \
    "smlad r0, r9, r6, r0           \n" \
    "smlad r1, r9, r5, r1           \n" \
    "smlad r2, r9, r4, r2           \n" \
    "smlatb r3, r9, r4, r3          \n" \
    "smlad r2, r10, r6, r2          \n" \
    "smlad r3, r10, r5, r3          \n" \
    "ldmia.w r12!, {r4-r6}          \n" \
    "ldrd r8, r9, [r11, #12]        \n" \
    "add.w r11, r11, lr             \n" \
    "smlad r0, r10, r5, r0          \n" \
    "smlad r1, r10, r4, r1          \n" \
    "smlabt r0, r8, r6, r0          \n" \
    "smlad r1, r8, r6, r1           \n" \
    "smlad r2, r8, r5, r2           \n" \
    "smlad r3, r8, r4, r3           \n" \
    "smlabt r2, r9, r6, r2          \n" \
    "smlad r3, r9, r6, r3           \n"

/* Stride 2: w01 and w2 in r4 and r5, E0 to E4 in r6 to r10. */
#define ROW_3_2                         \
    "ldmia.w r12!, {r4, r5}         \n" \
    "ldmia.w r11, {r6-r10}          \n" \
    "add.w r11, r11, lr             \n" \
    "smlad r0, r6, r4, r0           \n" \
    "smlad r0, r7, r5, r0           \n" \
    "smlad r1, r7, r4, r1           \n" \
    "smlad r1, r8, r5, r1           \n" \
    "smlad r2, r8, r4, r2           \n" \
    "smlad r2, r9, r5, r2           \n" \
    "smlad r3, r9, r4, r3           \n" \
    "smlad r3, r10, r5, r3          \n"

/* w01, w23, w4 in r4 to r6; E0 to E3 in r7 to r10, later E4 and E5 in r7 and r8. */
#define ROW_5_2                         \
    "ldmia.w r12!, {r4-r6}          \n" \
    "ldmia.w r11, {r7-r10}          \n" \
    "smlad r0, r7, r4, r0           \n" \
    "smlad r0, r8, r5, r0           \n" \
    "smlad r0, r9, r6, r0           \n" \
    "smlad r1, r8, r4, r1           \n" \
    "ldrd r7, r8, [r11, #16]        \n" \
    "add.w r11, r11, lr             \n" \
    "smlad r1, r9, r5, r1           \n" \
    "smlad r1, r10, r6, r1          \n" \
    "smlad r2, r9, r4, r2           \n" \
    "smlad r2, r10, r5, r2          \n" \
    "smlad r2, r7, r6, r2           \n" \
    "smlad r3, r10, r4, r3          \n" \
    "smlad r3, r7, r5, r3           \n" \
    "smlad r3, r8, r6, r3           \n"

/* w01, w23, w45, w6 in r4 to r7; E0 to E2, then E3 to E5, then E6 in r8 to r10. */
#define ROW_7_2                         \
    "ldmia.w r12!, {r4-r7}          \n" \
    "ldmia.w r11!, {r8-r10}         \n" \
    "smlad r0, r8, r4, r0           \n" \
    "smlad r0, r9, r5, r0           \n" \
    "smlad r0, r10, r6, r0          \n" \
    "smlad r1, r9, r4, r1           \n" \
    "smlad r1, r10, r5, r1          \n" \
    "smlad r2, r10, r4, r2          \n" \
    "ldmia.w r11!, {r8-r10}         \n" \
    "smlad r0, r8, r7, r0           \n" \
    "smlad r1, r8, r6, r1           \n" \
    "smlad r2, r8, r5, r2           \n" \
    "smlad r3, r8, r4, r3           \n" \
    "ldr.w r8, [r11]                \n" \
    "add.w r11, r11, lr             \n" \
    "smlad r1, r9, r7, r1           \n" \
    "smlad r2, r9, r6, r2           \n" \
    "smlad r3, r9, r5, r3           \n" \
    "smlad r2, r10, r7, r2          \n" \
    "smlad r3, r10, r6, r3          \n" \
    "smlad r3, r8, r7, r3           \n"

#define THREE(row) row row row "b.w 4f \n"
#define FIVE(row) row row row row row "b.w 4f \n"

/*
 * The same in a loop, for larger filters: fewer instructions of code, two more a row; three where
 * the row leaves no register, r7, for the end of the taps.
 */
#define LOOP_7(label, row)                \
    "ldr.w r7, [sp, #80]              \n" \
    #label ":                         \n" \
    row                                   \
    "cmp.w r12, r7                    \n" \
    "bne.w " #label "b                \n" \
    "b.w 4f                           \n"
#define LOOP(label, row)                  \
    #label ":                         \n" \
    row                                   \
    "ldr.w r4, [sp, #80]              \n" \
    "cmp.w r12, r4                    \n" \
    "bne.w " #label "b                \n" \
    "b.w 4f                           \n"

/* One output with the kink, if there are any left. */
#define ONE_BY_ONE(sum)                       \
    "smmla r12, " sum ", r4, r5           \n" \
    "and " sum ", lr, " sum ", asr #31    \n" \
    "add r12, r12, " sum "                \n" \
    "asr r12, r12, r6                     \n" \
    "ssat r12, #8, r12                    \n" \
    "strb r12, [r7]                       \n" \
    "add r7, r7, r8                       \n" \
    "subs r9, r9, #1                      \n" \
    "beq 6f                               \n"

/*
 * The record lies at the stack pointer, so that one instruction loads what a group needs: where it
 * goes, the step, the columns left, the bytes from its words to the next one's, where they are.
 */
__attribute__((naked))
void tflm_opt_depthwise_rows_s8(__attribute__((unused)) const tflm_opt_depthwise_rows *rows)
{
    __asm__(
        "push {r4-r11, lr}          \n"
        "sub sp, sp, #84            \n"
        "mov r12, sp                \n"
        "ldmia r0!, {r1-r10}        \n"
        "stmia r12!, {r1-r10}       \n"
        "ldmia r0, {r1-r10}         \n"
        "stmia r12!, {r1-r10}       \n"
        "adr.w r7, 3f               \n" /* where the rows begin that there are */
        "ldr r6, [sp, #24]          \n"
        "orr r7, r7, #1             \n"
        "add r6, r6, r7             \n"
        "str r6, [sp, #24]          \n"
        "ldr r6, [sp, #20]          \n"
        "ldr r7, [sp, #68]          \n"
        "add r6, r6, r7             \n"
        "sub r6, r6, #12            \n"
        "str r6, [sp, #80]          \n" /* where taps end */
        "add r12, sp, #36           \n"
        "ldm r12, {r0-r4}           \n"
        "1:                         \n" /* a row of outputs */
        "ldr lr, [sp, #32]          \n"
        "str r0, [sp]               \n"
        "str r4, [sp, #8]           \n"
        "mov r11, r1                \n"
        "str r1, [sp, #16]          \n"
        "2:                         \n" /* a group */
        "ldr r12, [sp, #20]         \n"
        "ldmia r12!, {r0-r3}        \n"
        "ldr pc, [sp, #24]          \n"
        ".p2align 2                 \n"
        "3:                         \n"
        THREE(ROW_3_1)
        FIVE(ROW_5_1)
        LOOP_7(71, ROW_7_1)
        THREE(ROW_3_2)
        LOOP(52, ROW_5_2)
        LOOP(72, ROW_7_2)
        "4:                         \n"
        "ldm r12, {r4-r6}           \n"
        "ldm sp, {r7-r11}           \n"
        "subs r9, r9, #4            \n"
        "blt 5f                     \n"
        "smmla r0, r0, r4, r5       \n"
        "smmla r1, r1, r4, r5       \n"
        "smmla r2, r2, r4, r5       \n"
        "smmla r3, r3, r4, r5       \n"
        "asr r0, r0, r6             \n"
        "asr r1, r1, r6             \n"
        "asr r2, r2, r6             \n"
        "asr r3, r3, r6             \n"
        "ssat r0, #8, r0            \n"
        "ssat r1, #8, r1            \n"
        "ssat r2, #8, r2            \n"
        "ssat r3, #8, r3            \n"
        "strb r0, [r7]              \n"
        "strb r1, [r7, r8]          \n"
        "add r7, r7, r8, lsl #1     \n"
        "strb r2, [r7]              \n"
        "strb r3, [r7, r8]          \n"
        "add r7, r7, r8, lsl #1     \n"
        "add r11, r11, r10          \n"
        "stm sp, {r7-r11}           \n"
        "bne 2b                     \n"
        "b 6f                       \n"
        "5:                         \n" /* fewer than four outputs, or a kink */
        "ldr lr, [sp, #28]          \n"
        "add r9, r9, #4             \n"
        "add r11, r11, r10          \n"
        "str r11, [sp, #16]         \n"
        "sub r10, r9, #4            \n"
        "str r10, [sp, #8]          \n"
        "uxth r9, r9                \n"
        ONE_BY_ONE("r0")
        ONE_BY_ONE("r1")
        ONE_BY_ONE("r2")
        ONE_BY_ONE("r3")
        "str r7, [sp]               \n"
        "ldr lr, [sp, #32]          \n"
        "b 2b                       \n"
        "6:                         \n" /* the next row, or else the next channel */
        "add r12, sp, #36           \n"
        "ldm r12, {r0-r10}          \n"
        "subs r5, r5, #1            \n"
        "beq 7f                     \n"
        "add r0, r0, r2             \n"
        "add r1, r1, r3             \n"
        "strd r0, r1, [sp, #36]     \n"
        "str r5, [sp, #56]          \n"
        "b 1b                       \n"
        "7:                         \n"
        "subs r9, r9, #1            \n"
        "beq 8f                     \n"
        "ldr r3, [sp, #20]          \n"
        "add r0, r0, r6             \n"
        "add r1, r1, r7             \n"
        "add r3, r3, r8             \n"
        "add r5, r3, r8             \n"
        "sub r5, r5, #12            \n"
        "str r5, [sp, #80]          \n"
        "strd r0, r1, [sp, #36]     \n"
        "str r10, [sp, #56]         \n"
        "str r9, [sp, #72]          \n"
        "str r3, [sp, #20]          \n"
        "b 1b                       \n"
        "8:                         \n"
        "add sp, sp, #84            \n"
        "pop {r4-r11, pc}           \n");
}

#endif
