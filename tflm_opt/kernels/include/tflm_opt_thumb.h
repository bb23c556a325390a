/*
 * Inner loops in assembly for Armv6-M and Armv8-M Baseline: not part of the public interface, and
 * empty on other cores.
 *
 * Most instructions there see eight registers, and a product replaces one of its factors: compilers
 * spend more on moves than on sums. The other registers can be added to, so sums live there.
 */
#ifndef TFLM_OPT_THUMB_H
#define TFLM_OPT_THUMB_H

#include "tflm_opt_math.h"
#include "tflm_opt_tier.h"

#if TFLM_OPT_THUMB1

/* GCC takes assembly for these cores in the old syntax unless told so; clang knows no other. */
#define TFLM_OPT_THUMB_START             \
    ".syntax unified                 \n" \
    "push {r4-r7, lr}                \n" \
    "mov r4, r8                      \n" \
    "mov r5, r9                      \n" \
    "mov r6, r10                     \n" \
    "mov r7, r11                     \n" \
    "push {r4-r7}                    \n"

#define TFLM_OPT_THUMB_END               \
    "pop {r4-r7}                     \n" \
    "mov r8, r4                      \n" \
    "mov r9, r5                      \n" \
    "mov r10, r6                     \n" \
    "mov r11, r7                     \n" \
    "pop {r4-r7, pc}                 \n"

/* Rows of outputs with the same scales: of one row or of several pixels; `count` outputs each. */
typedef struct {
    int8_t *output;
    int32_t count;
    int32_t offset;
    int32_t rows;
    int32_t output_skip; /* from a row's end to the next; that of the sums is in bytes */
    int32_t sums_skip;
} tflm_opt_outputs;

/*
 * r5: the upper half of a product of r4, a sum's absolute value, and r5, its multiplier, as
 * tflm_opt_requantize has it before the shift. For sums above 0, `below` adds nothing to the product
 * of the low halves, and `quarter` is 2^14. Below 0 the same with 2^16 - 1 and 2^14 - 1 makes what is
 * to be subtracted: with n the absolute value, floor((-n m - 2^30 + h) / 2^k) is
 * -floor((n m + 2^30 + h - 1) / 2^k) for h = 2^(k - 1). No part exceeds 32 bits, for n up to 2^31.
 */
#define TFLM_OPT_THUMB_UPPER(below, quarter) \
    "lsrs r6, r4, #16                    \n" \
    "uxth r4, r4                         \n" \
    "uxth r7, r5                         \n" \
    "lsrs r5, r5, #16                    \n" \
    "mov r12, r7                         \n" \
    "muls r7, r4, r7                     \n" \
    below                                    \
    "lsrs r7, r7, #16                    \n" \
    "muls r4, r5, r4                     \n" \
    "adds r7, r7, r4                     \n" \
    "mov r4, r12                         \n" \
    "muls r4, r6, r4                     \n" \
    "adds r7, r7, r4                     \n" \
    "muls r5, r6, r5                     \n" \
    "add r7, r7, " quarter "             \n" \
    "lsrs r7, r7, #16                    \n" \
    "adds r5, r5, r7                     \n"

/*
 * The shift right; what is shifted out last is the carry, and rounds when it is added. Where it is
 * less than by 2, no more outputs are made; the addition before left no overflow.
 */
#define TFLM_OPT_THUMB_SHIFT(less) \
    "ldmia r2!, {r4}           \n" \
    "mvns r4, r4               \n" \
    "ble " less "              \n" \
    "lsrs r5, r5, r4           \n"

#define TFLM_OPT_THUMB_NEXT \
    "strb r5, [r3]      \n" \
    "adds r3, r3, #1    \n" \
    "cmp r3, r10        \n" \
    "bne 1b             \n"

/*
 * Sums as outputs, each channel with its own scale. Whether all were made: not with a shift of more
 * than -2. Sums of 0 or less are the least output at an output offset of -128.
 */
