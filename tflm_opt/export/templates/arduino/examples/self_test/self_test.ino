// Runs the model on its stored test vectors; says PASS or FAIL and the time on the serial port.
#include <{{ name }}.h>

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
    const unsigned long each = (micros() - start) / VECTOR_COUNT;
    Serial.print(failures ? "FAIL" : "PASS");
    Serial.print(", microseconds per inference: ");
    Serial.println(each);
    delay(2000);
}
