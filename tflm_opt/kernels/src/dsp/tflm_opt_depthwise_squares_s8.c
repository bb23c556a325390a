#include "tflm_opt_depthwise.h"
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP && !TFLM_OPT_MVE

/*
 * Filters of 3x3. Squares of outputs, two rows and two columns, are made at once: left and right
 * sums of the upper row are r0 and r1, of the lower one r2 and r3. Where but one column or one row
 * is left over, its two sums are r0 and r2. r11 walks over words, lr leads to the next pair of rows;
 * r12 is where taps are, before them the bias, in r3, and three words of taps, in r4 to r6.
 */
#define SUM(op, sum, word, tap) op " " sum ", " word ", " tap ", " sum " \n"
#define FIRST(op, sum, word) op " " sum ", " word ", r4, r3 \n"
#define THREE(sum, a, b, c) \
    SUM("smlad", sum, a, "r4") SUM("smlad", sum, b, "r5") SUM("smlad", sum, c, "r6")
#define FIRST_THREE(sum, a, b, c) \
    FIRST("smlad", sum, a) SUM("smlad", sum, b, "r5") SUM("smlad", sum, c, "r6")

/*
 * Stride 1. P are the words of the first pair of rows, Q those of the second, one column of taps is
 * w0, w1, w2, of which words hold w01 and, later, w12:
 *
 *     upper row:  P.low w0 + P.high w1 + Q.low w2     = P w01 + Q.low w2
 *     lower row:  P.high w0 + Q.low w1 + Q.high w2    = P.high w0 + Q w12
 */
#define COLUMN(upper, lower, left, right, tap)         \
    SUM(upper, "r0", left, tap) SUM(upper, "r1", right, tap) \
    SUM(lower, "r2", left, tap) SUM(lower, "r3", right, tap)
#define COLUMN_LEFT(upper, lower, word, tap)                                     \
    SUM(upper, "r0", word, tap) SUM(lower, "r2", word, tap)
#define SQUARE_1                                                                 \
    "ldmdb r12, {r3-r6}         \n"                                              \
    "ldm r11, {r7-r10}          \n"                                              \
    FIRST("smlad", "r0", "r7") FIRST("smlad", "r1", "r8")                        \
    FIRST("smlatb", "r2", "r7") FIRST("smlatb", "r3", "r8")                      \
    COLUMN("smlad", "smlatb", "r8", "r9", "r5")                                  \
    COLUMN("smlad", "smlatb", "r9", "r10", "r6")                                 \
    "add r7, r11, lr            \n"                                              \
    "ldm r12, {r4-r6}           \n"                                              \
    "ldm r7, {r7-r10}           \n"                                              \
    COLUMN("smlabt", "smlad", "r7", "r8", "r4")                                  \
    COLUMN("smlabt", "smlad", "r8", "r9", "r5")                                  \
    COLUMN("smlabt", "smlad", "r9", "r10", "r6")
#define LAST_COLUMN_1                                                            \
    "ldmdb r12, {r3-r6}         \n"                                              \
    "ldm r11, {r7-r9}           \n"                                              \
    FIRST("smlad", "r0", "r7") FIRST("smlatb", "r2", "r7")                       \
    COLUMN_LEFT("smlad", "smlatb", "r8", "r5")                                   \
    COLUMN_LEFT("smlad", "smlatb", "r9", "r6")                                   \
    "add r7, r11, lr            \n"                                              \
    "ldm r12, {r4-r6}           \n"                                              \
    "ldm r7, {r7-r9}            \n"                                              \
    COLUMN_LEFT("smlabt", "smlad", "r7", "r4")                                   \
    COLUMN_LEFT("smlabt", "smlad", "r8", "r5")                                   \
    COLUMN_LEFT("smlabt", "smlad", "r9", "r6")
