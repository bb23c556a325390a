#include "reader.h"

#include <string.h>

#include "digits.h"

struct reading read_digit(const struct example *example)
{
    struct reading reading = {-1, SCORE_COUNT};
    memcpy(digits_input(0), example->picture, PICTURE_SIZE);
    if (digits_invoke()) {
        return reading;
    }
    const signed char *scores = digits_output(0);
    reading.digit = 0;
    reading.differences = 0;
    for (int digit = 0; digit < SCORE_COUNT; digit++) {
        if (scores[digit] > scores[reading.digit]) {
            reading.digit = digit;
        }
        reading.differences += scores[digit] != example->scores[digit];
    }
    return reading;
}
