#include "tflm_opt_gemm.h"
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP

#define STEP                                                                                       \
    "ldmia.w r0!, {r4, r5, r6, r7}\n\t"                                                            \
    "ldrd r8, r9, [r1], #16\n\t"                                                                   \
    "smlad r2, r4, r8, r2\n\t"                                                                     \
    "smlad r3, r6, r8, r3\n\t"                                                                     \
    "smlad r2, r5, r9, r2\n\t"                                                                     \
    "smlad r3, r7, r9, r3\n\t"

/*
 * All assembly, like the tiles. r0 weights, r1 inputs, r2 and r3 sums, r4 to r7 weights, r8 and r9
 * inputs, r10 rounds. Negative sums are always rounded apart: where they need not be, they end at the
 * lower bound anyway.
 */
__attribute__((naked, noinline))
void tflm_opt_alone_s8(
    tflm_opt_gemm_alone *alone __attribute__((unused)),
    const uint32_t *weights __attribute__((unused)),
    int32_t back __attribute__((unused)))
{
    __asm__(".syntax unified\n\t"
            "cbz r2, 3f\n\t"
            "adr.w r12, 6f\n\t"
            "sub.w r12, r12, r2\n\t"
            "add.w r12, r12, #2\n\t"
            "str.w r12, [r0, #8]\n\t"
            "bx lr\n"
            "3:\n\t"
            "push.w {r4, r5, r6, r7, r8, r9, r10, r11, lr}\n\t"
            "mov lr, r0\n\t"
            "mov r0, r1\n"
            "1:\n\t"
            "ldmia.w lr, {r1, r10, r11}\n\t"
            "ldrd r2, r3, [r0], #8\n\t"
            "bx r11\n\t"
            ".balign 4\n"
            "5:\n\t" STEP STEP STEP STEP
            "6:\n\t"
            "subs.w r10, r10, #1\n\t"
            "bpl 5b\n\t"
            "ldmia.w r0!, {r4, r5, r6, r7, r8, r9, r10}\n\t"
            "ldrd r11, r12, [lr, #12]\n\t"
            "lsl.w r2, r2, r11\n\t"
            "lsl.w r3, r3, r11\n\t"
            "add.w r5, r5, r2, asr #31\n\t"
            "add.w r9, r9, r3, asr #31\n\t"
            "smmlar r2, r2, r4, r5\n\t"
            "smmlar r3, r3, r8, r9\n\t"
            "ldrd r4, r5, [lr, #20]\n\t"
            "asr.w r2, r2, r6\n\t"
            "asr.w r3, r3, r10\n\t"
            "ssat r2, #8, r2\n\t"
            "ssat r3, #8, r3\n\t"
            "add r4, r4, r7\n\t"
            "strb r3, [r4, r5]\n\t"
            "strb r2, [r4]\n\t"
            "tst.w r7, r12\n\t"
            "bne.n 1b\n\t"
            "pop.w {r4, r5, r6, r7, r8, r9, r10, r11, pc}");
}

#endif /* TFLM_OPT_DSP */
