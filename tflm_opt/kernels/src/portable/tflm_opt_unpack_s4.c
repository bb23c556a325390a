#include "tflm_opt_kernels.h"
#include "tflm_opt_math.h"

/* Four lower halves of bytes as bytes: 0x78 + n is n - 8 but for its sign bit. */
TFLM_OPT_INLINE uint32_t four(uint32_t word)
{
    return ((word & 0x0F0F0F0FU) + 0x78787878U) ^ 0x80808080U;
}

const int8_t *tflm_opt_unpack_s4(const int32_t *packed,
                                 int32_t first,
                                 int32_t count,
                                 int8_t *target)
{
    const int32_t *word = packed + (first >> 3);
    const int32_t *end = packed + ((first + count + 7) >> 3);
    uint32_t *to = (uint32_t *)(void *)target;
    for (; end - word >= 2; word += 2) {
        const uint32_t one = (uint32_t)word[0];
        const uint32_t other = (uint32_t)word[1];
        to[0] = four(one);
        to[1] = four(one >> 4);
        to[2] = four(other);
        to[3] = four(other >> 4);
        to += 4;
    }
    if (word != end) {
        to[0] = four((uint32_t)*word);
        to[1] = four((uint32_t)*word >> 4);
    }
    return target + (first & 7);
}
