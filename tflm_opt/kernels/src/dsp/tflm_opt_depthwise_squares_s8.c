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
#define LAST_ROW_1_FIRST                                                         \
    "ldmdb r12, {r3-r6}         \n"                                              \
    "ldm r11, {r7-r10}          \n"                                              \
    FIRST_THREE("r0", "r7", "r8", "r9")                                          \
    FIRST_THREE("r2", "r8", "r9", "r10")
#define LAST_ROW_1_SECOND                                                        \
    "add r7, r11, lr            \n"                                              \
    "ldm r12, {r4-r6}           \n"                                              \
    "ldm r7, {r7-r10}           \n"                                              \
    SUM("smlabt", "r0", "r7", "r4") SUM("smlabt", "r2", "r8", "r4")              \
    SUM("smlabt", "r0", "r8", "r5") SUM("smlabt", "r2", "r9", "r5")              \
    SUM("smlabt", "r0", "r9", "r6") SUM("smlabt", "r2", "r10", "r6")

/* Upper sums of the input's last pair of rows alone, lower ones of its first. */
#define WRAPPED                                                                  \
    "ldmdb r12, {r3-r6}         \n"                                              \
    "ldm r11, {r7-r10}          \n"                                              \
    FIRST_THREE("r0", "r7", "r8", "r9")                                          \
    FIRST_THREE("r1", "r8", "r9", "r10")                                         \
    "add r7, r11, lr            \n"                                              \
    "ldm r12, {r4-r6}           \n"                                              \
    "ldm r7, {r7-r10}           \n"                                              \
    FIRST_THREE("r2", "r7", "r8", "r9")                                          \
    FIRST_THREE("r3", "r8", "r9", "r10")

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
#define LAST_ROW_2_FIRST                                                         \
    "ldmdb r12, {r3-r6}         \n"                                              \
    "ldm r11, {r2, r7-r10}      \n"                                              \
    FIRST_THREE("r0", "r2", "r7", "r8")                                          \
    FIRST_THREE("r2", "r8", "r9", "r10")
#define LAST_ROW_2_SECOND                                                        \
    "add r7, r11, lr            \n"                                              \
    "ldm r7, {r7-r10, lr}       \n"                                              \
    "ldm r12, {r4-r6}           \n"                                              \
    THREE("r0", "r7", "r8", "r9")                                                \
    THREE("r2", "r9", "r10", "lr")

/*
 * A channel's form, to r4 to r6, where the output goes, where words end, the distances to the next
 * output and to the lower one, to r7 to r10. Outputs without a short form are made at `otherwise`,
 * which is not far behind and leads back to `label`.
 */
#define FORM(otherwise, and_pitch)                                               \
    "ldm sp, {r4-r10" and_pitch "} \n"                                           \
    "cbz r6, " #otherwise "f    \n"
#define TWO_OUTPUTS(label, otherwise)                                            \
    FORM(otherwise, ", lr")                                                      \
    "smmla r0, r0, r4, r5       \n"                                              \
    "smmla r2, r2, r4, r5       \n"                                              \
    "asr r0, r0, r6             \n"                                              \
    "asr r2, r2, r6             \n"                                              \
    "ssat r0, #8, r0            \n"                                              \
    "ssat r2, #8, r2            \n"                                              \
    #label ":                   \n"
#define FOUR_OUTPUTS(label, otherwise, and_pitch)                                \
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
    #label ":                   \n"
#define STORE_SQUARE(words)                                                      \
    "strb r0, [r7]              \n"                                              \
    "strb r2, [r7, r10]         \n"                                              \
    "add r7, r7, r9             \n"                                              \
    "add r11, r11, #" words "   \n"                                              \
    "strb r1, [r7]              \n"                                              \
    "strb r3, [r7, r10]         \n"                                              \
    "add r7, r7, r9             \n"                                              \
    "str r7, [sp, #12]          \n"                                              \
    "cmp r11, r8                \n"
#define STORE_COLUMN                                                             \
    "strb r2, [r7, r10]         \n"                                              \
    "strb r0, [r7]              \n"

#define OTHERWISE(label, otherwise, pitch)                                       \
    #otherwise ":               \n"                                              \
    "ldr r6, [sp, #96]          \n" /* call */                                   \
    "bl tflm_opt_depthwise_long_s8 \n"                                           \
    "ldr lr, [sp, #" pitch "]   \n"                                              \
    "b " #label "b              \n"

/*
 * At the stack pointer lie five words of the core's: the form, where the next output goes, and where
 * the words of a row end. Then follows what is told.
 */
