#include "tflm_opt_depthwise.h"
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP

/*
 * Of two pixels, r1 and r2, four words, one a channel, to r9, r10, r11, r12. A pack puts two
 * channels of both pixels in one word, a sign extension takes one channel out. `step` is the number
 * of bytes from a word to the next.
 */
#define PAIR(step)                      \
    "pkhbt r5, r1, r2, lsl #16      \n" \
    "pkhtb r2, r2, r1, asr #16      \n" \
    "sxtb16 r1, r5                  \n" \
    "str r1, [r9], #" #step "       \n" \
    "sxtb16 r5, r5, ror #8          \n" \
    "str r5, [r10], #" #step "      \n" \
    "sxtb16 r1, r2                  \n" \
    "str r1, [r11], #" #step "      \n" \
    "sxtb16 r2, r2, ror #8          \n" \
    "str r2, [r12], #" #step "      \n"

/* Two words of one channel, r1 and r2, that lie side by side or not. */
#define STORE_TWO_4(pointer, first, second) "strd " first ", " second ", [" pointer "], #8 \n"
#define STORE_TWO_APART(pointer, first, second, step)         \
    "str " first ", [" pointer "], #" #step "             \n" \
    "str " second ", [" pointer "], #" #step "            \n"
#define STORE_TWO_12(pointer, first, second) STORE_TWO_APART(pointer, first, second, 12)
#define STORE_TWO_20(pointer, first, second) STORE_TWO_APART(pointer, first, second, 20)
#define STORE_TWO_36(pointer, first, second) STORE_TWO_APART(pointer, first, second, 36)

/* The same of four pixels from r7 on; r8 is from one to the next, r0 three times that. */
#define TWO_PAIRS(step)                 \
    "ldr r1, [r7]                   \n" \
    "ldr r2, [r7, r8]               \n" \
    "ldr r3, [r7, r8, lsl #1]       \n" \
    "ldr r4, [r7, r0]               \n" \
    "add r7, r7, r8, lsl #2         \n" \
    "pkhbt r5, r1, r2, lsl #16      \n" \
    "pkhtb r2, r2, r1, asr #16      \n" \
    "pkhbt r6, r3, r4, lsl #16      \n" \
    "pkhtb r4, r4, r3, asr #16      \n" \
    "sxtb16 r1, r5                  \n" \
    "sxtb16 r3, r6                  \n" \
    STORE_TWO_##step("r9", "r1", "r3")  \
    "sxtb16 r5, r5, ror #8          \n" \
    "sxtb16 r6, r6, ror #8          \n" \
    STORE_TWO_##step("r10", "r5", "r6") \
    "sxtb16 r1, r2                  \n" \
    "sxtb16 r3, r4                  \n" \
    STORE_TWO_##step("r11", "r1", "r3") \
    "sxtb16 r2, r2, ror #8          \n" \
    "sxtb16 r4, r4, ror #8          \n" \
    STORE_TWO_##step("r12", "r2", "r4")

/* All rows. From the end of one, r7 and r9 to r12 have the same steps to the next. */
#define WORDS(step)                                                          \
    "push {r0, r1, r4-r11, lr}  \n"                                          \
    "ldr r1, [r0, #40]          \n" /* rows */                               \
    "str r1, [sp, #4]           \n"                                          \
    "ldm r0, {r7-r10}           \n" /* source, channels, words, plane */     \
    "add r11, r9, r10, lsl #1   \n"                                          \
    "add r12, r11, r10          \n"                                          \
    "add r10, r10, r9           \n"                                          \
    "1:                         \n" /* a row */                              \
    "ldrd r3, lr, [r0, #16]     \n" /* first, pairs */                       \
    "cbz r3, 2f                 \n"                                          \
    "ldr r1, [r0, #28]          \n" /* the zero point */                     \
    "ldr r2, [r7]               \n"                                          \
    "add r7, r7, r8             \n"                                          \
    PAIR(step)                                                               \
    "2:                         \n"                                          \
    "add r0, r8, r8, lsl #1     \n"                                          \
    "lsrs lr, lr, #1            \n" /* flags that hold until the beq */      \
    "bcc 3f                     \n"                                          \
    "ldr r1, [r7]               \n"                                          \
    "ldr r2, [r7, r8]           \n"                                          \
    "add r7, r7, r8, lsl #1     \n"                                          \
    PAIR(step)                                                               \
    "3:                         \n"                                          \
    "beq 5f                     \n"                                          \
    "4:                         \n"                                          \
    TWO_PAIRS(step)                                                          \
    "subs lr, lr, #1            \n"                                          \
    "bne 4b                     \n"                                          \
    "5:                         \n"                                          \
    "ldr r0, [sp]               \n"                                          \
    "ldr r3, [r0, #24]          \n" /* last */                               \
    "cbz r3, 6f                 \n"                                          \
    "ldr r1, [r7]               \n"                                          \
    "ldr r2, [r0, #28]          \n"                                          \
    "add r7, r7, r8             \n"                                          \
    PAIR(step)                                                               \
    "6:                         \n"                                          \
    "add r3, r0, #32            \n"                                          \
    "ldm r3, {r1, r2}           \n" /* source_skip, words_skip */            \
    "ldr r5, [sp, #4]           \n"                                          \
    "add r7, r7, r1             \n"                                          \
    "add r9, r9, r2             \n"                                          \
    "add r10, r10, r2           \n"                                          \
    "add r11, r11, r2           \n"                                          \
    "add r12, r12, r2           \n"                                          \
    "subs r5, r5, #1            \n"                                          \
    "str r5, [sp, #4]           \n"                                          \
    "bne 1b                     \n"                                          \
    "pop {r0, r1, r4-r11, pc}   \n"

#define CORE(name, step)                                                  \
    __attribute__((naked, noinline)) static void name(                    \
        __attribute__((unused)) const tflm_opt_depthwise_words *words)    \
    {                                                                     \
        __asm__(WORDS(step));                                             \
    }

CORE(words_by_4, 4)
CORE(words_by_12, 12)
CORE(words_by_20, 20)
CORE(words_by_36, 36)

void tflm_opt_depthwise_words_s8(const tflm_opt_depthwise_words *words, int32_t step)
{
    if (step == 4) {
        words_by_4(words);
    } else if (step == 12) {
        words_by_12(words);
    } else if (step == 20) {
        words_by_20(words);
    } else {
        words_by_36(words);
    }
}

#endif
