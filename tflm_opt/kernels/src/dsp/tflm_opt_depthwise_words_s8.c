#include "tflm_opt_depthwise.h"
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP && !TFLM_OPT_MVE

/*
 * Of a row and the row below, words of values one above the other, of four channels: r6 walks over
 * the upper row by r0, r8 leads to the lower one, r9 to r12 walk over the channels' words. A pack puts
 * two channels of both rows in a word, EVEN and ODD take one out, with lr.
 */
#define ONE_COLUMN(EVEN, ODD)           \
    "ldr r1, [r6]                   \n" \
    "ldr r2, [r6, r8]               \n" \
    "add r6, r6, r0                 \n" \
    "pkhbt r5, r1, r2, lsl #16      \n" \
    "pkhtb r2, r2, r1, asr #16      \n" \
    EVEN("r1", "r5")                    \
    "str r1, [r9], #4               \n" \
    ODD("r5", "r5")                     \
    "str r5, [r10], #4              \n" \
    EVEN("r1", "r2")                    \
    "str r1, [r11], #4              \n" \
    ODD("r2", "r2")                     \
    "str r2, [r12], #4              \n"

#define TWO_COLUMNS(EVEN, ODD)          \
    "ldr r1, [r6]                   \n" \
    "ldr r2, [r6, r8]               \n" \
    "add r6, r6, r0                 \n" \
    "ldr r3, [r6]                   \n" \
    "ldr r4, [r6, r8]               \n" \
    "add r6, r6, r0                 \n" \
    "pkhbt r5, r1, r2, lsl #16      \n" \
    "pkhtb r2, r2, r1, asr #16      \n" \
    "pkhbt r1, r3, r4, lsl #16      \n" \
    "pkhtb r4, r4, r3, asr #16      \n" \
    EVEN("r3", "r5")                    \
    EVEN("r7", "r1")                    \
    "strd r3, r7, [r9], #8          \n" \
    ODD("r5", "r5")                     \
    ODD("r1", "r1")                     \
    "strd r5, r1, [r10], #8         \n" \
    EVEN("r5", "r2")                    \
    EVEN("r1", "r4")                    \
    "strd r5, r1, [r11], #8         \n" \
    ODD("r2", "r2")                     \
    ODD("r4", "r4")                     \
    "strd r2, r4, [r12], #8         \n"

/*
 * All columns of a row: one if they are odd, then `IN_LOOP` and two more a turn. One channel's words
 * end at an address on the stack, and in r4 at first.
 */
#define ROW(label, EVEN, ODD, IN_LOOP)  \
    "tst r3, #4                     \n" \
    "beq " #label "1f               \n" \
    ONE_COLUMN(EVEN, ODD)               \
    "cmp r9, r4                     \n" \
    "beq " #label "4f               \n" \
    #label "1:                      \n" \
    IN_LOOP                             \
    TWO_COLUMNS(EVEN, ODD)              \
    "ldr r1, [sp, #4]               \n" \
    "cmp r9, r1                     \n" \
    "bne " #label "2b               \n" \
    #label "4:                      \n"

/* Two more columns in the loop, where they are not left out at first. */
#define FOUR(label, EVEN, ODD)          \
    "tst r3, #8                     \n" \
    "bne " #label "3f               \n" \
    #label "2:                      \n" \
    TWO_COLUMNS(EVEN, ODD)              \
    #label "3:                      \n"

#define VALUE(to, from) "sxtab16 " to ", lr, " from " \n"
#define VALUE_ODD(to, from) "sxtab16 " to ", lr, " from ", ror #8 \n"
#define TAP(to, from) "and " to ", lr, " from ", lsl #8 \n"
#define TAP_ODD(to, from) "and " to ", lr, " from " \n"

__attribute__((naked))
void tflm_opt_depthwise_words_s8(__attribute__((unused)) tflm_opt_depthwise_words *words)
{
    __asm__(
        "push {r0, r1, r4-r11, lr}  \n" /* the second place is for where words end */
        "mov r5, r0                 \n"
        "ldrd r9, r10, [r5, #24]    \n" /* words, plane */
        "ldrd r0, lr, [r5, #16]     \n" /* step, constant */
        "add r11, r9, r10, lsl #1   \n"
        "add r12, r11, r10          \n"
        "add r10, r10, r9           \n"
        "ldm r5, {r1-r4}            \n" /* pairs, left, row_bytes, channel */
        "1:                         \n" /* a pair of rows */
        "ldmia r1!, {r6-r8}         \n" /* upper, missing, to_lower */
        "strd r1, r2, [r5]          \n"
        "add r6, r6, r4             \n"
        "add r4, r9, r3             \n"
        "str r4, [sp, #4]           \n"
        "cmp lr, #0xFF00FF00        \n"
        "beq 4f                     \n"
        ROW(1, VALUE, VALUE_ODD, FOUR(1, VALUE, VALUE_ODD))
        "b 5f                       \n"
        "4:                         \n"
        ROW(2, TAP, TAP_ODD, "22: \n")
        "5:                         \n"
        "ldr r5, [sp]               \n"
        "ldm r5, {r1-r4}            \n"
        "ldr r6, [r1, #-8]          \n"
        "cbz r6, 7f                 \n"
        "sub r6, r6, r3             \n" /* a row is missing: zeros for its halves */
        "sub r6, r6, #4             \n"
        "mov r7, #0                 \n"
        "6:                         \n"
        "strh r7, [r9, r6]          \n"
        "strh r7, [r10, r6]         \n"
        "strh r7, [r11, r6]         \n"
        "strh r7, [r12, r6]         \n"
        "adds r6, r6, #4            \n"
        "bmi 6b                     \n"
        "7:                         \n"
        "ldr r6, [r5, #32]          \n" /* skip */
        "subs r2, r2, #1            \n"
        "add r9, r9, r6             \n"
        "add r10, r10, r6           \n"
        "add r11, r11, r6           \n"
        "add r12, r12, r6           \n"
        "bne 1b                     \n"
        "pop {r0, r1, r4-r11, pc}   \n");
}

#endif
