#include "tflm_opt_gemm.h"
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP

#define NAKED __attribute__((naked, noinline))
#define IGNORED __attribute__((unused))

#define TWICE(text) text text

/*
 * All assembly: compilers make no stores of four words of it.
 *
 * r0 target, r1 first of the pair, r2 from there to the second, r4 words of a row, r5 rows, r6 skip,
 * r7 constant, r12 rest of a row, r14 its place. A step alone, two, then four at a time.
 */
#define SPREAD_FOUR                                                                              \
    "ldr.w r11, [r1, r2]\n\t"                                                                      \
    "ldr r9, [r1], #4\n\t"                                                                         \
    "sxtab16 r10, r7, r11\n\t"                                                                     \
    "sxtab16 r11, r7, r11, ror #8\n\t"                                                             \
    "sxtab16 r8, r7, r9\n\t"                                                                       \
    "sxtab16 r9, r7, r9, ror #8\n\t"                                                               \
    "stmia.w r0!, {r8, r9, r10, r11}\n\t"

#define SPREAD_FOUR_DOUBLED                                                                        \
    "ldr.w r11, [r1, r2]\n\t"                                                                      \
    "ldr r9, [r1], #4\n\t"                                                                         \
    "sxtb16 r10, r11\n\t"                                                                        \
    "sxtb16 r11, r11, ror #8\n\t"                                                                \
    "sxtb16 r8, r9\n\t"                                                                          \
    "sxtb16 r9, r9, ror #8\n\t"                                                                  \
    "sadd16 r10, r10, r10\n\t"                                                                     \
    "sadd16 r11, r11, r11\n\t"                                                                     \
    "sadd16 r8, r8, r8\n\t"                                                                        \
    "sadd16 r9, r9, r9\n\t"                                                                        \
    "stmia.w r0!, {r8, r9, r10, r11}\n\t"

#define REST_BYTE                                                                                  \
    "ldrb.w r10, [r1, r2]\n\t"                                                                     \
    "ldrb r11, [r1], #1\n\t"                                                                       \
    "strb.w r10, [r14, #12]\n\t"                                                                   \
    "strb r11, [r14], #1\n\t"

/* From the end of what was written, where what rows left over is, and that there is no more. */
#define REST_ROW                                                                                   \
    "add.w r1, r4, r4, lsl #1\n\t"                                                                 \
    "add.w r1, r0, r1, lsl #2\n\t"                                                                 \
    "sub.w r1, r1, #12\n\t"                                                                        \
    "mov.w r2, #12\n\t"

#define SPREAD_ROWS(step)                                                                          \
    ".syntax unified\n\t"                                                                          \
    "push.w {r3, r4, r5, r6, r7, r8, r9, r10, r11, lr}\n\t"                                        \
    "ldmia.w r3, {r4, r5, r6, r7, r12, r14}\n"                                                     \
    "1:\n\t"                                                                                       \
    "lsrs r3, r4, #1\n\t"                                                                        \
    "bcc.n 2f\n\t" step "2:\n\t"                                                                   \
    "beq.n 5f\n\t"                                                                                 \
    "lsrs r3, r3, #1\n\t"                                                                        \
    "bcs.n 4f\n\t"                                                                                 \
    "subs r3, r3, #1\n"                                                                           \
    "3:\n\t" TWICE(step) "4:\n\t" TWICE(step) "subs r3, r3, #1\n\t"                              \
    "bpl.n 3b\n"                                                                                   \
    "5:\n\t"                                                                                       \
    "cmp.w r12, #0\n\t"                                                                            \
    "bne.n 6f\n\t"                                                                                 \
    "subs r5, r5, #1\n\t"                                                                        \
    "bne.n 9f\n\t"                                                                                 \
    "pop.w {r3, r4, r5, r6, r7, r8, r9, r10, r11, pc}\n"                                           \
    "9:\n\t"                                                                                       \
    "add r1, r6\n\t"                                                                         \
    "b.n 1b\n"                                                                                     \
    "6:\n\t"                                                                                       \
    "lsls.w r3, r12, #31\n\t"                                                                      \
    "bcc.n 7f\n\t"                                                                                 \
    "ldrh.w r10, [r1, r2]\n\t"                                                                     \
    "ldrh r11, [r1], #2\n\t"                                                                       \
    "strh.w r10, [r14, #12]\n\t"                                                                   \
    "strh r11, [r14], #2\n"                                                                        \
    "7:\n\t"                                                                                       \
    "bpl.n 8f\n\t" REST_BYTE "8:\n\t"                                                              \
    "add r1, r6\n\t"                                                                         \
    "subs r5, r5, #1\n\t"                                                                        \
    "bne.w 1b\n\t"                                                                                 \
    "ldr r3, [sp]\n\t" /* what rows left over is one more row */                                 \
    "ldr r4, [r3, #24]\n\t"                                                                      \
    "cmp r4, #0\n\t"                                                                             \
    REST_ROW                                                                                       \
    "mov.w r12, #0\n\t"                                                                            \
    "mov.w r5, #1\n\t"                                                                             \
    "bne.w 1b\n\t"                                                                                 \
    "pop.w {r3, r4, r5, r6, r7, r8, r9, r10, r11, pc}\n\t"

NAKED uint32_t *tflm_opt_spread_pair_s8(uint32_t *target IGNORED,
                                          const int8_t *first IGNORED,
                                          ptrdiff_t second IGNORED,
                                          const tflm_opt_gemm_rows *rows IGNORED)
{
    __asm__(SPREAD_ROWS(SPREAD_FOUR));
}

NAKED void tflm_opt_spread_doubled_s8(uint32_t *target IGNORED,
                                      const int8_t *first IGNORED,
                                      ptrdiff_t second IGNORED,
                                      int32_t words IGNORED)
{
    __asm__(".syntax unified\n\t"
            "push.w {r8, r9, r10, r11, lr}\n\t"
            "lsrs r3, r3, #1\n\t"
            "bcs.w 2f\n"
            "1:\n\t"
            "subs r3, r3, #1\n\t" SPREAD_FOUR_DOUBLED
            "2:\n\t" SPREAD_FOUR_DOUBLED
            "cmp r3, #0\n\t"
            "bne.w 1b\n\t"
            "pop.w {r8, r9, r10, r11, pc}");
}

NAKED uint32_t *tflm_opt_spread_nines_s8(uint32_t *target IGNORED,
                                          const int8_t *first IGNORED,
                                          ptrdiff_t second IGNORED,
                                          const tflm_opt_gemm_rows *rows IGNORED)
{
    __asm__(".syntax unified\n\t"
            "push.w {r3, r4, r5, r6, r7, r8, r9, r10, r11, lr}\n\t"
            "ldmia.w r3, {r4, r5, r6, r7, r12, r14}\n"
            "1:\n\t" TWICE(SPREAD_FOUR) REST_BYTE
            "add r1, r6\n\t"
            "subs r5, r5, #1\n\t"
            "bne.n 1b\n\t"
            "ldr r4, [r3, #24]\n\t"
            "cmp r4, #0\n\t"
            "beq.n 3f\n\t" REST_ROW
            "2:\n\t" SPREAD_FOUR
            "subs r4, r4, #1\n\t"
            "bne.n 2b\n"
            "3:\n\t"
            "pop.w {r3, r4, r5, r6, r7, r8, r9, r10, r11, pc}\n\t");
}

#endif /* TFLM_OPT_DSP */