__attribute__((naked, noinline, unused)) static int tflm_opt_write_down(
    const int32_t *sums __attribute__((unused)),
    const int32_t *multipliers __attribute__((unused)),
    const int32_t *shifts __attribute__((unused)),
    const tflm_opt_outputs *outputs __attribute__((unused)))
{
    __asm__ volatile(TFLM_OPT_THUMB_START
                     "ldr r4, [r3, #12]               \n" /* rows */
                     "push {r3, r4}                   \n"
                     "ldr r4, [r3, #8]                \n" /* r8: the offset */
                     "mov r8, r4                      \n"
                     "ldr r4, [r3, #4]                \n"
                     "ldr r3, [r3]                    \n"
                     "adds r4, r4, r3                 \n"
                     "mov r10, r4                     \n" /* r10: the end of a row */
                     "movs r4, #1                     \n"
                     "lsls r4, r4, #14                \n"
                     "mov r9, r4                      \n"
                     "subs r4, r4, #1                 \n"
                     "mov lr, r4                      \n"
                     "lsls r4, r4, #2                 \n"
                     "adds r4, r4, #3                 \n"
                     "mov r11, r4                     \n"
                     "1:                              \n"
                     "ldmia r0!, {r4}                 \n"
                     "ldmia r1!, {r5}                 \n"
                     "cmp r4, #0                      \n"
                     "ble 3f                          \n"
                     TFLM_OPT_THUMB_UPPER("", "r9")
                     TFLM_OPT_THUMB_SHIFT("8f")
                     "mov r6, r8                      \n"
                     "adcs r5, r5, r6                 \n"
                     "cmp r5, #127                    \n"
                     "ble 2f                          \n"
                     "movs r5, #127                   \n"
                     "2:                              \n"
                     TFLM_OPT_THUMB_NEXT
                     "b 7f                            \n"
                     "3:                              \n"
                     "mov r6, r8                      \n"
                     "adds r6, r6, #128               \n"
                     "bne 4f                          \n"
                     "ldmia r2!, {r5}                 \n"
                     "adds r5, r5, #2                 \n"
                     "bgt 8f                          \n"
                     "mov r5, r8                      \n"
                     TFLM_OPT_THUMB_NEXT
                     "7:                              \n" /* a row's end */
                     "ldr r7, [sp, #4]                \n"
                     "subs r7, r7, #1                 \n"
                     "beq 9f                          \n"
                     "str r7, [sp, #4]                \n"
                     "ldr r7, [sp]                    \n"
                     "ldr r4, [r7, #4]                \n"
                     "ldr r5, [r7, #16]               \n"
                     "ldr r6, [r7, #20]               \n"
                     "adds r0, r0, r6                 \n"
                     "adds r3, r3, r5                 \n"
                     "adds r5, r3, r4                 \n"
                     "mov r10, r5                     \n"
                     "lsls r4, r4, #2                 \n"
                     "subs r1, r1, r4                 \n"
                     "subs r2, r2, r4                 \n"
                     "b 1b                            \n"
                     "8:                              \n"
                     "movs r7, #1                     \n"
                     "9:                              \n"
                     "movs r0, #1                     \n"
                     "subs r0, r0, r7                 \n"
                     "add sp, sp, #8                  \n"
                     TFLM_OPT_THUMB_END
                     "4:                              \n"
                     "rsbs r4, r4, #0                 \n"
                     TFLM_OPT_THUMB_UPPER("add r7, r7, r11 \n", "lr")
                     TFLM_OPT_THUMB_SHIFT("8b")
                     "movs r4, #0                     \n"
                     "adcs r5, r5, r4                 \n"
                     "mov r4, r8                      \n"
                     "subs r5, r4, r5                 \n"
                     "movs r4, #127                   \n"
                     "mvns r4, r4                     \n"
                     "cmp r5, r4                      \n"
                     "bge 2b                          \n"
                     "movs r5, r4                     \n"
                     "b 2b                            \n");
}

/* Channels four by four: `blocks` of them, at least one. */
typedef struct {
    const int8_t *const *rows; /* where they begin in the input; NULL after the last one */
    const int8_t *filter;      /* of the first channel, for the first row */
    int32_t length;            /* of a row */
    int32_t offset;
    int32_t filter_size; /* from one channel to the next */
    int32_t filter_row;  /* from one row to the next */
    const int32_t *bias;
    int32_t bias_bytes; /* from one block to the next */
    int32_t *sums;
    int32_t blocks;
} tflm_opt_line;

/* Four channels at place r5 below the end of a row. */
#define TFLM_OPT_THUMB_PLACE \
    "ldrsb r6, [r0, r5] \n" \
    "add r6, r6, r12    \n" \
    "ldrsb r7, [r1, r5] \n" \
    "muls r7, r6, r7    \n" \
    "add r8, r8, r7     \n" \
    "ldrsb r7, [r2, r5] \n" \
    "muls r7, r6, r7    \n" \
    "add r9, r9, r7     \n" \
    "ldrsb r7, [r3, r5] \n" \
    "muls r7, r6, r7    \n" \
    "add r10, r10, r7   \n" \
    "ldrsb r7, [r4, r5] \n" \
    "muls r7, r6, r7    \n" \
    "add r11, r11, r7   \n" \
    "adds r5, r5, #1    \n"

