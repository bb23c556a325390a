/* Words of voices that the net never heard, and what TFLM says of them. examples.c is generated. */
#ifndef EXAMPLES_H
#define EXAMPLES_H

#include <stdint.h>

enum { EXAMPLE_COUNT = 6, CLIP = 16000, SCORE_COUNT = 12 };

struct example {
    int word;                   /* what is said: an index into words */
    int16_t samples[CLIP];      /* a second at 16 kHz */
    int8_t scores[SCORE_COUNT]; /* what TFLM gives for the features that Python computes */
};

extern const struct example examples[EXAMPLE_COUNT];
extern const char *const words[SCORE_COUNT];

#endif
