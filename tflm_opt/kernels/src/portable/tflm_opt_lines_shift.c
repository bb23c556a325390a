#include "tflm_opt_dot.h"
#include "tflm_opt_kernels.h"
#include "tflm_opt_lines.h"

#include <string.h>

TFLM_OPT_INLINE uint32_t word_at(const int8_t *from)
{
    uint32_t word;
    memcpy(&word, from, sizeof word);
    return word;
}

/*
 * As memmove to a lower address, or to another place: the bytes of a pixel or two, for which calls
 * take longer than moves. All of a turn is read before its bytes are written.
 */
TFLM_OPT_APART void move_down(int8_t *to, const int8_t *from, int32_t count)
{
    const int8_t *const end = from + count;
    const int8_t *const words = from + (count & ~3);
    const int8_t *const turns = from + (count & ~15);
    while (from != turns) {
        const uint32_t word0 = word_at(from);
        const uint32_t word1 = word_at(from + 4);
        const uint32_t word2 = word_at(from + 8);
        const uint32_t word3 = word_at(from + 12);
        memcpy(to, &word0, 4);
        memcpy(to + 4, &word1, 4);
        memcpy(to + 8, &word2, 4);
        memcpy(to + 12, &word3, 4);
        from += 16;
        to += 16;
        TFLM_OPT_KEEP(to);
    }
    while (from != words) {
        const uint32_t word = word_at(from);
        memcpy(to, &word, 4);
        from += 4;
        to += 4;
        TFLM_OPT_KEEP(to);
    }
    while (from != end) {
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
    int8_t *front = (int8_t *)shape->front;
    int32_t slot = lines->fresh - lines->base;
    int32_t i;
    for (i = 0; i < rows; i++) {
        if (i >= rows - shape->ring_rows) {
            while (slot >= shape->ring_rows) {
                slot -= shape->ring_rows;
            }
            move_down((int8_t *)shape->ring + slot * shape->ring_step +
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
