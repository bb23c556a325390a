#include "tflm_opt_depthwise.h"
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP

/*
 * 3x3 with stride 1, two rows of outputs at once: words are pairs of values one above the other. Of
 * a column, P holds the values of the band's rows 0 and 1, Q those of rows 2 and 3:
 *
 *     upper row:  P.low w0 + P.high w1 + Q.low w2     = P w01 + Q.low w2
 *     lower row:  P.high w0 + Q.low w1 + Q.high w2    = P.high w0 + Q w12
 *
 * Of four rows of outputs there is a third word, and the second pair of rows is made of the second
 * and the third; of eight there are five. A column's words lie side by side, `step` bytes from
 * those of the column before.
 */

/* One column of taps, w01 and w12, with P and Q in r10 and r11, added to an upper and a lower sum. */
#define COLUMN(upper, lower, w01, w12, first_upper, first_lower) \
    "smlad " upper ", r10, " w01 ", " first_upper "          \n" \
    "smlatb " lower ", r10, " w01 ", " first_lower "         \n" \
    "smlabt " upper ", r11, " w12 ", " upper "               \n" \
    "smlad " lower ", r11, " w12 ", " lower "                \n"

/*
 * Sums of two columns: r0 and r2 of the left one, r1 and r3 of the right one. Taps are in r4 to r9,
 * column by column; lr walks over words.
 */
#define SUMS(step)                                 \
    "ldr r3, [sp, #24]          \n"                \
    "ldrd r10, r11, [lr], #" step "  \n"           \
    COLUMN("r0", "r2", "r4", "r5", "r3", "r3")     \
    "ldrd r10, r11, [lr], #" step "  \n"           \
    COLUMN("r0", "r2", "r6", "r7", "r0", "r2")     \
    COLUMN("r1", "r3", "r4", "r5", "r3", "r3")     \
    "ldrd r10, r11, [lr]        \n"                \
    COLUMN("r0", "r2", "r8", "r9", "r0", "r2")     \
    COLUMN("r1", "r3", "r6", "r7", "r1", "r3")     \
    "ldrd r10, r11, [lr, #" step "]  \n"           \
    COLUMN("r1", "r3", "r8", "r9", "r1", "r3")

/*
 * Sums of two columns of two rows, and their outputs, until all whole groups are done: then r10 is
 * where their words end. Else it is for those with a kink or without a right column.
 */
#define GROUPS(label, sums)             \
    #label ":                       \n" \
    sums                                \
    "ldr r10, [sp, #20]             \n" \
    "cmp lr, r10                    \n" \
    "bhi.w 5f                       \n" \
    "ldrd r10, r11, [sp]            \n" \
    "smmla r0, r0, r10, r11         \n" \
    "smmla r1, r1, r10, r11         \n" \
    "smmla r2, r2, r10, r11         \n" \
    "smmla r3, r3, r10, r11         \n" \
    "ldrd r10, r11, [sp, #8]        \n" \
    "asr r0, r0, r10                \n" \
    "asr r1, r1, r10                \n" \
    "asr r2, r2, r10                \n" \
    "asr r3, r3, r10                \n" \
    "ldr r10, [sp, #16]             \n" \
    "ssat r0, #8, r0                \n" \
    "ssat r1, #8, r1                \n" \
    "ssat r2, #8, r2                \n" \
    "ssat r3, #8, r3                \n" \
    "add r10, r10, r12              \n" \
    "strb r0, [r12]                 \n" \
    "strb r1, [r12, r11]            \n" \
    "strb r2, [r10]                 \n" \
    "strb r3, [r10, r11]            \n" \
    "add r12, r12, r11, lsl #1      \n" \
    "bne " #label "b                \n" \
    "b.w 4f                         \n"

/* The output of a sum on the stack, with the kink if there is one. */
#define ONE(place)                      \
    "ldr r10, [sp, #" #place "]     \n" \
    "smmla r11, r10, r0, r1         \n" \
    "and r10, r3, r10, asr #31      \n" \
    "add r11, r11, r10              \n" \
    "asr r11, r11, r2               \n" \
    "ssat r11, #8, r11              \n"

/* Those of a column, upper and lower; the next column, unless it was the last. */
#define ONE_COLUMN(upper, lower)        \
    ONE(upper)                          \
    "strb r11, [r12]                \n" \
    ONE(lower)                          \
    "ldr r10, [sp, #16]             \n" \
    "strb r11, [r12, r10]           \n" \
    "ldrd r10, r11, [sp, #28]       \n" \
    "ldr r11, [sp, #12]             \n" \
    "add r12, r12, r11              \n" \
    "subs r10, r10, #1              \n" \
    "str r10, [sp, #28]             \n" \
    "beq 6f                         \n"

