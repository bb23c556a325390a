// The same check as main.c, for Arduino boards: the result goes to the serial port.
#if defined(ARDUINO) && !defined(PIO_UNIT_TESTING) // `pio test` brings its own program

#include <Arduino.h>

extern "C" {
#include "check.h"
#include "vectors.h"
}

void setup()
{
    Serial.begin(115200);
}

void loop()
{
    int failures = 0;
    const unsigned long start = micros();
    for (int vector = 0; vector < VECTOR_COUNT; vector++) {
        failures += check_vector(vector) != 0;
    }
    Serial.print(failures ? "FAIL" : "PASS");
    Serial.print(", microseconds per inference: ");
    Serial.println((micros() - start) / VECTOR_COUNT);
    delay(2000);
}

#endif