/* The sums of channels over rows of neighbouring elements: 3.75 instructions a product. */
__attribute__((naked, noinline, unused)) static void tflm_opt_sum_line(
    const tflm_opt_line *line __attribute__((unused)))
{
    __asm__ volatile(TFLM_OPT_THUMB_START
                     "sub sp, sp, #36                 \n"
                     "ldmia r0!, {r1-r6}              \n"
                     "mov r12, r4                     \n"
                     "rsbs r4, r3, #0                 \n"
                     "mov lr, r4                      \n"
                     "adds r2, r2, r3                 \n"
                     "str r1, [sp]                    \n" /* rows */
                     "str r2, [sp, #4]                \n" /* the end of a filter's first row */
                     "str r5, [sp, #8]                \n" /* filter_size */
                     "str r6, [sp, #12]               \n" /* filter_row */
                     "ldmia r0!, {r1-r4}              \n"
                     "str r1, [sp, #16]               \n" /* bias */
                     "str r2, [sp, #20]               \n" /* bias_bytes */
                     "str r3, [sp, #24]               \n" /* sums */
                     "str r4, [sp, #28]               \n" /* blocks */
                     "1:                              \n"
                     "ldr r7, [sp, #8]                \n"
                     "ldr r1, [sp, #4]                \n"
                     "adds r2, r1, r7                 \n"
                     "adds r3, r2, r7                 \n"
                     "adds r4, r3, r7                 \n"
                     "adds r7, r4, r7                 \n"
                     "str r7, [sp, #4]                \n"
                     "ldr r5, [sp, #16]               \n"
                     "ldr r6, [sp, #20]               \n"
                     "adds r6, r6, r5                 \n"
                     "str r6, [sp, #16]               \n"
                     "ldmia r5!, {r0, r6, r7}         \n"
                     "mov r8, r0                      \n"
                     "mov r9, r6                      \n"
                     "mov r10, r7                     \n"
                     "ldr r5, [r5]                    \n"
                     "mov r11, r5                     \n"
                     "ldr r6, [sp]                    \n"
                     "b 3f                            \n"
                     "2:                              \n" /* a block's last row is done */
                     "ldr r7, [sp, #24]               \n"
                     "mov r0, r8                      \n"
                     "mov r1, r9                      \n"
                     "mov r2, r10                     \n"
                     "mov r3, r11                     \n"
                     "stmia r7!, {r0-r3}              \n"
                     "str r7, [sp, #24]               \n"
                     "ldr r7, [sp, #28]               \n"
                     "subs r7, r7, #1                 \n"
                     "str r7, [sp, #28]               \n"
                     "bne 1b                          \n"
                     "add sp, sp, #36                 \n"
                     TFLM_OPT_THUMB_END
                     "3:                              \n"
                     "ldmia r6!, {r0}                 \n"
                     "str r6, [sp, #32]               \n" /* the next row */
                     "cmp r0, #0                      \n"
                     "beq 2b                          \n"
                     "mov r5, lr                      \n"
                     "subs r0, r0, r5                 \n"
                     "lsls r7, r5, #30                \n"
                     "beq 5f                          \n"
                     "4:                              \n"
                     TFLM_OPT_THUMB_PLACE
                     "lsls r7, r5, #30                \n"
                     "bne 4b                          \n"
                     "cmp r5, #0                      \n"
                     "beq 6f                          \n"
                     "5:                              \n"
                     TFLM_OPT_THUMB_PLACE
                     TFLM_OPT_THUMB_PLACE
                     TFLM_OPT_THUMB_PLACE
                     TFLM_OPT_THUMB_PLACE
                     "bne 5b                          \n"
                     "6:                              \n"
                     "ldr r7, [sp, #12]               \n"
                     "adds r1, r1, r7                 \n"
                     "adds r2, r2, r7                 \n"
                     "adds r3, r3, r7                 \n"
                     "adds r4, r4, r7                 \n"
                     "ldr r6, [sp, #32]               \n"
                     "b 3b                            \n");
}

/* Inputs of four pixels, `next` apart, from `input` to `end`; at least one. */
typedef struct {
    const int8_t *input;
    int32_t next;
    const int8_t *end;
    int32_t offset;
} tflm_opt_gather;

