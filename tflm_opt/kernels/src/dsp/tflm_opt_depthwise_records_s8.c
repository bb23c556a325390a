#include "tflm_opt_depthwise.h"
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP

/*
 * Taps of four channels are a word: r0, r1, r2, one after the other by r8, from r7 on. r9 to r12
 * walk over the words of each channel; lr is 0xFF00FF00. Words of two taps are the taps times 2^8.
 */
#define PACK(word, first, second)                              \
    "pkhbt " word ", " first ", " second ", lsl #16        \n" \
    "pkhtb " first ", " second ", " first ", asr #16       \n"

/* Words (r0, r1) and (r1, r2). */
#define STORE_TWO                       \
    PACK("r3", "r0", "r1")              \
    PACK("r4", "r1", "r2")              \
    "and r5, lr, r3, lsl #8         \n" \
    "and r6, lr, r4, lsl #8         \n" \
    "strd r5, r6, [r9], #8          \n" \
    "and r3, r3, lr                 \n" \
    "and r4, r4, lr                 \n" \
    "strd r3, r4, [r10], #8         \n" \
    "and r5, lr, r0, lsl #8         \n" \
    "and r6, lr, r1, lsl #8         \n" \
    "strd r5, r6, [r11], #8         \n" \
    "and r0, r0, lr                 \n" \
    "and r1, r1, lr                 \n" \
    "strd r0, r1, [r12], #8         \n"

/* The word (r0, r1). */
#define STORE_ONE                       \
    PACK("r3", "r0", "r1")              \
    "and r5, lr, r3, lsl #8         \n" \
    "str r5, [r9], #4               \n" \
    "and r3, r3, lr                 \n" \
    "str r3, [r10], #4              \n" \
    "and r5, lr, r0, lsl #8         \n" \
    "str r5, [r11], #4              \n" \
    "and r0, r0, lr                 \n" \
    "str r0, [r12], #4              \n"

/* Goes back for the next row of taps, if there is one. */
#define NEXT_ROW(label)                 \
    "ldr r5, [sp]                   \n" \
    "ldrd r3, r4, [sp, #4]          \n" \
    "ldrd r5, r6, [r5, #52]         \n" /* row_bytes, tap_skip */ \
    "add r3, r3, r5                 \n" \
    "add r7, r7, r6                 \n" \
    "subs r4, r4, #1                \n" \
    "strd r3, r4, [sp, #4]          \n" \
    "bne " #label "b                \n"

/*
 * Sums of taps times the input's offset, one row of words at a time, added to the bias in r8:
 * words come from r0, the offset is in both halves of r4. With stride 1 each tap is in two words.
 */
#define SUM_3_1                         \
    "ldmia r0!, {r9, r10}           \n" \
    "smlad r8, r9, r4, r8           \n" \
    "smlatb r8, r10, r4, r8         \n"
#define SUM_5_1                         \
    "ldmia r0!, {r9-r12}            \n" \
    "smlad r8, r9, r4, r8           \n" \
    "smlad r8, r11, r4, r8          \n" \
    "smlatb r8, r12, r4, r8         \n"
#define SUM_7_1                         \
    "ldmia r0!, {r9-r11}            \n" \
    "smlad r8, r9, r4, r8           \n" \
    "smlad r8, r11, r4, r8          \n" \
    "ldmia r0!, {r9-r11}            \n" \
    "smlad r8, r10, r4, r8          \n" \
    "smlatb r8, r11, r4, r8         \n"
#define SUM_3_2                         \
    "ldmia r0!, {r9, r10}           \n" \
    "smlad r8, r9, r4, r8           \n" \
    "smlad r8, r10, r4, r8          \n"
#define SUM_5_2                         \
    "ldmia r0!, {r9-r11}            \n" \
    "smlad r8, r9, r4, r8           \n" \
    "smlad r8, r10, r4, r8          \n" \
    "smlad r8, r11, r4, r8          \n"
#define SUM_7_2                         \
    "ldmia r0!, {r9-r12}            \n" \
    "smlad r8, r9, r4, r8           \n" \
    "smlad r8, r10, r4, r8          \n" \
    "smlad r8, r11, r4, r8          \n" \
    "smlad r8, r12, r4, r8          \n"

/* All rows of words, of which r7 has the number. */
#define SUM(number, row)   \
    #number "2:         \n" \
    row                    \
    "subs r7, r7, #1    \n" \
    "bne " #number "2b  \n" \
    "b 40f              \n"

/*
 * Words of taps first, if they aren't there. Then biases and scales, channel by channel: a bias no
 * larger than r6 and a shift right by 1 to 16 have a short form (tflm_opt_set_short), whose
 * constant is 64 + (2 * output_offset + 1) * 2^(right + 6). Whether they haven't goes into a word
 * bit by bit; the bit that is there before the first drops out with the last.
 */
