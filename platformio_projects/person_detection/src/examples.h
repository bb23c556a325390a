/* Frames that the net never saw, and what TFLM says of them. examples.c is generated. */
#ifndef EXAMPLES_H
#define EXAMPLES_H

#include <stdint.h>

enum { EXAMPLE_COUNT = 6, FRAME_WIDTH = 176, FRAME_HEIGHT = 144, SCORE_COUNT = 2 };

struct example {
    int person; /* whether one is on it */
    uint8_t frame[FRAME_HEIGHT * FRAME_WIDTH];
    int8_t scores[SCORE_COUNT]; /* what TFLM gives for the picture that Python scaled */
};

extern const struct example examples[EXAMPLE_COUNT];

#endif
