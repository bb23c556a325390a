/* Ten digits that the net never saw, with what TFLM says about them. examples.c is generated. */
#ifndef EXAMPLES_H
#define EXAMPLES_H

enum { EXAMPLE_COUNT = 10, PICTURE_SIZE = 32 * 32, SCORE_COUNT = 10 };

struct example {
    signed char label;                  /* the digit it is */
    signed char picture[PICTURE_SIZE];  /* as the net takes it, row by row */
    signed char scores[SCORE_COUNT];    /* what TFLM gives for it */
};

extern const struct example examples[EXAMPLE_COUNT];

#endif
