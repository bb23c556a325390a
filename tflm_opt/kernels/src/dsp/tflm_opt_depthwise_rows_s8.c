#include "tflm_opt_depthwise.h"
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP && !TFLM_OPT_MVE

/*
 * Sums of a group of outputs are in r0 to r3; r12 walks over taps, r11 over words, lr leads to the
 * next pair of rows. Each ROW is what one pair of rows adds to four neighbouring outputs, of whose
 * taps T0, T1, ... are words and W0, W1, ... those of the input.
 */
#define SUM(sum, word, tap) "smlad " sum ", " word ", " tap ", " sum " \n"

/* Stride 1: T0 to T4 in r4 to r8, two words at a time in r9 and r10. */
#define ROW_5_1                                                                    \
    "ldmia r12!, {r4-r8}            \n"                                            \
    "ldrd r9, r10, [r11]            \n" /* W0, W1 */                               \
    SUM("r0", "r9", "r4") SUM("r0", "r10", "r5") SUM("r1", "r10", "r4")            \
    "ldrd r9, r10, [r11, #8]        \n"                                            \
    SUM("r0", "r9", "r6") SUM("r0", "r10", "r7") SUM("r1", "r9", "r5")             \
    SUM("r1", "r10", "r6") SUM("r2", "r9", "r4") SUM("r2", "r10", "r5")            \
    SUM("r3", "r10", "r4")                                                         \
    "ldrd r9, r10, [r11, #16]       \n"                                            \
    SUM("r0", "r9", "r8") SUM("r1", "r9", "r7") SUM("r1", "r10", "r8")             \
    SUM("r2", "r9", "r6") SUM("r2", "r10", "r7") SUM("r3", "r9", "r5")             \
    SUM("r3", "r10", "r6")                                                         \
    "ldrd r9, r10, [r11, #24]       \n"                                            \
    SUM("r2", "r9", "r8") SUM("r3", "r9", "r7") SUM("r3", "r10", "r8")

/* T0 to T3 in r4 to r7, then T4 to T6 in r4 to r6; words in r8 to r10. */
#define ROW_7_1                                                                    \
    "ldmia r12!, {r4-r7}            \n"                                            \
    "ldmia r11!, {r8-r10}           \n" /* W0 to W2 */                             \
    SUM("r0", "r8", "r4") SUM("r0", "r9", "r5") SUM("r0", "r10", "r6")             \
    SUM("r1", "r9", "r4") SUM("r1", "r10", "r5") SUM("r2", "r10", "r4")            \
    "ldmia r11!, {r8-r10}           \n" /* W3 to W5 */                             \
    SUM("r0", "r8", "r7") SUM("r1", "r8", "r6") SUM("r1", "r9", "r7")              \
    SUM("r2", "r8", "r5") SUM("r2", "r9", "r6") SUM("r2", "r10", "r7")             \
    SUM("r3", "r8", "r4") SUM("r3", "r9", "r5") SUM("r3", "r10", "r6")             \
    "ldr r8, [r11], #4              \n" /* W6 */                                   \
    SUM("r3", "r8", "r7")                                                          \
    "ldmia r12!, {r4-r6}            \n"                                            \
    SUM("r0", "r9", "r4") SUM("r0", "r10", "r5") SUM("r0", "r8", "r6")             \
    SUM("r1", "r10", "r4") SUM("r1", "r8", "r5") SUM("r2", "r8", "r4")             \
    "ldmia r11!, {r8-r10}           \n" /* W7 to W9 */                             \
    SUM("r1", "r8", "r6") SUM("r2", "r8", "r5") SUM("r2", "r9", "r6")              \
    SUM("r3", "r8", "r4") SUM("r3", "r9", "r5") SUM("r3", "r10", "r6")

