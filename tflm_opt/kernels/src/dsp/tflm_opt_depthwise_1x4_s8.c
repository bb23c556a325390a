#include "tflm_opt_depthwise.h"
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP

/*
 * 3x3 with stride 1, one row of outputs at a time. A channel's taps stay in registers: w01 and w12 of
 * the three rows in r4 to r9. Words lie column by column, so that one instruction loads three rows; lr
 * walks over them. The record lies on the stack from sp + 12 on, behind multiplier, constant, shift.
 *
 *     sp + 12  output     20  words' end of whole groups    28  bias    40  kink
 *          16  channels   24  columns left                  32  taps    44  bytes of whole groups
 */

/* Into two columns' sums, their first word of each row: a first, b second; `c` is the addend. */
#define LEFT(a, b, c)                      \
    "smlad " a ", r10, r4, " c "       \n" \
    "smlatb " b ", r10, r4, " c "      \n" \
    "smlad " a ", r11, r6, " a "       \n" \
    "smlatb " b ", r11, r6, " b "      \n" \
    "smlad " a ", r12, r8, " a "       \n" \
    "smlatb " b ", r12, r8, " b "      \n"

/* Their second. */
#define RIGHT(a, b)                        \
    "smlabt " a ", r10, r5, " a "      \n" \
    "smlad " b ", r10, r5, " b "       \n" \
    "smlabt " a ", r11, r7, " a "      \n" \
    "smlad " b ", r11, r7, " b "       \n" \
    "smlabt " a ", r12, r9, " a "      \n" \
    "smlad " b ", r12, r9, " b "       \n"

/* An output of a row's end, or with a kink: sum -> r2. */
#define ONE(sum)                           \
    "smmla r2, " sum ", r10, r11       \n" \
    "and " sum ", r3, " sum ", asr #31 \n" \
    "add r2, r2, " sum "               \n" \
    "asr r2, r2, r12                   \n" \
    "ssat r2, #8, r2                   \n"