__attribute__((naked))
int32_t tflm_opt_depthwise_records_s8(
    __attribute__((unused)) const tflm_opt_depthwise_records *records)
{
    __asm__(
        "push {r0-r3, r4-r11, lr}   \n"
        "ldrd r7, r8, [r0, #40]     \n" /* taps, tap_step */
        "ldr r9, [r0, #24]          \n" /* records */
        "ldrd r1, r3, [r0, #28]     \n" /* rows, size */
        "cmp r7, #0                 \n"
        "beq 21f                    \n"
        "add r9, r9, #16            \n"
        "add r10, r9, r3            \n"
        "add r11, r10, r3           \n"
        "add r12, r11, r3           \n"
        "mov lr, #0xFF00FF00        \n"
        "ldrd r2, r4, [r0, #48]     \n" /* kind, row_bytes */
        "add r0, r9, r4             \n" /* where the first row ends */
        "cmp r2, #3                 \n"
        "bge 12f                    \n"
        "strd r0, r1, [sp, #4]      \n"
        "11:                        \n" /* stride 1: words (0, 1), (1, 2), ... */
        "ldr r0, [r7]               \n"
        "ldr r1, [r7, r8]           \n"
        "ldr r2, [r7, r8, lsl #1]   \n"
        "add r7, r7, r8, lsl #1     \n"
        STORE_TWO
        "ldr r3, [sp, #4]           \n"
        "cmp r9, r3                 \n"
        "bne 11b                    \n"
        NEXT_ROW(11)
        "b 20f                      \n"
        "12:                        \n" /* stride 2: words (0, 1), (2, 3), ..., (last, nothing) */
        "sub r0, r0, #4             \n"
        "strd r0, r1, [sp, #4]      \n"
        "13:                        \n"
        "ldr r0, [r7]               \n"
        "ldr r1, [r7, r8]           \n"
        "add r7, r7, r8, lsl #1     \n"
        STORE_ONE
        "ldr r3, [sp, #4]           \n"
        "cmp r9, r3                 \n"
        "bne 13b                    \n"
        "ldr r0, [r7]               \n"
        "mov r1, #0                 \n"
        STORE_ONE
        NEXT_ROW(13)
        "20:                        \n"
        "ldr r0, [sp]               \n"
        "21:                        \n"
        "ldmia r0!, {r1-r6}         \n" /* bias, multiplier, shift, offset, factor, most */
        "ldm r0, {r7-r9, lr}        \n" /* records, rows, size, bias_step */
        "ldr r11, [r0, #24]         \n" /* kind */
        "mov r0, r7                 \n"
        "sub r9, r9, #12            \n"
        "mov r10, #0x10000000       \n"
        "stm sp, {r8-r11}           \n"
        "30:                        \n" /* a channel */
        "ldr r8, [r1]               \n"
        "add r1, r1, lr             \n"
        "lsl r8, r8, #8             \n"
        "ldr r7, [sp]               \n"
        "ldr r9, [sp, #12]          \n"
        "add r0, r0, #16            \n"
        "tbb [pc, r9]               \n"
        "31:                        \n"
        ".byte (102f - 31b) / 2, (202f - 31b) / 2, (302f - 31b) / 2, (402f - 31b) / 2 \n"
        ".byte (502f - 31b) / 2, (602f - 31b) / 2                                      \n"
        SUM(10, SUM_3_1)
        SUM(20, SUM_5_1)
        SUM(30, SUM_7_1)
        SUM(40, SUM_3_2)
        SUM(50, SUM_5_2)
        SUM(60, SUM_7_2)
        "40:                        \n"
        "ldrd r10, r7, [sp, #4]     \n"
        "sub r9, r0, r10            \n"
        "strd r8, r8, [r9]          \n"
        "strd r8, r8, [r9, #8]      \n"
        "ldr r10, [r3], #4          \n" /* shift */
        "ldr r9, [r2], #4           \n" /* multiplier */
        "sub r12, r1, lr            \n"
        "ldr r12, [r12]             \n" /* bias */
        "mvn r11, r10               \n"
        "add r12, r12, r6           \n"
        "cmp r12, r6, lsl #1        \n"
        "it hi                      \n"
        "mvnhi r11, #0              \n"
        "cmp r11, #16               \n"
        "adcs r7, r7, r7            \n" /* flags that hold until the bcc */
        "add r10, r11, #7           \n"
        "lsl r10, r5, r10           \n"
        "add r10, r10, #64          \n"
        "add r11, r11, #8           \n"
        "stmia r0!, {r9-r11}        \n"
        "str r7, [sp, #8]           \n"
        "bcc 30b                    \n"
        "mov r0, r7                 \n"
        "add sp, sp, #16            \n"
        "pop {r4-r11, pc}           \n");
}

#endif
