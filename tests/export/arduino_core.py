"""What stands in for an Arduino core where a sketch is built in tests."""

from __future__ import annotations

ARDUINO = """\
#include <stdint.h>
#ifdef __cplusplus
struct Serial_ { void begin(long); void print(const char *); void println(unsigned long); };
extern Serial_ Serial;
extern "C" unsigned long micros();
extern "C" void delay(unsigned long);
extern "C" unsigned long millis();
#endif
"""
# What the IDE's core would be: loop() once, its words to the host.
SKETCH = """\
#include "Arduino.h"
extern "C" int printf(const char *, ...);
void setup(); void loop();
Serial_ Serial;
void Serial_::begin(long) {}
void Serial_::print(const char *text) { printf("%s", text); }
void Serial_::println(unsigned long number) { printf("%lu\\n", number); }
extern "C" unsigned long micros() { static unsigned long now; return now += 4000; }
extern "C" void delay(unsigned long) {}
extern "C" unsigned long millis() { return micros() / 1000; }
#include "self_test.ino"
extern "C" int main() { setup(); loop(); return 0; }
"""