/*
 * The stack:
 *     sp + 0  multiplier    16  output_row                       32  kink            56  rows left
 *          4  constant      20  words' end of whole groups       36  four sums       60  output
 *          8  shift         24  bias                             52  the record      64  words
 *         12  channels      28  columns left                                         68  taps
 *                                                                                    72  count
 * In the record, `code` is less than 0 for two rows, more for eight.
 */
__attribute__((naked))
void tflm_opt_depthwise_2x2_s8(__attribute__((unused)) const tflm_opt_depthwise_rows *rows)
{
    __asm__(
        "push {r4-r11, lr}          \n"
        "sub sp, sp, #76            \n"
        "ldr r1, [r0, #4]           \n"
        "ldr r2, [r0, #44]          \n"
        "ldr r3, [r0, #28]          \n"
        "ldrd r4, r5, [r0, #36]     \n"
        "ldr r6, [r0, #20]          \n"
        "ldr r7, [r0, #72]          \n"
        "strd r1, r2, [sp, #12]     \n"
        "str r3, [sp, #32]          \n"
        "strd r4, r5, [sp, #60]     \n"
        "strd r6, r7, [sp, #68]     \n"
        "str r0, [sp, #52]          \n"
        "1:                         \n" /* a channel */
        "ldr r12, [sp, #68]         \n"
        "ldr r10, [sp, #52]         \n"
        "ldr r3, [r12], #16         \n"
        "ldr r10, [r10, #56]        \n"
        "str r3, [sp, #24]          \n"
        "str r10, [sp, #56]         \n"
        "ldmia r12!, {r4-r9}        \n"
        "ldm r12, {r0-r2}           \n"
        "stm sp, {r0-r2}            \n"
        "2:                         \n" /* two rows of outputs */
        "ldr r10, [sp, #52]         \n"
        "ldrd r12, lr, [sp, #60]    \n"
        "ldr r1, [r10, #32]         \n"
        "ldr r2, [r10, #52]         \n"
        "add r1, r1, lr             \n"
        "str r1, [sp, #20]          \n"
        "str r2, [sp, #28]          \n"
        "3:                         \n" /* groups of two columns */
        "ldr r3, [sp, #52]          \n"
        "ldr r3, [r3, #24]          \n"
        "cmp r3, #0                 \n"
        "blt.w 32f                  \n"
        "bgt.w 33f                  \n"
        GROUPS(31, SUMS("12"))
        GROUPS(32, SUMS("8"))
        GROUPS(33, SUMS("20"))
        "4:                         \n"
        "ldr r3, [sp, #28]          \n"
        "cmp r3, #0                 \n"
        "bne.w 3b                   \n"
        "b 6f                       \n"
        "5:                         \n" /* the last column, or all if there is a kink */
        "add r10, sp, #36           \n"
        "stm r10, {r0-r3}           \n"
        "ldm sp, {r0-r2}            \n"
        "ldr r3, [sp, #32]          \n"
        ONE_COLUMN(36, 44)
        ONE_COLUMN(40, 48)
        "b.w 3b                     \n"
        "6:                         \n" /* the next rows, or else the next channel */
        "ldr r10, [sp, #52]         \n"
        "ldr r2, [sp, #56]          \n"
        "ldrd r0, r1, [sp, #60]     \n"
        "subs r2, r2, #2            \n"
        "beq 7f                     \n"
        "ldrd r3, r4, [r10, #44]    \n" /* output_row, words_row */
        "str r2, [sp, #56]          \n"
        "add r0, r0, r3, lsl #1     \n"
        "add r1, r1, r4             \n"
        "strd r0, r1, [sp, #60]     \n"
        "ldr r4, [sp, #68]          \n" /* r4 held a tap */
        "ldr r4, [r4, #16]          \n"
        "b.w 2b                     \n"
        "7:                         \n"
        "ldrd r2, r3, [sp, #68]     \n"
        "subs r3, r3, #1            \n"
        "beq 8f                     \n"
        "add r10, r10, #60          \n"
        "ldm r10, {r4-r6}           \n" /* output_delta, words_delta, size */
        "add r0, r0, r4             \n"
        "add r1, r1, r5             \n"
        "add r2, r2, r6             \n"
        "strd r0, r1, [sp, #60]     \n"
        "strd r2, r3, [sp, #68]     \n"
        "b.w 1b                     \n"
        "8:                         \n"
        "add sp, sp, #76            \n"
        "pop {r4-r11, pc}           \n");
}