/* Stride 2. */
#define ROW_5_2                                                                    \
    "ldmia r12!, {r4-r8}            \n"                                            \
    "ldrd r9, r10, [r11]            \n" /* W0, W1 */                               \
    SUM("r0", "r9", "r4") SUM("r0", "r10", "r5")                                   \
    "ldrd r9, r10, [r11, #8]        \n"                                            \
    SUM("r0", "r9", "r6") SUM("r0", "r10", "r7") SUM("r1", "r9", "r4")             \
    SUM("r1", "r10", "r5")                                                         \
    "ldrd r9, r10, [r11, #16]       \n"                                            \
    SUM("r0", "r9", "r8") SUM("r1", "r9", "r6") SUM("r1", "r10", "r7")             \
    SUM("r2", "r9", "r4") SUM("r2", "r10", "r5")                                   \
    "ldrd r9, r10, [r11, #24]       \n"                                            \
    SUM("r1", "r9", "r8") SUM("r2", "r9", "r6") SUM("r2", "r10", "r7")             \
    SUM("r3", "r9", "r4") SUM("r3", "r10", "r5")                                   \
    "ldrd r9, r10, [r11, #32]       \n"                                            \
    SUM("r2", "r9", "r8") SUM("r3", "r9", "r6") SUM("r3", "r10", "r7")             \
    "ldr r9, [r11, #40]             \n"                                            \
    SUM("r3", "r9", "r8")

#define ROW_7_2                                                                    \
    "ldmia r12!, {r4-r7}            \n"                                            \
    "ldmia r11!, {r8-r10}           \n" /* W0 to W2 */                             \
    SUM("r0", "r8", "r4") SUM("r0", "r9", "r5") SUM("r0", "r10", "r6")             \
    SUM("r1", "r10", "r4")                                                         \
    "ldmia r11!, {r8-r10}           \n" /* W3 to W5 */                             \
    SUM("r0", "r8", "r7") SUM("r1", "r8", "r5") SUM("r1", "r9", "r6")              \
    SUM("r1", "r10", "r7") SUM("r2", "r9", "r4") SUM("r2", "r10", "r5")            \
    "ldmia r11!, {r8-r10}           \n" /* W6 to W8 */                             \
    SUM("r2", "r8", "r6") SUM("r2", "r9", "r7") SUM("r3", "r8", "r4")              \
    SUM("r3", "r9", "r5") SUM("r3", "r10", "r6")                                   \
    "ldr r4, [r11]                  \n" /* W9 */                                   \
    SUM("r3", "r4", "r7")                                                          \
    "ldmia r12!, {r4-r6}            \n"                                            \
    SUM("r0", "r8", "r6") SUM("r1", "r8", "r4") SUM("r1", "r9", "r5")              \
    SUM("r1", "r10", "r6") SUM("r2", "r10", "r4")                                  \
    "ldrd r8, r9, [r11, #-20]       \n" /* W4, W5 */                               \
    SUM("r0", "r8", "r4") SUM("r0", "r9", "r5")                                    \
    "ldmia r11!, {r8-r10}           \n" /* W9 to W11 */                            \
    SUM("r2", "r8", "r5") SUM("r2", "r9", "r6") SUM("r3", "r9", "r4")              \
    SUM("r3", "r10", "r5")                                                         \
    "ldr r8, [r11], #-8             \n" /* W12; as far as with stride 1 */         \
    SUM("r3", "r8", "r6")

/* All pairs of rows that a window has. */
#define ROWS(label, row)            \
    #label ":                   \n" \
    row                             \
    "ldr r4, [sp, #48]          \n" \
    "add r11, r11, lr           \n" \
    "cmp r12, r4                \n" \
    "bne " #label "b            \n"

/* The outputs of four sums in short form. */
#define SHORT_FORM                  \
    "smmla r0, r0, r4, r5       \n" \
    "smmla r1, r1, r4, r5       \n" \
    "smmla r2, r2, r4, r5       \n" \
    "smmla r3, r3, r4, r5       \n" \
    "asr r0, r0, r6             \n" \
    "asr r1, r1, r6             \n" \
    "asr r2, r2, r6             \n" \
    "asr r3, r3, r6             \n" \
    "ssat r0, #8, r0            \n" \
    "ssat r1, #8, r1            \n" \
    "ssat r2, #8, r2            \n" \
    "ssat r3, #8, r3            \n"

