#include "tflm_opt_depthwise.h"
#include "tflm_opt_tier.h"

#if TFLM_OPT_DSP && !TFLM_OPT_MVE

/* The output of a sum by TFLM's two roundings: see tflm_opt_depthwise_form. */
#define LONG_FORM(sum)                         \
    "asr " sum ", " sum ", #7              \n" \
    "smmulr " sum ", " sum ", r4           \n" \
    "add " sum ", " sum ", " sum ", asr #31 \n" \
    "smmlsr " sum ", " sum ", r5, r6       \n" \
    "ssat " sum ", #8, " sum "             \n"

__attribute__((naked))
void tflm_opt_depthwise_long_s8(void)
{
    __asm__(
        "cbz r5, 1f                 \n"
        "ldr r6, [r6]               \n" /* params */
        "ldr r6, [r6, #4]           \n" /* output_offset */
        LONG_FORM("r0")
        LONG_FORM("r1")
        LONG_FORM("r2")
        LONG_FORM("r3")
        "bx lr                      \n"
        "1:                         \n" /* a channel without a form */
        "push {r0-r3, r12, lr}      \n"
        "mov r0, sp                 \n"
        "mov r1, r4                 \n"
        "mov r2, r6                 \n"
        "bl tflm_opt_depthwise_odd_s8 \n"
        "pop {r0-r3, r12, pc}       \n");
}

#endif
