#include "tflm_opt_gemm.h"
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP

#define NAKED __attribute__((naked, noinline))
#define IGNORED __attribute__((unused))

/*
 * All assembly: of every instruction the compiler sees no length, and loops need all registers.
 *
 * r0 weights, r1 inputs; sums of (channel, pixel): r2 (0, 0), r3 (1, 0), r12 (0, 1), r14 (1, 1);
 * weights r4 to r7, inputs r8 to r11. At sp are words 2 to 12 of tflm_opt_gemm_tiles.
 */
#define UNROLLED 36
#define STEP_BYTES 40
#define LOOP 8 /* where in the table loops of more than one round are, along first */

/*
 * By the assembler: C99 lets one count on strings of 4095 characters. No compiler's branch leads over
 * them, so that it needn't know how long they are.
 */
#define TEXT_OF(number) #number
#define REPEATED(count, text) ".rept " TEXT_OF(count) "\n\t" text "\n\t.endr\n"

#define FIRST_STEP                                                                                 \
    "ldmia.w r0!, {r2, r3, r4, r5, r6, r7}\n\t"                                                    \
    "ldmia.w r1!, {r8, r9, r10, r11}\n\t"                                                          \
    "smlad r12, r4, r10, r2\n\t"                                                                   \
    "smlad r2, r4, r8, r2\n\t"                                                                     \
    "smlad r14, r6, r10, r3\n\t"                                                                   \
    "smlad r3, r6, r8, r3\n\t"                                                                     \
    "smlad r12, r5, r11, r12\n\t"                                                                  \
    "smlad r2, r5, r9, r2\n\t"                                                                     \
    "smlad r14, r7, r11, r14\n\t"                                                                  \
    "smlad r3, r7, r9, r3\n\t"

#define STEP                                                                                       \
    "ldmia.w r0!, {r4, r5, r6, r7}\n\t"                                                            \
    "ldmia.w r1!, {r8, r9, r10, r11}\n\t"                                                          \
    "smlad r12, r4, r10, r12\n\t"                                                                  \
    "smlad r2, r4, r8, r2\n\t"                                                                     \
    "smlad r14, r6, r10, r14\n\t"                                                                  \
    "smlad r3, r6, r8, r3\n\t"                                                                     \
    "smlad r12, r5, r11, r12\n\t"                                                                  \
    "smlad r2, r5, r9, r2\n\t"                                                                     \
    "smlad r14, r7, r11, r14\n\t"                                                                  \
    "smlad r3, r7, r9, r3\n\t"

#define DOUBLE                                                                                     \
    "lsls r2, r2, #1\n\t"                                                                          \
    "lsls r3, r3, #1\n\t"                                                                          \
    "lsl.w r12, r12, #1\n\t"                                                                       \
    "lsl.w r14, r14, #1\n\t"

/* Doubled sums to int8 in place, with registers of the two channels' parameters. */
#define SCALE(m0, c0, m1, c1)                                                                      \
    "smmlar r2, r2, " m0 ", " c0 "\n\t"                                                            \
    "smmlar r12, r12, " m0 ", " c0 "\n\t"                                                          \
    "smmlar r3, r3, " m1 ", " c1 "\n\t"                                                            \
    "smmlar r14, r14, " m1 ", " c1 "\n\t"

#define SCALE_WITH_KINK(m0, c0, m1, c1)                                                            \
    "add.w r11, " c0 ", r2, asr #31\n\t"                                                           \
    "add.w " c0 ", " c0 ", r12, asr #31\n\t"                                                       \
    "smmlar r2, r2, " m0 ", r11\n\t"                                                               \
    "smmlar r12, r12, " m0 ", " c0 "\n\t"                                                          \
    "add.w r11, " c1 ", r3, asr #31\n\t"                                                           \
    "add.w " c1 ", " c1 ", r14, asr #31\n\t"                                                       \
    "smmlar r3, r3, " m1 ", r11\n\t"                                                               \
    "smmlar r14, r14, " m1 ", " c1 "\n\t"

#define NARROW(e0, e1)                                                                             \
    "asrs r2, " e0 "\n\t"                                                                     \
    "asr.w r12, r12, " e0 "\n\t"                                                                   \
    "asr.w r3, r3, " e1 "\n\t"                                                                     \
    "asr.w r14, r14, " e1 "\n\t"                                                                   \
    "ssat r2, #8, r2\n\t"                                                                          \
    "ssat r12, #8, r12\n\t"                                                                        \
    "ssat r3, #8, r3\n\t"                                                                          \
    "ssat r14, #8, r14\n\t"

/* Sums to int8, with parameters from r0 on: r7 is where the outputs are. */
#define REQUANTIZE(scale)                                                                          \
    "ldmia.w r0!, {r4, r5, r6, r7, r8, r9, r10}\n\t" scale("r4", "r5", "r8", "r9")                 \
        NARROW("r6", "r10")

/*
 * The same inputs meet the next channels. At last there may be a channel alone: it is made together
 * with the one before once more. r7 counts up to 0.
 */
