/* What the compiler calls of libgcc and Debian's for the LX106 lacks, by schoolbook methods. */
#include <stdint.h>

uint64_t __muldi3(uint64_t a, uint64_t b);
uint64_t __muldi3(uint64_t a, uint64_t b)
{
    const uint32_t al = (uint32_t)a & 0xFFFFu, ah = (uint32_t)a >> 16;
    const uint32_t bl = (uint32_t)b & 0xFFFFu, bh = (uint32_t)b >> 16;
    const uint32_t low = al * bl, middle = ah * bl + (low >> 16);
    const uint32_t other = (middle & 0xFFFFu) + al * bh;
    uint32_t high = ah * bh + (middle >> 16) + (other >> 16);
    high += (uint32_t)(a >> 32) * (uint32_t)b + (uint32_t)a * (uint32_t)(b >> 32);
    return (uint64_t)high << 32 | (other << 16 | (low & 0xFFFFu));
}

static uint64_t divide(uint64_t a, uint64_t b, uint64_t *rest)
{
    uint64_t quotient = 0, left = 0;
    for (int bit = 63; bit >= 0; bit--) {
        left = left << 1 | (a >> bit & 1u);
        if (left >= b) {
            left -= b;
            quotient |= (uint64_t)1 << bit;
        }
    }
    *rest = left;
    return quotient;
}

static uint64_t absolute(int64_t value)
{
    return value < 0 ? 0u - (uint64_t)value : (uint64_t)value;
}

int64_t __divdi3(int64_t a, int64_t b);
int64_t __divdi3(int64_t a, int64_t b)
{
    uint64_t rest;
    const uint64_t quotient = divide(absolute(a), absolute(b), &rest);
    return (int64_t)((a < 0) != (b < 0) ? 0u - quotient : quotient);
}

int32_t __divsi3(int32_t a, int32_t b);
int32_t __divsi3(int32_t a, int32_t b)
{
    return (int32_t)__divdi3(a, b);
}

uint32_t __udivsi3(uint32_t a, uint32_t b);
uint32_t __udivsi3(uint32_t a, uint32_t b)
{
    uint64_t rest;
    return (uint32_t)divide(a, b, &rest);
}

uint32_t __umodsi3(uint32_t a, uint32_t b);
uint32_t __umodsi3(uint32_t a, uint32_t b)
{
    uint64_t rest;
    divide(a, b, &rest);
    return (uint32_t)rest;
}