/*
 * The outputs of a group, where r5 says, and at the distances in r7 to r9: the first last, since
 * those that aren't there have its place.
 */
#define STORE                       \
    "strb r3, [r5, r9]          \n" \
    "strb r2, [r5, r8]          \n" \
    "strb r1, [r5, r7]          \n" \
    "strb r0, [r5]              \n" \
    "add r5, r5, r10            \n"

/* One or two outputs, in r0 and r1, where a row has as many columns more than whole groups. */
#define SINGLE_5                                                                   \
    "ldmia r12!, {r4-r8}            \n"                                            \
    "ldm r11, {r1-r3, r9, r10}      \n"                                            \
    SUM("r0", "r1", "r4") SUM("r0", "r2", "r5") SUM("r0", "r3", "r6")              \
    SUM("r0", "r9", "r7") SUM("r0", "r10", "r8")
#define SINGLE_7                                                                   \
    "ldmia r12!, {r4-r7}            \n"                                            \
    "ldmia r11!, {r1-r3, r8}        \n"                                            \
    SUM("r0", "r1", "r4") SUM("r0", "r2", "r5") SUM("r0", "r3", "r6")              \
    SUM("r0", "r8", "r7")                                                          \
    "ldmia r12!, {r4-r6}            \n"                                            \
    "ldmia r11!, {r1-r3}            \n"                                            \
    SUM("r0", "r1", "r4") SUM("r0", "r2", "r5") SUM("r0", "r3", "r6")
#define PAIR_5_1                                                                     \
    "ldmia r12!, {r4-r8}            \n"                                            \
    "ldm r11, {r2, r3, r9, r10}     \n"                                            \
    SUM("r0", "r2", "r4") SUM("r0", "r3", "r5") SUM("r0", "r9", "r6")              \
    SUM("r0", "r10", "r7") SUM("r1", "r3", "r4") SUM("r1", "r9", "r5")             \
    SUM("r1", "r10", "r6")                                                         \
    "ldrd r2, r3, [r11, #16]        \n"                                            \
    SUM("r0", "r2", "r8") SUM("r1", "r2", "r7") SUM("r1", "r3", "r8")
#define PAIR_7_1                                                                     \
    "ldmia r12!, {r4-r7}            \n"                                            \
    "ldmia r11!, {r2, r3, r8-r10}   \n"                                            \
    SUM("r0", "r2", "r4") SUM("r0", "r3", "r5") SUM("r0", "r8", "r6")              \
    SUM("r0", "r9", "r7") SUM("r1", "r3", "r4") SUM("r1", "r8", "r5")              \
    SUM("r1", "r9", "r6") SUM("r1", "r10", "r7")                                   \
    "ldmia r12!, {r4-r6}            \n"                                            \
    "ldmia r11!, {r2, r3, r8}       \n"                                            \
    SUM("r0", "r10", "r4") SUM("r0", "r2", "r5") SUM("r0", "r3", "r6")             \
    SUM("r1", "r2", "r4") SUM("r1", "r3", "r5") SUM("r1", "r8", "r6")
#define PAIR_5_2                                                                   \
    "ldmia r12!, {r4-r8}            \n"                                            \
    "ldm r11, {r2, r3, r9, r10}     \n"                                            \
    SUM("r0", "r2", "r4") SUM("r0", "r3", "r5") SUM("r0", "r9", "r6")              \
    SUM("r0", "r10", "r7") SUM("r1", "r9", "r4") SUM("r1", "r10", "r5")            \
    "ldrd r2, r3, [r11, #16]        \n"                                            \
    "ldr r9, [r11, #24]             \n"                                            \
    SUM("r0", "r2", "r8") SUM("r1", "r2", "r6") SUM("r1", "r3", "r7")              \
    SUM("r1", "r9", "r8")