#define STORE_ALONG                                                                                \
    "ldmia.w sp, {r1, r4, r5}\n\t"                                                                 \
    "bfi r12, r14, #8, #8\n\t"                                                                     \
    "bfi r2, r3, #8, #8\n\t"                                                                       \
    "strh.w r12, [r4, r7]\n\t"                                                                     \
    "strh r2, [r5, r7]\n\t"                                                                      \
    "cbz r7, 2f\n\t" FIRST_STEP                                                                    \
    "ldr.w pc, [sp, #28]\n"                                                                        \
    "2:\n\t"                                                                                       \
    "b.n 9f\n\t"

/* The same weights meet the next pixels. Here a second channel may be at the first's place. */
#define STORE_ACROSS                                                                               \
    "ldmia.w sp, {r0, r4, r5, r6, r7, r8, r9}\n\t"                                                 \
    "subs r5, r5, #2\n\t"                                                                          \
    "strb.w r14, [r6, r8]\n\t"                                                                     \
    "strb.w r12, [r6, r4]\n\t"                                                                     \
    "strb r3, [r6, r7]\n\t"                                                                      \
    "strb r2, [r6]\n\t"                                                                          \
    "add r6, r9\n\t"                                                                         \
    "strd r5, r6, [sp, #8]\n\t"                                                                    \
    "bgt.w 1b\n\t"                                                                                 \
    "b.n 9f\n\t"

/* Another round of the unrolled loop, or not. */
#define AGAIN(shared)                                                                              \
    "ldr r4, [sp, #36]\n\t"                                                                      \
    "cmp " shared ", r4\n\t"                                                                       \
    "bne.w 5b\n\t"                                                                                 \
    "ldr.w pc, [sp, #40]\n\t"

/*
 * Where `back` isn't 0, nothing but addresses of code: the loop's first round begins back - 1 bytes
 * before its end, then `next` and at last `tail` come, so far places in a table.
 */
NAKED void tflm_opt_tiles_s8(tflm_opt_gemm_tiles *tiles IGNORED, int32_t back IGNORED)
{
    __asm__(".syntax unified\n\t"
            "cbz r1, 3f\n\t"
            "adr.w r12, 6f\n\t"
            "sub.w r12, r12, r1\n\t"
            "add.w r12, r12, #2\n\t"
            "str.w r12, [r0, #36]\n\t"
            "adr.w r12, 4f\n\t"
            "ldr r2, [r0, #40]\n\t"
            "ldr r3, [r0, #48]\n\t"
            "ldrh.w r2, [r12, r2, lsl #1]\n\t"
            "ldrh.w r3, [r12, r3, lsl #1]\n\t"
            "add r2, r12\n\t"
            "add r3, r12\n\t"
            "str r2, [r0, #40]\n\t"
            "str r3, [r0, #48]\n\t"
            "bx lr\n\t"
            ".balign 4\n"
            "4:\n\t"
            ".hword 11f - 4b + 1, 13f - 4b + 1, 10f - 4b + 1, 12f - 4b + 1\n\t"
            ".hword 15f - 4b + 1, 17f - 4b + 1, 14f - 4b + 1, 16f - 4b + 1\n\t"
            ".hword 18f - 4b + 1, 19f - 4b + 1\n"
            "3:\n\t"
            "push.w {r4, r5, r6, r7, r8, r9, r10, r11, lr}\n\t"
            "ldmia.w r0, {r0, r1, r2, r3, r4, r5, r6, r7, r8, r9, r10, r11, r12}\n\t"
            "push.w {r2, r3, r4, r5, r6, r7, r8, r9, r10, r11, r12}\n"
            "1:\n\t" FIRST_STEP
            "ldr.w pc, [sp, #28]\n"
            "5:\n\t" REPEATED(UNROLLED, STEP));
    __asm__("6:\n\t"
            "ldr.w pc, [sp, #32]\n"
            "10:\n\t" DOUBLE
            "11:\n\t" REQUANTIZE(SCALE) STORE_ALONG
            "12:\n\t" DOUBLE
            "13:\n\t" REQUANTIZE(SCALE_WITH_KINK) STORE_ALONG
            "14:\n\t" DOUBLE
            "15:\n\t" REQUANTIZE(SCALE) STORE_ACROSS
            "16:\n\t" DOUBLE
            "17:\n\t" REQUANTIZE(SCALE_WITH_KINK) STORE_ACROSS
            "18:\n\t" AGAIN("r1")
            "19:\n\t" AGAIN("r0")
            "9:\n\t"
            "add sp, #44\n\t"
            "pop.w {r4, r5, r6, r7, r8, r9, r10, r11, pc}\n\t");
}

TFLM_OPT_SMALL void tflm_opt_set_tiles(tflm_opt_gemm_tiles *tiles, int32_t words, int32_t tail)
{
    const int32_t rounds = (words - 2 + UNROLLED) / UNROLLED; /* words - 1 steps of the loop */
    const int32_t first = words - 1 - (rounds - 1) * UNROLLED;
    tiles->next = (uint32_t)(rounds > 1 ? LOOP + (tail >= TFLM_OPT_ACROSS) : tail);
    tiles->tail = (uint32_t)tail;
    tflm_opt_tiles_s8(tiles, rounds == 0 ? 1 : first * STEP_BYTES + 1);
}

#endif /* TFLM_OPT_DSP */