#define LAST_ROW_1                                                               \
    "ldmdb r12, {r3-r6}         \n"                                              \
    "ldm r11, {r7-r10}          \n"                                              \
    FIRST_THREE("r0", "r7", "r8", "r9")                                          \
    FIRST_THREE("r2", "r8", "r9", "r10")                                         \
    "add r7, r11, lr            \n"                                              \
    "ldm r12, {r4-r6}           \n"                                              \
    "ldm r7, {r7-r10}           \n"                                              \
    SUM("smlabt", "r0", "r7", "r4") SUM("smlabt", "r2", "r8", "r4")              \
    SUM("smlabt", "r0", "r8", "r5") SUM("smlabt", "r2", "r9", "r5")              \
    SUM("smlabt", "r0", "r9", "r6") SUM("smlabt", "r2", "r10", "r6")

/*
 * Stride 2. Upper sums take words of a first and a second pair of rows, lower ones those of the
 * second and a third: the former of each by w01, the latter by (w2, 0). Fifth words are in r2,
 * before it is a sum, and in lr.
 */
#define SQUARE_2                                                                 \
    "ldmdb r12, {r3-r6}         \n"                                              \
    "ldm r11, {r2, r7-r10}      \n"                                              \
    FIRST_THREE("r0", "r2", "r7", "r8")                                          \
    "add r7, r11, lr            \n"                                              \
    FIRST_THREE("r1", "r8", "r9", "r10")                                         \
    "ldm r7, {r7-r10, lr}       \n"                                              \
    FIRST_THREE("r2", "r7", "r8", "r9")                                          \
    FIRST_THREE("r3", "r9", "r10", "lr")                                         \
    "ldm r12, {r4-r6}           \n"                                              \
    THREE("r0", "r7", "r8", "r9")                                                \
    "ldr r7, [sp, #32]          \n"                                              \
    "add r7, r7, r11            \n"                                              \
    THREE("r1", "r9", "r10", "lr")                                               \
    "ldm r7, {r7-r10, lr}       \n"                                              \
    THREE("r2", "r7", "r8", "r9")                                                \
    THREE("r3", "r9", "r10", "lr")
#define LAST_COLUMN_2                                                            \
    "ldmdb r12, {r3-r6}         \n"                                              \
    "ldm r11, {r7-r9}           \n"                                              \
    "add r10, r11, lr           \n"                                              \
    FIRST_THREE("r0", "r7", "r8", "r9")                                          \
    "ldm r10, {r7-r9}           \n"                                              \
    FIRST_THREE("r2", "r7", "r8", "r9")                                          \
    "ldm r12, {r4-r6}           \n"                                              \
    "add r10, r11, lr, lsl #1   \n"                                              \
    THREE("r0", "r7", "r8", "r9")                                                \
    "ldm r10, {r7-r9}           \n"                                              \
    THREE("r2", "r7", "r8", "r9")
#define LAST_ROW_2                                                               \
    "ldmdb r12, {r3-r6}         \n"                                              \
    "ldm r11, {r2, r7-r10}      \n"                                              \
    FIRST_THREE("r0", "r2", "r7", "r8")                                          \
    "add r7, r11, lr            \n"                                              \
    FIRST_THREE("r2", "r8", "r9", "r10")                                         \
    "ldm r7, {r7-r10, lr}       \n"                                              \
    "ldm r12, {r4-r6}           \n"                                              \
    THREE("r0", "r7", "r8", "r9")                                                \
    THREE("r2", "r9", "r10", "lr")

/*
 * A channel's form, to r4 to r6, where the output goes, where words end, the distances to the next
 * output and to the lower one, to r7 to r10. Outputs without a short form are made at `otherwise`,
 * which leads back to `label`.
 */
#define FORM(otherwise, and_pitch)                                               \
    "ldm sp, {r4-r10" and_pitch "} \n"                                           \
    "cmp r6, #0                 \n"                                              \
    "ble.w " #otherwise "f      \n"
#define TWO_OUTPUTS(label, otherwise)                                            \
    FORM(otherwise, ", lr")                                                      \
    "smmla r0, r0, r4, r5       \n"                                              \
    "smmla r2, r2, r4, r5       \n"                                              \
    "asr r0, r0, r6             \n"                                              \
    "asr r2, r2, r6             \n"                                              \
    "ssat r0, #8, r0            \n"                                              \
    "ssat r2, #8, r2            \n"                                              \
    #label ":                   \n"
