// The same as test_main.c for Arduino boards, whose serial port PlatformIO reads.
#ifdef ARDUINO

#include <Arduino.h>

extern "C" {
#include "check.h"
#include "vectors.h"
}

static void say(const char *text, int number)
{
    Serial.print(text);
    Serial.print(number);
}

void setup()
{
    int failures = 0;
    Serial.begin(115200);
    delay(3000); // PlatformIO opens the port after the upload
    for (int vector = 0; vector < VECTOR_COUNT; vector++) {
        const int wrong = check_vector(vector);
        failures += wrong != 0;
        say("vector ", vector);
        say(wrong ? ": FAIL, " : ": PASS, ", wrong);
        Serial.println(" bytes differ");
    }
    say(failures ? "FAIL: " : "PASS: ", VECTOR_COUNT - failures);
    say(" of ", VECTOR_COUNT);
    Serial.println(" vectors");
}

void loop()
{
}

#endif
