#include "tflm_opt_depthwise.h"
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP

/*
 * Of two pixels, r1 and r2, four words, one a channel, to r9, r10, r11, r12. A pack puts two
 * channels of both pixels in one word, a sign extension takes one channel out.
 */
#define PAIR                            \
    "pkhbt r5, r1, r2, lsl #16      \n" \
    "pkhtb r2, r2, r1, asr #16      \n" \
    "sxtb16 r1, r5                  \n" \
    "str r1, [r9], #4               \n" \
    "sxtb16 r5, r5, ror #8          \n" \
    "str r5, [r10], #4              \n" \
    "sxtb16 r1, r2                  \n" \
    "str r1, [r11], #4              \n" \
    "sxtb16 r2, r2, ror #8          \n" \
    "str r2, [r12], #4              \n"

/* The same of four pixels from r7 on; r8 is from one to the next, r0 three times that. */
#define TWO_PAIRS                       \
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
    "strd r1, r3, [r9], #8          \n" \
    "sxtb16 r5, r5, ror #8          \n" \
    "sxtb16 r6, r6, ror #8          \n" \
    "strd r5, r6, [r10], #8         \n" \
    "sxtb16 r1, r2                  \n" \
    "sxtb16 r3, r4                  \n" \
    "strd r1, r3, [r11], #8         \n" \
    "sxtb16 r2, r2, ror #8          \n" \
    "sxtb16 r4, r4, ror #8          \n" \
    "strd r2, r4, [r12], #8         \n"

/* All rows. From the end of one, r7 and r9 to r12 have the same steps to the next. */
__attribute__((naked))
void tflm_opt_depthwise_words_s8(__attribute__((unused)) const tflm_opt_depthwise_words *words)
{
    __asm__(
        "push {r0, r1, r4-r11, lr}  \n"
        "ldr r1, [r0, #40]          \n" /* rows */
        "str r1, [sp, #4]           \n"
        "ldm r0, {r7-r10}           \n" /* source, channels, words, plane */
        "add r11, r9, r10, lsl #1   \n"
        "add r12, r11, r10          \n"
        "add r10, r10, r9           \n"
        "1:                         \n" /* a row */
        "ldrd r3, lr, [r0, #16]     \n" /* first, pairs */
        "cbz r3, 2f                 \n"
        "ldr r1, [r0, #28]          \n" /* the zero point */
        "ldr r2, [r7]               \n"
        "add r7, r7, r8             \n"
        PAIR
        "2:                         \n"
        "add r0, r8, r8, lsl #1     \n"
        "lsrs lr, lr, #1            \n" /* flags that hold until the beq */
        "bcc 3f                     \n"
        "ldr r1, [r7]               \n"
        "ldr r2, [r7, r8]           \n"
        "add r7, r7, r8, lsl #1     \n"
        PAIR
        "3:                         \n"
        "beq 5f                     \n"
        "4:                         \n"
        TWO_PAIRS
        "subs lr, lr, #1            \n"
        "bne 4b                     \n"
        "5:                         \n"
        "ldr r0, [sp]               \n"
        "ldr r3, [r0, #24]          \n" /* last */
        "cbz r3, 6f                 \n"
        "ldr r1, [r7]               \n"
        "ldr r2, [r0, #28]          \n"
        "add r7, r7, r8             \n"
        PAIR
        "6:                         \n"
        "add r3, r0, #32            \n"
        "ldm r3, {r1, r2}           \n" /* source_skip, words_skip */
        "ldr r5, [sp, #4]           \n"
        "add r7, r7, r1             \n"
        "add r9, r9, r2             \n"
        "add r10, r10, r2           \n"
        "add r11, r11, r2           \n"
        "add r12, r12, r2           \n"
        "subs r5, r5, #1            \n"
        "str r5, [sp, #4]           \n"
        "bne 1b                     \n"
        "pop {r0, r1, r4-r11, pc}   \n");
}

#endif
