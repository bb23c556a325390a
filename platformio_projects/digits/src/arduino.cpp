// The same as main.c for Arduino boards: the result goes to the serial port.
#ifdef ARDUINO

#include <Arduino.h>

extern "C" {
#include "digits.h"
#include "reader.h"
}

void setup()
{
    Serial.begin(115200);
    digits_init();
}

void loop()
{
    int failures = 0;
    unsigned long spent = 0;
    for (int index = 0; index < EXAMPLE_COUNT; index++) {
        const unsigned long start = micros();
        const struct reading reading = read_digit(&examples[index]);
        spent += micros() - start;
        failures += reading.differences != 0;
        Serial.print(reading.digit);
        Serial.print(' ');
    }
    Serial.print(failures ? "FAIL" : "PASS");
    Serial.print(", microseconds per digit: ");
    Serial.println(spent / EXAMPLE_COUNT);
    delay(2000);
}

#endif