#define FOUR_OUTPUTS(label, otherwise, and_pitch, words)                         \
    FORM(otherwise, and_pitch)                                                   \
    "smmla r0, r0, r4, r5       \n"                                              \
    "smmla r1, r1, r4, r5       \n"                                              \
    "smmla r2, r2, r4, r5       \n"                                              \
    "smmla r3, r3, r4, r5       \n"                                              \
    "asr r0, r0, r6             \n"                                              \
    "asr r1, r1, r6             \n"                                              \
    "asr r2, r2, r6             \n"                                              \
    "asr r3, r3, r6             \n"                                              \
    "ssat r0, #8, r0            \n"                                              \
    "ssat r1, #8, r1            \n"                                              \
    "ssat r2, #8, r2            \n"                                              \
    "ssat r3, #8, r3            \n"                                              \
    #label ":                   \n"                                              \
    "strb r0, [r7]              \n"                                              \
    "strb r2, [r7, r10]         \n"                                              \
    "add r7, r7, r9             \n"                                              \
    "add r11, r11, #" words "   \n"                                              \
    "strb r1, [r7]              \n"                                              \
    "strb r3, [r7, r10]         \n"                                              \
    "add r7, r7, r9             \n"                                              \
    "str r7, [sp, #12]          \n"                                              \
    "cmp r11, r8                \n"

/* To the next two rows, if there are any: their first square or, for want of it, column. */
#define NEXT_ROWS(square, column)                                                \
    "add r0, sp, #40            \n"                                              \
    "ldm r0, {r0-r3}            \n" /* words_skip, ..., whole */                 \
    "subs r2, r2, #1            \n"                                              \
    "beq.w 7f                   \n"                                              \
    "str r2, [sp, #48]          \n"                                              \
    "add r11, r11, r0           \n"                                              \
    "add r7, r7, r1             \n"                                              \
    "add r8, r11, r3            \n"                                              \
    "strd r7, r8, [sp, #12]     \n"                                              \
    "cmp r11, r8                \n"                                              \
    "bne " #square "b           \n"                                              \
    "b " #column "b             \n"

/* The long form: see tflm_opt_depthwise_form. */
#define LONG_FORM(sum)                         \
    "asr " sum ", " sum ", #7              \n" \
    "smmulr " sum ", " sum ", r4           \n" \
    "add " sum ", " sum ", " sum ", asr #31 \n" \
    "smmlsr " sum ", " sum ", r6, r5       \n" \
    "ssat " sum ", #8, " sum "             \n"

