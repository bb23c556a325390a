/*
 * What memmove does, by words wherever the core can, which most libraries do only downwards: a
 * model then needs nothing of libc but memcpy and memset.
 *
 * Forward where the target lies below or apart, backward where it lies over the source's end. A
 * group is read before any of it is written, so the two may be one byte apart.
 */
#include "tflm_opt_movement.h"
#include "tflm_opt_words.h"

#define WORD 4
#define GROUP 16

/* Not to be counted in other variables: that takes more instructions. */
#if defined(__GNUC__)
#define KEEP(count) __asm__("" : "+r"(count))
#else
#define KEEP(count) ((void)0)
#endif

/* For cores where words can't be anywhere. */
TFLM_OPT_INLINE void move_apart(uint8_t *to, const uint8_t *from)
{
    const uint8_t a = from[0], b = from[1], c = from[2], d = from[3];
    to[0] = a;
    to[1] = b;
    to[2] = c;
    to[3] = d;
}

/* 1 where words can be moved, once `place` is at one. */
TFLM_OPT_INLINE int by_words(const uint8_t *to, const uint8_t *from)
{
    return TFLM_OPT_WORDS_ANYWHERE || (((uintptr_t)to ^ (uintptr_t)from) & (WORD - 1)) == 0;
}

TFLM_OPT_INLINE int at_word(const uint8_t *place)
{
    return TFLM_OPT_WORDS_ANYWHERE || ((uintptr_t)place & (WORD - 1)) == 0;
}

static void forward(uint8_t *to, const uint8_t *from, ptrdiff_t left)
{
    if (by_words(to, from)) {
        for (; !at_word(to) && left != 0; left--) {
            *to++ = *from++;
            KEEP(left);
        }
        for (left -= GROUP; left >= 0; left -= GROUP) {
            tflm_opt_move_words(to, from);
            to += GROUP;
            from += GROUP;
            KEEP(left);
        }
        for (left += GROUP - WORD; left >= 0; left -= WORD) {
            tflm_opt_move_word(to, from);
            to += WORD;
            from += WORD;
            KEEP(left);
        }
    } else {
        for (left -= WORD; left >= 0; left -= WORD) {
            move_apart(to, from);
            to += WORD;
            from += WORD;
            KEEP(left);
        }
    }
    for (left += WORD; left != 0; left--) {
        *to++ = *from++;
        KEEP(left);
    }
}

static void backward(uint8_t *to, const uint8_t *from, ptrdiff_t left)
{
    to += left;
    from += left;
    if (by_words(to, from)) {
        for (; !at_word(to) && left != 0; left--) {
            *--to = *--from;
            KEEP(left);
        }
        for (left -= GROUP; left >= 0; left -= GROUP) {
            to -= GROUP;
            from -= GROUP;
            tflm_opt_move_words(to, from);
            KEEP(left);
        }
        for (left += GROUP - WORD; left >= 0; left -= WORD) {
            to -= WORD;
            from -= WORD;
            tflm_opt_move_word(to, from);
            KEEP(left);
        }
    } else {
        for (left -= WORD; left >= 0; left -= WORD) {
            to -= WORD;
            from -= WORD;
            move_apart(to, from);
            KEEP(left);
        }
    }
    for (left += WORD; left != 0; left--) {
        *--to = *--from;
        KEEP(left);
    }
}

void tflm_opt_move_bytes(void *to, const void *from, size_t bytes)
{
    const size_t distance = (size_t)((uintptr_t)to - (uintptr_t)from);
    if (distance >= bytes) {
        forward((uint8_t *)to, (const uint8_t *)from, (ptrdiff_t)bytes);
    } else if (distance != 0) {
        backward((uint8_t *)to, (const uint8_t *)from, (ptrdiff_t)bytes);
    }
}
