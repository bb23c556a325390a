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
#define ROW_3_1 LOAD_ONE("r0") CHAIN("r0", "r1", "r2")
#define ROW_5_1 ROW_3_1 CHAIN("r2", "r0", "r1")
#define ROW_7_1 ROW_5_1 CHAIN("r1", "r2", "r0")
#define COLUMN_3                    \
    "add r3, r8, r8, lsl #1     \n" \
    "ldr r0, [r7]               \n" \
    "ldr r1, [r7, r3]           \n" \
    "ldr r2, [r7, r3, lsl #1]   \n" \
    "add r7, r7, r8             \n" \
    CHAINED("r0", "r1", "r2")
#define ROW_3_2 THREE
#define ROW_5_2 FOUR ONE
#define ROW_7_2 FOUR THREE

/* r0: taps, r1: channels, r2: words, r3: bytes from a channel's words to the next, stack: rows. */
#define TAPS(row)                   \
    "push {r4-r11, lr}          \n" \
    "mov r7, r0                 \n" \
    "mov r8, r1                 \n" \
    "mov r9, r2                 \n" \
    "add r10, r2, r3            \n" \
    "add r11, r10, r3           \n" \
    "add r12, r11, r3           \n" \
    "mov lr, #0xFF00FF00        \n" \
    "1:                         \n" \
    row                             \
    "ldr r3, [sp, #36]          \n" \
    "subs r3, r3, #1            \n" \
    "str r3, [sp, #36]          \n" \
    "bne 1b                     \n" \
    "pop {r4-r11, pc}           \n"

typedef void unpack_rows(
    const int8_t *taps, int32_t channels, uint32_t *words, int32_t size, int32_t rows);

#define CORE(name, row)                                                                          \
    __attribute__((naked, noinline)) static void name(                                     \
        __attribute__((unused)) const int8_t *taps, __attribute__((unused)) int32_t channels, \
        __attribute__((unused)) uint32_t *words, __attribute__((unused)) int32_t size,     \
        __attribute__((unused)) int32_t rows)                                              \
    {                                                                                      \
        __asm__(TAPS(row));                                                                \
    }

CORE(taps_3_1, ROW_3_1)
CORE(taps_5_1, ROW_5_1)
CORE(taps_7_1, ROW_7_1)
CORE(taps_3_down, COLUMN_3)
CORE(taps_3_2, ROW_3_2)
CORE(taps_5_2, ROW_5_2)
CORE(taps_7_2, ROW_7_2)

void tflm_opt_depthwise_taps_s8(const tflm_opt_depthwise_shape *shape,
                                const int8_t *taps,
                                int32_t channels,
                                uint32_t *words,
                                int32_t size)
{
    static unpack_rows *const rows[2][3] = {{taps_3_1, taps_5_1, taps_7_1},
                                            {taps_3_2, taps_5_2, taps_7_2}};
    rows[shape->stride_w - 1][shape->width / 2 - 1](taps, channels, words, size, shape->height);
}

void tflm_opt_depthwise_taps_down_s8(const int8_t *taps,
                                     int32_t channels,
                                     uint32_t *words,
                                     int32_t size)
{
    taps_3_down(taps, channels, words, size, 3);
}

#endif