/* What is told lies at the stack pointer. */
__attribute__((naked))
void tflm_opt_depthwise_squares_s8(
    __attribute__((unused)) const tflm_opt_depthwise_squares *squares)
{
    __asm__(
        "push {r4-r11, lr}          \n"
        "sub sp, sp, #100           \n"
        "mov r11, sp                \n"
        "ldmia r0!, {r1-r8}         \n"
        "stmia r11!, {r1-r8}        \n"
        "ldmia r0!, {r1-r8}         \n"
        "stmia r11!, {r1-r8}        \n"
        "ldmia r0, {r1-r8}          \n"
        "stmia r11, {r1-r8}         \n"
        "1:                         \n" /* a channel */
        "add r0, sp, #52            \n"
        "ldm r0, {r0-r3, r7, r11, r12} \n" /* whole, ..., output, words, taps */
        "add r4, r12, #12           \n"
        "ldr lr, [sp, #28]          \n"
        "ldm r4, {r4-r6}            \n" /* the form */
        "add r8, r11, r0            \n"
        "stm sp, {r4-r8}            \n"
        "str r1, [sp, #48]          \n"
        "cmp r1, #0                 \n"
        "beq.w 8f                   \n"
        "cmp r11, r8                \n"
        "beq.w 6f                   \n"
        "cmp r3, #0                 \n"
        "bne.w 3f                   \n"
        "2:                         \n"
        SQUARE_1
        FOUR_OUTPUTS(20, 22, "", "8")
        "bne 2b                     \n"
        "ldr r0, [sp, #36]          \n"
        "cmp r0, #0                 \n"
        "beq 4f                     \n"
        "21:                        \n"
        LAST_COLUMN_1
        TWO_OUTPUTS(23, 24)
        "strb r2, [r7, r10]         \n"
        "strb r0, [r7]              \n"
        "4:                         \n"
        NEXT_ROWS(2, 21)
        "3:                         \n"
        SQUARE_2
        FOUR_OUTPUTS(30, 32, ", lr", "16")
        "bne 3b                     \n"
        "ldr r0, [sp, #36]          \n"
        "cmp r0, #0                 \n"
        "beq 5f                     \n"
        "31:                        \n"
        LAST_COLUMN_2
        TWO_OUTPUTS(33, 34)
        "strb r2, [r7, r10]         \n"
        "strb r0, [r7]              \n"
        "5:                         \n"
        NEXT_ROWS(3, 31)
        "6:                         \n"
        "cmp r3, #0                 \n"
        "bne 31b                    \n"
        "b 21b                      \n"
        "7:                         \n" /* the last row, if it is single */
        "add r11, r11, r0           \n"
        "add r7, r7, r1             \n"
        "add r8, r11, r3            \n"
        "strd r7, r8, [sp, #12]     \n"
        "ldr r2, [sp, #60]          \n" /* last_row */
        "cmp r2, #0                 \n"
        "beq 9f                     \n"
        "8:                         \n" /* two columns, of which the right one may be missing */
        "ldr r3, [sp, #64]          \n" /* is_2 */
        "cmp r3, #0                 \n"
        "bne 81f                    \n"
        LAST_ROW_1
        "b.w 82f                    \n"
        "81:                        \n"
        LAST_ROW_2
        "82:                        \n"
        TWO_OUTPUTS(83, 85)
        "strb r0, [r7]              \n"
        "cmp r11, r8                \n"
        "beq 9f                     \n"
        "strb r2, [r7, r9]          \n"
        "add r7, r7, r9, lsl #1     \n"
        "str r7, [sp, #12]          \n"
        "ldr r3, [sp, #64]          \n"
        "ldr r0, [sp, #36]          \n"
        "add r11, r11, #8           \n"
        "add r11, r11, r3, lsl #3   \n"
        "cmp r11, r8                \n"
        "bne 8b                     \n"
        "cmp r0, #0                 \n"
        "bne 8b                     \n"
        "9:                         \n" /* the next channel */
        "add r8, sp, #68            \n"
        "ldm r8, {r0-r5}            \n" /* output, words, taps, plane, size, count */
        "add r0, r0, #1             \n"
        "add r1, r1, r3             \n"
        "add r2, r2, r4             \n"
        "stm r8, {r0-r2}            \n"
        "subs r5, r5, #1            \n"
        "str r5, [sp, #88]          \n"
        "bne.w 1b                   \n"
        "add sp, sp, #100           \n"
        "pop {r4-r11, pc}           \n"
        "22:                        \n"
        "bl 88f                     \n"
        "ldr lr, [sp, #28]          \n"
        "b.w 20b                    \n"
        "24:                        \n"
        "bl 88f                     \n"
        "ldr lr, [sp, #28]          \n"
        "b.w 23b                    \n"
        "32:                        \n"
        "bl 88f                     \n"
        "ldr lr, [sp, #28]          \n"
        "b.w 30b                    \n"
        "34:                        \n"
        "bl 88f                     \n"
        "ldr lr, [sp, #28]          \n"
        "b.w 33b                    \n"
        "85:                        \n"
        "bl 88f                     \n"
        "ldr lr, [sp, #28]          \n"
        "b.w 83b                    \n"
        "88:                        \n"
        "beq 89f                    \n"
        LONG_FORM("r0")
        LONG_FORM("r1")
        LONG_FORM("r2")
        LONG_FORM("r3")
        "bx lr                      \n"
        "89:                        \n" /* four sums of a channel without a form */
        "push {r0-r3, r12, lr}      \n"
        "mov r0, sp                 \n"
        "mov r1, r4                 \n"
        "ldr r2, [sp, #116]         \n"
        "bl tflm_opt_depthwise_odd_s8 \n"
        "pop {r0-r3, r12, pc}       \n");
}

#endif
