#include "tflm_opt_depthwise.h"
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP

/*
 * Taps of four channels are a word: r0 to r2, and where they come in pairs r5 too. r7 walks over
 * them by r8, r9 to r12 over the words of each channel. Both words of a channel are taps times 2^8:
 * r3 and r4 hold the first two channels', `a` and `b` the other two's.
 */
#define STORE_TWO(a, b)                 \
    "and r5, lr, r3, lsl #8         \n" \
    "and r6, lr, r4, lsl #8         \n" \
    "strd r5, r6, [r9], #8          \n" \
    "and r3, r3, lr                 \n" \
    "and r4, r4, lr                 \n" \
    "strd r3, r4, [r10], #8         \n" \
    "and r5, lr, " a ", lsl #8      \n" \
    "and r6, lr, " b ", lsl #8      \n" \
    "strd r5, r6, [r11], #8         \n" \
    "and " a ", " a ", lr           \n" \
    "and " b ", " b ", lr           \n" \
    "strd " a ", " b ", [r12], #8   \n"

#define PACK(word, first, second)                              \
    "pkhbt " word ", " first ", " second ", lsl #16        \n" \
    "pkhtb " first ", " second ", " first ", asr #16       \n"

/* Words (a, b) and (b, c). */
#define CHAINED(a, b, c) PACK("r3", a, b) PACK("r4", b, c) STORE_TWO(a, b)

#define LOAD_ONE(tap)                   \
    "ldr " tap ", [r7]              \n" \
    "add r7, r7, r8                 \n"

#define LOAD_TWO(first, second)         \
    "ldr " first ", [r7]            \n" \
    "ldr " second ", [r7, r8]       \n" \
    "add r7, r7, r8, lsl #1         \n"

/* Words (a, b) and (b, c), of which a is there. */
#define CHAIN(a, b, c) LOAD_TWO(b, c) CHAINED(a, b, c)

/* Words (0, 1) and (2, 3), or (0, 1) and (2, nothing), or (0, nothing). */
#define FOUR LOAD_TWO("r0", "r1") LOAD_TWO("r2", "r5") PACK("r3", "r0", "r1") \
    PACK("r4", "r2", "r5") STORE_TWO("r0", "r2")
#define THREE LOAD_TWO("r0", "r1") LOAD_ONE("r2") "mov r5, #0 \n" PACK("r3", "r0", "r1") \
    PACK("r4", "r2", "r5") STORE_TWO("r0", "r2")
#define ONE LOAD_ONE("r0") "mov r1, #0 \n" PACK("r3", "r0", "r1") \
    "and r5, lr, r3, lsl #8         \n" \
    "str r5, [r9], #4               \n" \
    "and r3, r3, lr                 \n" \
    "str r3, [r10], #4              \n" \
    "and r5, lr, r0, lsl #8         \n" \
    "str r5, [r11], #4              \n" \
    "and r0, r0, lr                 \n" \
    "str r0, [r12], #4              \n"

/* Rows of taps of 3, 5 and 7 columns, for strides of 1 and 2; a column of 3x3. */
#define TAPS_3_1 LOAD_ONE("r0") CHAIN("r0", "r1", "r2")
#define TAPS_5_1 TAPS_3_1 CHAIN("r2", "r0", "r1")
#define TAPS_7_1 TAPS_5_1 CHAIN("r1", "r2", "r0")
#define TAPS_DOWN                    \
    "add r3, r8, r8, lsl #1     \n" \
    "ldr r0, [r7]               \n" \
    "ldr r1, [r7, r3]           \n" \
    "ldr r2, [r7, r3, lsl #1]   \n" \
    "add r7, r7, r8             \n" \
    CHAINED("r0", "r1", "r2")
#define TAPS_3_2 THREE
#define TAPS_5_2 FOUR ONE
#define TAPS_7_2 FOUR THREE

/*
 * Sums of taps times the input's offset, one row of words at a time, added to the bias in r8: words come from
 * r0, the offset is in both halves of r4. With stride 1 each tap is in two words.
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

/* All rows of taps, of which the stack has the number; all rows of words, of which r7 has it. */
#define TAPS(number, row)   \
    #number "1:         \n" \
    row                     \
    "ldr r3, [sp, #4]   \n" \
    "subs r3, r3, #1    \n" \
    "str r3, [sp, #4]   \n" \
    "bne " #number "1b  \n" \
    "b.w 20f            \n"
#define SUM(number, row)   \
    #number "2:         \n" \
    row                    \
    "subs r7, r7, #1    \n" \
    "bne " #number "2b  \n" \
    "b 40f              \n"

/*
 * Words of taps first, if they aren't there. Then biases and scales, channel by channel: a bias no
 * larger than r6 and a shift right by 1 to 16 have a short form (tflm_opt_set_short), whose constant
 * is 64 + (2 * output_offset + 1) * 2^(right + 6). Whether they haven't goes into a word bit by bit; the
 * bit that is there before the first drops out with the last.
 */
__attribute__((naked))
int32_t tflm_opt_depthwise_records_s8(
    __attribute__((unused)) const tflm_opt_depthwise_records *records)
{
    __asm__(
        "push {r0-r3, r4-r11, lr}   \n"
        "ldrd r7, r8, [r0, #40]     \n" /* taps, channels */
        "ldr r9, [r0, #24]          \n" /* records */
        "ldrd r1, r3, [r0, #28]     \n" /* rows, size */
        "cmp r7, #0                 \n"
        "beq 21f                    \n"
        "add r9, r9, #16            \n"
        "add r10, r9, r3            \n"
        "add r11, r10, r3           \n"
        "add r12, r11, r3           \n"
        "mov lr, #0xFF00FF00        \n"
        "str r1, [sp, #4]           \n"
        "ldr r0, [r0, #48]          \n" /* kind */
        "tbh [pc, r0, lsl #1]       \n"
        "11:                        \n"
        ".short (101f - 11b) / 2, (201f - 11b) / 2, (301f - 11b) / 2, (401f - 11b) / 2 \n"
        ".short (501f - 11b) / 2, (601f - 11b) / 2, (701f - 11b) / 2, 0                \n"
        TAPS(10, TAPS_3_1)
        TAPS(20, TAPS_5_1)
        TAPS(30, TAPS_7_1)
        TAPS(40, TAPS_3_2)
        TAPS(50, TAPS_5_2)
        TAPS(60, TAPS_7_2)
        TAPS(70, TAPS_DOWN)
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
        ".byte (502f - 31b) / 2, (602f - 31b) / 2, (102f - 31b) / 2, 0                \n"
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