__attribute__((naked))
void tflm_opt_depthwise_squares_s8(
    __attribute__((unused)) const tflm_opt_depthwise_squares *squares)
{
    __asm__(
        "push {r4-r11, lr}          \n"
        "sub sp, sp, #116           \n"
        "add r11, sp, #20           \n"
        "ldmia r0!, {r1-r10, r12, lr} \n"
        "stmia r11!, {r1-r10, r12, lr} \n"
        "ldm r0, {r1-r10, r12}      \n"
        "stm r11, {r1-r10, r12}     \n"
        "1:                         \n" /* a channel */
        "add r0, sp, #44            \n"
        "ldm r0, {r1-r5, r7, r11, r12} \n" /* enter, ..., taps */
        "str r5, [sp, #52]          \n"
        "add r8, r11, r4            \n"
        "add r4, r12, #12           \n"
        "ldm r4, {r4-r6}            \n" /* the form */
        "ldr lr, [sp, #28]          \n"
        "stm sp, {r4-r8}            \n"
        "10:                        \n" /* two rows, of which r1 says where to enter */
        "tbh [pc, r1, lsl #1]       \n"
        "11:                        \n"
        ".hword (2f - 11b) / 2, (21f - 11b) / 2, (3f - 11b) / 2, (31f - 11b) / 2 \n"
        ".hword (71f - 11b) / 2     \n"
        "2:                         \n"
        SQUARE_1
        FOUR_OUTPUTS(20, 22, "")
        STORE_SQUARE("8")
        "bne 2b                     \n"
        "ldr r0, [sp, #36]          \n"
        "cbnz r0, 21f               \n"
        "4:                         \n" /* the next two rows, if there are any */
        "add r0, sp, #40            \n"
        "ldm r0, {r0-r4}            \n" /* words_skip, enter, output_skip, left, whole */
        "subs r3, r3, #1            \n"
        "beq 7f                     \n"
        "str r3, [sp, #52]          \n"
        "add r11, r11, r0           \n"
        "add r7, r7, r2             \n"
        "add r8, r11, r4            \n"
        "strd r7, r8, [sp, #12]     \n"
        "b 10b                      \n"
        OTHERWISE(20, 22, "28")
        "21:                        \n"
        LAST_COLUMN_1
        TWO_OUTPUTS(23, 24)
        STORE_COLUMN
        "b 4b                       \n"
        OTHERWISE(23, 24, "28")
        "71:                        \n"
        "ldr r3, [sp, #88]          \n"
        "lsls r3, r3, #29           \n"
        "b 72f                      \n"
        "7:                         \n" /* the last row, if it is single, or first and last */
        "ldr r3, [sp, #88]          \n" /* rest */
        "lsls r3, r3, #29           \n"
        "beq 9f                     \n"
        "add r11, r11, r0           \n"
        "add r7, r7, r2             \n"
        "add r8, r11, r4            \n"
        "strd r7, r8, [sp, #12]     \n"
        "72:                        \n" /* carry if they are the first and the last */
        "bcc 8f                     \n"
        "ldr lr, [sp, #104]         \n" /* wrapped_words */
        "6:                         \n"
        WRAPPED
        FOUR_OUTPUTS(60, 61, "")
        "ldr r10, [sp, #108]        \n" /* wrapped_output */
        "strb r0, [r7]              \n"
        "strb r2, [r7, r10]         \n"
        "cmp r11, r8                \n"
        "beq 9f                     \n"
        "add r7, r7, r9             \n"
        "add r11, r11, #8           \n"
        "strb r1, [r7]              \n"
        "strb r3, [r7, r10]         \n"
        "add r7, r7, r9             \n"
        "str r7, [sp, #12]          \n"
        "cmp r11, r8                \n"
        "bne 6b                     \n"
        "ldr r0, [sp, #36]          \n"
        "cmp r0, #0                 \n"
        "bne 6b                     \n"
        "9:                         \n" /* the next channel */
        "add r8, sp, #64            \n"
        "ldm r8, {r0-r5}            \n" /* output, words, taps, count, plane, size */
        "add r0, r0, #1             \n"
        "add r1, r1, r4             \n"
        "add r2, r2, r5             \n"
        "subs r3, r3, #1            \n"
        "stm r8, {r0-r3}            \n"
        "bne 1b                     \n"
        "add sp, sp, #116           \n"
        "pop {r4-r11, pc}           \n"
        OTHERWISE(60, 61, "104")
        "3:                         \n"
        SQUARE_2
        FOUR_OUTPUTS(30, 32, ", lr")
        STORE_SQUARE("16")
        "bne 3b                     \n"
        "ldr r0, [sp, #36]          \n"
        "cbnz r0, 31f               \n"
        "b 4b                       \n"
        OTHERWISE(30, 32, "28")
        "31:                        \n"
        LAST_COLUMN_2
        TWO_OUTPUTS(33, 34)
        STORE_COLUMN
        "b 4b                       \n"
        OTHERWISE(33, 34, "28")
        "8:                         \n" /* two columns, of which the right one may be missing */
        "ldr r3, [sp, #88]          \n"
        "lsls r3, r3, #31           \n"
        "bcs 81f                    \n"
        LAST_ROW_1_FIRST
        "bmi 82f                    \n"
        LAST_ROW_1_SECOND
        "b 82f                      \n"
        "81:                        \n"
        LAST_ROW_2_FIRST
        "bmi 82f                    \n"
        LAST_ROW_2_SECOND
        "82:                        \n"
        TWO_OUTPUTS(83, 85)
        "strb r0, [r7]              \n"
        "cmp r11, r8                \n"
        "beq 9b                     \n"
        "strb r2, [r7, r9]          \n"
        "add r7, r7, r9, lsl #1     \n"
        "ldr r3, [sp, #92]          \n" /* words of two columns */
        "str r7, [sp, #12]          \n"
        "add r11, r11, r3           \n"
        "cmp r11, r8                \n"
        "bne 8b                     \n"
        "ldr r0, [sp, #36]          \n"
        "cmp r0, #0                 \n"
        "bne 8b                     \n"
        "b 9b                       \n"
        OTHERWISE(83, 85, "28"));
}

#endif