#define ROWS                                                              \
    "push {r4-r11, lr}          \n"                                            \
    "sub sp, sp, #92            \n"                                            \
    "add r12, sp, #12           \n"                                            \
    "ldmia r0!, {r1-r10}        \n"                                            \
    "stmia r12!, {r1-r10}       \n"                                            \
    "ldmia r0, {r1-r10}         \n"                                            \
    "stmia r12, {r1-r10}        \n"                                            \
    "1:                         \n" /* a channel */                            \
    "ldr r12, [sp, #32]         \n"                                            \
    "ldr r3, [r12], #16         \n"                                            \
    "str r3, [sp, #28]          \n"                                            \
    "ldmia r12!, {r4-r9}        \n"                                            \
    "ldm r12, {r0-r2}           \n"                                            \
    "stm sp, {r0-r2}            \n"                                            \
    "ldrd r0, r1, [sp, #48]     \n"                                            \
    "2:                         \n" /* a row of outputs */                     \
    "str r0, [sp, #12]          \n"                                            \
    "ldr r2, [sp, #44]          \n"                                            \
    "ldr r3, [sp, #64]          \n"                                            \
    "mov lr, r1                 \n"                                            \
    "add r2, r2, r1             \n"                                            \
    "strd r2, r3, [sp, #20]     \n"                                            \
    "cmp r2, lr                 \n"                                            \
    "beq 4f                     \n"                                            \
    "3:                         \n" /* four outputs */                         \
    "ldr r3, [sp, #28]          \n"                                            \
    "ldmia lr!, {r10-r12}       \n"                                        \
    LEFT("r0", "r1", "r3")                                                     \
    "ldmia lr!, {r10-r12}       \n"                                        \
    RIGHT("r0", "r1")                                                          \
    LEFT("r2", "r3", "r3")                                                     \
    "ldm lr, {r10-r12}          \n"                                            \
    RIGHT("r2", "r3")                                                          \
    "ldm sp, {r10-r12}          \n"                                            \
    "smmla r0, r0, r10, r11     \n"                                            \
    "smmla r1, r1, r10, r11     \n"                                            \
    "smmla r2, r2, r10, r11     \n"                                            \
    "smmla r3, r3, r10, r11     \n"                                            \
    "asr r0, r0, r12            \n"                                            \
    "asr r1, r1, r12            \n"                                            \
    "asr r2, r2, r12            \n"                                            \
    "asr r3, r3, r12            \n"                                            \
    "ldrd r10, r11, [sp, #12]   \n"                                            \
    "ldr r12, [sp, #20]         \n"                                            \
    "ssat r0, #8, r0            \n"                                            \
    "ssat r1, #8, r1            \n"                                            \
    "ssat r2, #8, r2            \n"                                            \
    "ssat r3, #8, r3            \n"                                            \
    "strb r0, [r10]             \n"                                            \
    "strb r1, [r10, r11]        \n"                                            \
    "add r10, r10, r11, lsl #1  \n"                                            \
    "strb r2, [r10]             \n"                                            \
    "strb r3, [r10, r11]        \n"                                            \
    "add r10, r10, r11, lsl #1  \n"                                            \
    "str r10, [sp, #12]         \n"                                            \
    "cmp lr, r12                \n"                                            \
    "bne 3b                     \n"                                            \
    "4:                         \n" /* those left, two by two */               \
    "ldr r3, [sp, #24]          \n"                                            \
    "cmp r3, #0                 \n"                                            \
    "beq 6f                     \n"                                            \
    "5:                         \n"                                            \
    "ldr r3, [sp, #28]          \n"                                            \
    "ldmia lr!, {r10-r12}       \n"                                        \
    LEFT("r0", "r1", "r3")                                                     \
    "ldm lr, {r10-r12}          \n"                                            \
    RIGHT("r0", "r1")                                                          \
    "ldm sp, {r10-r12}          \n"                                            \
    "ldr r3, [sp, #40]          \n"                                            \
    ONE("r0")                                                                  \
    "ldr r0, [sp, #12]          \n"                                            \
    "strb r2, [r0]              \n"                                            \
    ONE("r1")                                                                  \
    "ldrd r11, r3, [sp, #20]    \n"                                            \
    "ldr r1, [sp, #16]          \n"                                            \
    "subs r3, r3, #1            \n"                                            \
    "beq 6f                     \n"                                            \
    "strb r2, [r0, r1]          \n"                                            \
    "add r0, r0, r1, lsl #1     \n"                                            \
    "str r0, [sp, #12]          \n"                                            \
    "subs r3, r3, #1            \n"                                            \
    "str r3, [sp, #24]          \n"                                            \
    "bne 5b                     \n"                                            \
    "6:                         \n" /* the next row, or else the next channel */ \
    "add r12, sp, #48           \n"                                            \
    "ldm r12, {r0-r3}           \n" /* output, words, their steps */           \
    "ldr r10, [sp, #68]         \n" /* rows */                                 \
    "subs r10, r10, #1          \n"                                            \
    "beq 7f                     \n"                                            \
    "add r0, r0, r2             \n"                                            \
    "add r1, r1, r3             \n"                                            \
    "strd r0, r1, [sp, #48]     \n"                                            \
    "str r10, [sp, #68]         \n"                                            \
    "b 2b                       \n"                                            \
    "7:                         \n"                                            \
    "add r12, sp, #72           \n"                                            \
    "ldm r12, {r2-r6}           \n" /* deltas, taps_size, count, all_rows */   \
    "subs r5, r5, #1            \n"                                            \
    "beq 8f                     \n"                                            \
    "ldr r10, [sp, #32]         \n"                                            \
    "add r0, r0, r2             \n"                                            \
    "add r1, r1, r3             \n"                                            \
    "add r10, r10, r4           \n"                                            \
    "strd r0, r1, [sp, #48]     \n"                                            \
    "str r10, [sp, #32]         \n"                                            \
    "str r6, [sp, #68]          \n"                                            \
    "str r5, [sp, #84]          \n"                                            \
    "b 1b                       \n"                                            \
    "8:                         \n"                                            \
    "add sp, sp, #92            \n"                                            \
    "pop {r4-r11, pc}           \n"

__attribute__((naked))
void tflm_opt_depthwise_1x4_s8(__attribute__((unused)) const tflm_opt_depthwise_rows *rows)
{
    __asm__(ROWS);
}

#endif
