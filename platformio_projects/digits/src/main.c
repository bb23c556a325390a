/* Reads ten digits and says whether every score is the one that TFLM gives. */
#ifndef ARDUINO /* there, arduino.cpp is the program */

#include <stdio.h>

#include "digits.h"
#include "reader.h"

#ifdef TFLM_OPT_QEMU
#include "harness.h"

static const size_t input_size[] = {PICTURE_SIZE};
static const size_t output_size[] = {SCORE_COUNT};
static const struct harness_model model = {
    digits_init, digits_input, digits_invoke, digits_output, 1, 1, input_size, output_size,
};
#endif

volatile int digits_failures = -1; /* for a debugger */

static void show(const struct example *example)
{
    for (int row = 0; row < 32; row += 4) {
        for (int column = 0; column < 32; column += 2) {
            putchar(" .:-=+*#"[(example->picture[row * 32 + column] + 128) / 32]);
        }
        putchar('\n');
    }
}

int main(void)
{
#ifdef TFLM_OPT_QEMU
    if (harness_serve(&model)) { /* the host left its own pictures in a file */
        return 0;
    }
#endif
    int failures = digits_init() != 0;
    for (int index = 0; index < EXAMPLE_COUNT; index++) {
        const struct reading reading = read_digit(&examples[index]);
        show(&examples[index]);
        printf("a %d, read as %d, %s\n\n", examples[index].label, reading.digit,
               reading.differences ? "FAIL: not with TFLM's scores" : "with TFLM's scores");
        failures += reading.differences != 0;
    }
#ifdef TFLM_OPT_QEMU
    printf("instructions: %lu\n", (unsigned long)harness_instructions(&model));
#endif
    printf("%s: %d of %d digits\n", failures ? "FAIL" : "PASS", EXAMPLE_COUNT - failures,
           EXAMPLE_COUNT);
    digits_failures = failures;
    return failures != 0;
}

#endif
