// As much of an Arduino core as the library needs, with the macros that some of them have.
#ifndef ARDUINO_H
#define ARDUINO_H

#include <stdint.h>

#define min(a, b) ((a) < (b) ? (a) : (b))
#define max(a, b) ((a) > (b) ? (a) : (b))
#define abs(x) ((x) > 0 ? (x) : -(x))
#define round(x) ((x) >= 0 ? (long)((x) + 0.5) : (long)((x) - 0.5))
#define DEFAULT 1

struct Serial_ {
    void begin(long);
    void print(const char *);
    void write(uint8_t);
    int available();
    int read();
};
extern Serial_ Serial;

unsigned long micros();
void delay(unsigned long);

#endif