/* The pixels' inputs side by side as words, with the offset added. */
__attribute__((naked, noinline, unused)) static void tflm_opt_gather_four(
    const tflm_opt_gather *job __attribute__((unused)), int32_t *words __attribute__((unused)))
{
    __asm__ volatile(TFLM_OPT_THUMB_START
                     "movs r3, r1                     \n"
                     "ldr r4, [r0, #8]                \n"
                     "mov r8, r4                      \n" /* the end */
                     "ldr r4, [r0, #12]               \n"
                     "mov r9, r4                      \n" /* the offset */
                     "ldr r1, [r0, #4]                \n"
                     "ldr r0, [r0]                    \n"
                     "adds r2, r1, r1                 \n"
                     "adds r4, r2, r1                 \n"
                     "mov r12, r4                     \n"
                     "1:                              \n"
                     "mov r7, r12                     \n"
                     "ldrsb r7, [r0, r7]              \n"
                     "ldrsb r6, [r0, r2]              \n"
                     "ldrsb r5, [r0, r1]              \n"
                     "ldrb r4, [r0]                   \n"
                     "sxtb r4, r4                     \n"
                     "add r4, r4, r9                  \n"
                     "add r5, r5, r9                  \n"
                     "add r6, r6, r9                  \n"
                     "add r7, r7, r9                  \n"
                     "stmia r3!, {r4-r7}              \n"
                     "adds r0, r0, #1                 \n"
                     "cmp r0, r8                      \n"
                     "bne 1b                          \n"
                     TFLM_OPT_THUMB_END);
}

#define TFLM_OPT_THUMB_SUMS 16

/* `count` channels of four pixels, at least one; sums of a pixel lie TFLM_OPT_THUMB_SUMS apart. */
typedef struct {
    const int32_t *window;
    const int8_t *filter;
    int32_t length;
    const int32_t *bias;
    int32_t bias_bytes; /* from one channel to the next */
    int32_t *sums;
    int32_t count;
} tflm_opt_four;

/* One weight, at place r3 below the filter's end, and four pixels. */
#define TFLM_OPT_THUMB_WEIGHT \
    "ldrsb r0, [r2, r3]   \n" \
    "ldmia r1!, {r4-r7}   \n" \
    "muls r4, r0, r4      \n" \
    "add r8, r8, r4       \n" \
    "muls r5, r0, r5      \n" \
    "add r9, r9, r5       \n" \
    "muls r6, r0, r6      \n" \
    "add r10, r10, r6     \n" \
    "muls r7, r0, r7      \n" \
    "add r11, r11, r7     \n" \
    "adds r3, r3, #1      \n"

/* The sums of channels of four pixels: 2.8 instructions a product. */
__attribute__((naked, noinline, unused)) static void tflm_opt_sum_four(
    const tflm_opt_four *job __attribute__((unused)))
{
    __asm__ volatile(TFLM_OPT_THUMB_START
                     "ldmia r0!, {r1-r3}              \n"
                     "ldmia r0!, {r4-r7}              \n"
                     "push {r4-r7}                    \n"
                     "mov r12, r1                     \n"
                     "adds r2, r2, r3                 \n"
                     "rsbs r3, r3, #0                 \n"
                     "mov lr, r3                      \n"
                     "1:                              \n"
                     "ldr r4, [sp]                    \n"
                     "ldr r5, [r4]                    \n"
                     "ldr r6, [sp, #4]                \n"
                     "adds r4, r4, r6                 \n"
                     "str r4, [sp]                    \n"
                     "mov r8, r5                      \n"
                     "mov r9, r5                      \n"
                     "mov r10, r5                     \n"
                     "mov r11, r5                     \n"
                     "mov r1, r12                     \n"
                     "mov r3, lr                      \n"
                     "lsls r7, r3, #30                \n"
                     "beq 3f                          \n"
                     "2:                              \n"
                     TFLM_OPT_THUMB_WEIGHT
                     "lsls r7, r3, #30                \n"
                     "bne 2b                          \n"
                     "cmp r3, #0                      \n"
                     "beq 4f                          \n"
                     "3:                              \n"
                     TFLM_OPT_THUMB_WEIGHT
                     TFLM_OPT_THUMB_WEIGHT
                     TFLM_OPT_THUMB_WEIGHT
                     TFLM_OPT_THUMB_WEIGHT
                     "bne 3b                          \n"
                     "4:                              \n"
                     "ldr r7, [sp, #8]                \n"
                     "mov r4, r8                      \n"
                     "str r4, [r7]                    \n"
                     "mov r4, r9                      \n"
                     "str r4, [r7, #64]               \n"
                     "adds r7, #128               \n"
                     "mov r4, r10                     \n"
                     "str r4, [r7]                    \n"
                     "mov r4, r11                     \n"
                     "str r4, [r7, #64]               \n"
                     "subs r7, #124               \n"
                     "str r7, [sp, #8]                \n"
                     "mov r4, lr                      \n"
                     "subs r2, r2, r4                 \n"
                     "ldr r7, [sp, #12]               \n"
                     "subs r7, r7, #1                 \n"
                     "str r7, [sp, #12]               \n"
                     "bne 1b                          \n"
                     "add sp, sp, #16                 \n"
                     TFLM_OPT_THUMB_END);
}

#endif /* TFLM_OPT_THUMB1 */

#endif /* TFLM_OPT_THUMB_H */
