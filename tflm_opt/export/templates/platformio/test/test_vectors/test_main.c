/* pio test -e qemu_m4: the model on its stored vectors, as cases that PlatformIO reports. */
#ifndef ARDUINO /* there, test_arduino.cpp is the program */

#include <stdio.h>

#include "check.h"
#include "vectors.h"

int main(void)
{
    int failures = 0;
    for (int vector = 0; vector < VECTOR_COUNT; vector++) {
        const int wrong = check_vector(vector);
        failures += wrong != 0;
        printf("vector %d: %s, %d bytes differ\n", vector, wrong ? "FAIL" : "PASS", wrong);
    }
    printf("%s: %d of %d vectors\n", failures ? "FAIL" : "PASS", VECTOR_COUNT - failures,
           VECTOR_COUNT);
    return 0; /* the lines tell what failed */
}

#endif