/*
 * Words of four rows, `r6` bytes apart, of four channels: r7 walks over the pixels of the first row
 * by r8, r9 to r12 over the channels' words; lr counts columns.
 */
#define FOUR_ROWS(step)                        \
    "push {r4-r11, lr}          \n"            \
    "ldm r0, {r6-r9, r10, lr}   \n"            \
    "add r11, r9, r10, lsl #1   \n"            \
    "add r12, r11, r10          \n"            \
    "add r10, r10, r9           \n"            \
    "1:                         \n"            \
    "ldr r1, [r7]               \n"            \
    "ldr r2, [r7, r6]           \n"            \
    "add r5, r7, r6             \n"            \
    "ldr r3, [r7, r6, lsl #1]   \n"            \
    "ldr r4, [r5, r6, lsl #1]   \n"            \
    "add r7, r7, r8             \n"            \
    "pkhbt r5, r1, r2, lsl #16  \n"            \
    "pkhtb r2, r2, r1, asr #16  \n"            \
    "pkhbt r1, r3, r4, lsl #16  \n"            \
    "pkhtb r4, r4, r3, asr #16  \n"            \
    "sxtb16 r0, r5              \n"            \
    "sxtb16 r3, r1              \n"            \
    "strd r0, r3, [r9], #" step "    \n"       \
    "sxtb16 r5, r5, ror #8      \n"            \
    "sxtb16 r1, r1, ror #8      \n"            \
    "strd r5, r1, [r10], #" step "   \n"       \
    "sxtb16 r0, r2              \n"            \
    "sxtb16 r3, r4              \n"            \
    "strd r0, r3, [r11], #" step "   \n"       \
    "sxtb16 r2, r2, ror #8      \n"            \
    "sxtb16 r4, r4, ror #8      \n"            \
    "strd r2, r4, [r12], #" step "   \n"       \
    "subs lr, lr, #1            \n"            \
    "bne 1b                     \n"            \
    "pop {r4-r11, pc}           \n"

#define CORE(name, type, text)                                                            \
    __attribute__((naked, noinline)) static void name(__attribute__((unused)) const type *job) \
    {                                                                                     \
        __asm__(text);                                                                    \
    }

CORE(two_words, tflm_opt_depthwise_four, FOUR_ROWS("8"))
CORE(three_words, tflm_opt_depthwise_four, FOUR_ROWS("12"))
CORE(five_words, tflm_opt_depthwise_four, FOUR_ROWS("20"))

/* Words of two rows that need not be evenly spaced; one may be the same value again and again. */
CORE(two_of_any,
     tflm_opt_depthwise_two,
     "push {r4-r11, lr}          \n"
     "ldm r0, {r3, r4, r6-r10, lr} \n"
     "mov r0, r8                 \n"
     "add r11, r9, r10, lsl #1   \n"
     "add r12, r11, r10          \n"
     "add r10, r10, r9           \n"
     "mov r8, #0                 \n"
     "1:                         \n"
     "ldr r1, [r3]               \n"
     "ldr r2, [r6]               \n"
     "add r3, r3, r4             \n"
     "add r6, r6, r7             \n"
     "pkhbt r5, r1, r2, lsl #16  \n"
     "pkhtb r2, r2, r1, asr #16  \n"
     "sxtb16 r1, r5              \n"
     "str r1, [r9, r8]           \n"
     "sxtb16 r5, r5, ror #8      \n"
     "str r5, [r10, r8]          \n"
     "sxtb16 r1, r2              \n"
     "str r1, [r11, r8]          \n"
     "sxtb16 r2, r2, ror #8      \n"
     "str r2, [r12, r8]          \n"
     "add r8, r8, lr             \n"
     "subs r0, r0, #1            \n"
     "bne 1b                     \n"
     "pop {r4-r11, pc}           \n")

void tflm_opt_depthwise_four_s8(const tflm_opt_depthwise_four *four, int32_t step)
{
    if (step == 8) {
        two_words(four);
    } else if (step == 12) {
        three_words(four);
    } else {
        five_words(four);
    }
}

void tflm_opt_depthwise_two_s8(const tflm_opt_depthwise_two *two)
{
    two_of_any(two);
}

#endif
