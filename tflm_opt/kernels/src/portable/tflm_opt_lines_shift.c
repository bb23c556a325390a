#include "tflm_opt_dot.h"
#include "tflm_opt_kernels.h"
#include "tflm_opt_lines.h"
#include "tflm_opt_words.h"

/* `count` bytes, a positive multiple of 16; both ends are at words. */
TFLM_OPT_INLINE void move_groups(uint8_t *to, const uint8_t *from, int32_t count)
{
    const uint8_t *const end = from + count;
#if defined(__thumb__)
    __asm__ volatile(".syntax unified\n"
                     "1:\n\t"
                     "ldmia %1!, {r3, r4, r5, r6}\n\t"
                     "stmia %0!, {r3, r4, r5, r6}\n\t"
                     "cmp %1, %2\n\t"
                     "bne 1b\n\t"
                     : "+l"(to), "+l"(from)
                     : "l"(end)
                     : "r3", "r4", "r5", "r6", "cc", "memory");
#else
    do {
        tflm_opt_move_words(to, from);
        from += 16;
        to += 16;
        TFLM_OPT_KEEP(to);
    } while (from != end);
#endif
}

/*
 * As memmove to a lower address, or to another place: the bytes of a pixel or two, for which calls
 * take longer than moves. All of a turn is read before its bytes are written.
 */
TFLM_OPT_APART void move_down(uint8_t *to, const uint8_t *from, int32_t count)
{
    const int at_words = (((uintptr_t)to | (uintptr_t)from) & 3U) == 0;
    const int32_t groups = count & ~15;
    if (at_words && groups > 0) {
        move_groups(to, from, groups);
        to += groups;
        from += groups;
        count -= groups;
    }
    if (at_words || TFLM_OPT_WORDS_ANYWHERE) {
        for (count -= 4; count >= 0; count -= 4) {
            tflm_opt_move_word(to, from);
            to += 4;
            from += 4;
            TFLM_OPT_KEEP(to);
        }
        count += 4;
    }
    for (; count > 0; count--) {
        *to++ = *from++;
        TFLM_OPT_KEEP(to);
    }
}

void tflm_opt_lines_shift(const tflm_opt_lines *lines, int32_t rows, int32_t next_x,
                          int32_t made_x, int32_t bytes)
{
    const int32_t gone = (next_x - lines->front_x) * bytes;
    const int32_t left = (made_x - next_x) * bytes;
    const tflm_opt_lines_shape *shape = lines->shape;
    uint8_t *front = (uint8_t *)shape->front;
    int32_t slot = lines->fresh - lines->base;
    int32_t i;
    for (i = 0; i < rows; i++) {
        if (i >= rows - shape->ring_rows) {
            while (slot >= shape->ring_rows) {
                slot -= shape->ring_rows;
            }
            move_down((uint8_t *)shape->ring + slot * shape->ring_step +
                          (lines->front_x - lines->ring_x) * bytes,
                      front, gone);
        }
        if (left > 0 && gone > 0) {
            move_down(front, front + gone, left);
        }
        front += shape->front_step;
        slot++;
    }
}
