/*
 * Floats to int8 in eight instructions, of which one is the division.
 *
 * VCVT cuts off twice the quotient, with 15 bits beside the sign: enough for any zero point, and it
 * saturates, so that nothing overflows afterwards. With t its result, less one where that is
 * negative, half of t + 1 is the quotient rounded to nearest, halves away from zero. NaN becomes 0.
 */
#include "tflm_opt_tier.h"

#if TFLM_OPT_VFP

#include "tflm_opt_math.h"
#include "tflm_opt_pointwise.h"

#define ELEMENT                                                                                    \
    "vldmia.32 %[in]!, {s14}\n\t"                                                                  \
    "vdiv.f32 s14, s14, %[scale]\n\t"                                                              \
    "vcvt.s16.f32 s14, s14, #1\n\t"                                                                \
    "vmov %[t], s14\n\t"                                                                           \
    "add %[t], %[t], %[t], asr #31\n\t"                                                            \
    "add %[t], %[t], %[offset]\n\t"                                                                \
    "ssat %[t], #8, %[t], asr #1\n\t"                                                              \
    "strb %[t], [%[out]], #1\n\t"

void tflm_opt_quantize_f32_s8(const float *input, float scale, int32_t zero_point, int32_t size,
                              int8_t *output)
{
    const int32_t offset = 2 * zero_point + 1;
    const int8_t *const end = output + size;
    const int8_t *const rest = output + (size & 3);
    int32_t t;
    while (output != rest) {
        __asm__ volatile(ELEMENT
                         : [in] "+r"(input), [out] "+r"(output), [t] "=&r"(t)
                         : [scale] "t"(scale), [offset] "r"(offset)
                         : "s14", "memory");
    }
    while (output != end) {
        __asm__ volatile(ELEMENT ELEMENT ELEMENT ELEMENT
                         : [in] "+r"(input), [out] "+r"(output), [t] "=&r"(t)
                         : [scale] "t"(scale), [offset] "r"(offset)
                         : "s14", "memory");
    }
}

#endif /* TFLM_OPT_VFP */
