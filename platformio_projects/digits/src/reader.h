#ifndef READER_H
#define READER_H

#include "examples.h"

struct reading {
    int digit;       /* the one with the highest score, or -1 where the model failed */
    int differences; /* scores that are not TFLM's */
};

struct reading read_digit(const struct example *example);

#endif