#define PAIR_7_2                                                                   \
    "ldmia r12!, {r4-r7}            \n"                                            \
    "ldmia r11!, {r2, r3, r8-r10}   \n"                                            \
    SUM("r0", "r2", "r4") SUM("r0", "r3", "r5") SUM("r0", "r8", "r6")              \
    SUM("r0", "r9", "r7") SUM("r1", "r8", "r4") SUM("r1", "r9", "r5")              \
    SUM("r1", "r10", "r6")                                                         \
    "ldmia r12!, {r4-r6}            \n"                                            \
    "ldmia r11!, {r2, r3, r8, r9}   \n"                                            \
    SUM("r0", "r10", "r4") SUM("r0", "r2", "r5") SUM("r0", "r3", "r6")             \
    SUM("r1", "r2", "r7") SUM("r1", "r3", "r4") SUM("r1", "r8", "r5")              \
    SUM("r1", "r9", "r6")

/* The record lies at the stack pointer. */
__attribute__((naked))
void tflm_opt_depthwise_rows_s8(__attribute__((unused)) const tflm_opt_depthwise_rows *rows)
{
    __asm__(
        "push {r4-r11, lr}          \n"
        "sub sp, sp, #132           \n"
        "mov r12, sp                \n"
        "ldmia r0!, {r1-r11}        \n"
        "stmia r12!, {r1-r11}       \n"
        "ldmia r0!, {r1-r11}        \n"
        "stmia r12!, {r1-r11}       \n"
        "ldm r0, {r1-r10}           \n"
        "stm r12, {r1-r10}          \n"
        "1:                         \n" /* a row of outputs */
        "ldrd r4, r10, [sp, #60]    \n" /* places, whole */
        "ldr r8, [sp, #52]          \n" /* record */
        "ldmia r4!, {r5-r7}         \n"
        "ldrd r9, r11, [sp, #68]    \n" /* the channel's words, the row's outputs */
        "str r4, [sp, #60]          \n"
        "add r5, r5, r8             \n"
        "add r6, r6, r8             \n"
        "add r4, r7, r9             \n"
        "add r10, r10, r4           \n"
        "str r5, [sp, #40]          \n" /* taps and their end */
        "str r6, [sp, #48]          \n"
        "strd r4, r11, [sp]         \n"
        "str r10, [sp, #8]          \n"
        "cmp r4, r10                \n"
        "beq.w 4f                   \n"
        "2:                         \n" /* a group, of which r4 is where words are */
        "mov r11, r4                \n"
        "ldrh r4, [sp, #32]         \n" /* code */
        "ldr r3, [sp, #52]          \n"
        "ldrd r12, lr, [sp, #40]    \n" /* taps, skip */
        "ldm r3, {r0-r3}            \n"
        "tbh [pc, r4, lsl #1]       \n"
        "3:                         \n"
        ".hword (31f - 3b) / 2, (32f - 3b) / 2, (33f - 3b) / 2, (34f - 3b) / 2 \n"
        "34:                        \n"
        ROWS(38, ROW_7_2)
        "b.w 40f                    \n"
        "33:                        \n"
        ROWS(37, ROW_5_2)
        "b.w 40f                    \n"
        "32:                        \n"
        ROWS(36, ROW_7_1)
        "b 40f                      \n"
        "31:                        \n"
        ROWS(35, ROW_5_1)
        "40:                        \n"
        "ldr r12, [sp, #76]         \n" /* form */
        "ldm r12, {r4-r6}           \n"
        "cbz r6, 44f                \n"
        SHORT_FORM
        "43:                        \n"
        "ldm sp, {r4-r11}           \n"
        STORE
        "add r4, r4, r11            \n"
        "strd r4, r5, [sp]          \n"
        "cmp r4, r6                 \n"
        "bne.w 2b                   \n"
        "4:                         \n" /* what is left of the row */
        "ldrh r4, [sp, #34]         \n" /* last */
        "cmp r4, #0                 \n"
        "beq.w 6f                   \n"
        "ldr r3, [sp, #52]          \n"
        "ldr r11, [sp]              \n"
        "ldrd r12, lr, [sp, #40]    \n"
        "ldrd r0, r1, [r3]          \n"
        "tbh [pc, r4, lsl #1]       \n"
        "3:                         \n"
        ".hword (6f - 3b) / 2, (45f - 3b) / 2, (51f - 3b) / 2, (53f - 3b) / 2 \n"
        ".hword (55f - 3b) / 2, (57f - 3b) / 2, (63f - 3b) / 2, (65f - 3b) / 2 \n"
        "44:                        \n"
        "ldr r6, [sp, #100]         \n" /* call */
        "bl tflm_opt_depthwise_long_s8 \n"
        "b 43b                      \n"
        "45:                        \n" /* a group that goes back, if not yet made */
        "ldr r6, [sp, #56]          \n"
        "eors r6, r6, #1            \n"
        "str r6, [sp, #56]          \n"
        "beq.w 6f                   \n"
        "ldrd r4, r5, [sp]          \n"
        "ldrd r6, r7, [sp, #104]    \n"
        "ldr r8, [sp, #28]          \n"
        "sub r4, r4, r6             \n"
        "sub r5, r5, r7             \n"
        "add r8, r8, r4             \n"
        "strd r4, r5, [sp]          \n"
        "str r8, [sp, #8]           \n"
        "b 2b                       \n"
        "51:                        \n"
        ROWS(52, SINGLE_5)
        "b 60f                      \n"
        "53:                        \n"
        "add lr, lr, #12            \n"
        ROWS(54, SINGLE_7)
        "b 60f                      \n"
        "55:                        \n"
        ROWS(56, PAIR_5_1)
        "b 60f                      \n"
        "63:                        \n"
        ROWS(64, PAIR_5_2)
        "b 60f                      \n"
        "65:                        \n"
        "add lr, lr, #4             \n"
        ROWS(66, PAIR_7_2)
        "b 60f                      \n"
        "57:                        \n"
        "add lr, lr, #8             \n"
        ROWS(58, PAIR_7_1)
        "60:                        \n"
        "ldr r12, [sp, #76]         \n"
        "ldm r12, {r4-r6}           \n"
        "cbz r6, 62f                \n"
        "smmla r0, r0, r4, r5       \n"
        "smmla r1, r1, r4, r5       \n"
        "asr r0, r0, r6             \n"
        "asr r1, r1, r6             \n"
        "ssat r0, #8, r0            \n"
        "ssat r1, #8, r1            \n"
        "61:                        \n"
        "ldr r5, [sp, #4]           \n"
        "ldr r7, [sp, #112]         \n" /* 0 if there is but one */
        "strb r1, [r5, r7]          \n"
        "strb r0, [r5]              \n"
        "6:                         \n" /* the next row, or else the next channel */
        "ldrd r4, r5, [sp, #72]     \n"
        "ldrd r6, r7, [sp, #80]     \n" /* rows left, output_row */
        "add r4, r4, r7             \n"
        "str r4, [sp, #72]          \n"
        "subs r6, r6, #1            \n"
        "str r6, [sp, #80]          \n"
        "bne.w 1b                   \n"
        "ldrd r0, r1, [sp, #88]     \n" /* the channel's outputs, channels left */
        "ldr r2, [sp, #96]         \n" /* plane */
        "ldr r3, [sp, #68]          \n"
        "ldr r4, [sp, #116]         \n" /* size */
        "ldr r5, [sp, #52]          \n"
        "ldr r6, [sp, #76]          \n"
        "ldrd r7, r8, [sp, #120]    \n" /* all_places, rows */
        "add r0, r0, #1             \n"
        "add r3, r3, r2             \n"
        "add r5, r5, r4             \n"
        "add r6, r6, r4             \n"
        "subs r1, r1, #1            \n"
        "strd r0, r1, [sp, #88]     \n"
        "strd r3, r0, [sp, #68]     \n"
        "str r5, [sp, #52]          \n"
        "str r6, [sp, #76]          \n"
        "str r7, [sp, #60]          \n"
        "str r8, [sp, #80]          \n"
        "bne.w 1b                   \n"
        "add sp, sp, #132           \n"
        "pop {r4-r11, pc}           \n"
        "62:                        \n"
        "ldr r6, [sp, #100]         \n" /* call */
        "bl tflm_opt_depthwise_long_s8 \n"
        "b 61b                      \n");
}

#endif
