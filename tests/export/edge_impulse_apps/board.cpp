// What the Arduino core and a camera would be: loop() once, its words to the host.
#include "Arduino.h"

#include "camera.h"

extern "C" int printf(const char *, ...);

void setup();
void loop();

Serial_ Serial;

void Serial_::begin(long)
{
}

void Serial_::print(const char *text)
{
    printf("%s", text);
}

void Serial_::write(uint8_t byte)
{
    printf("%c", byte);
}

int Serial_::available()
{
    return 0;
}

int Serial_::read()
{
    return -1;
}

unsigned long micros()
{
    static unsigned long now;
    return now += 4000;
}

void delay(unsigned long)
{
}

// 32 by 24 pixels, each twice across and down, between 4 black columns.
void camera_capture(uint8_t *rgb)
{
    for (int at = 0; at < 32 * 24; at++) {
        const int x = at % 32 / 2 - 2, y = at / 32 / 2;
        const int seen = x >= 0 && x < 12;
        for (int c = 0; c < 3; c++) {
            rgb[3 * at + c] = (uint8_t)(seen ? (x * 37 + y * 101 + c * 59) & 255 : 0);
        }
    }
}

int main()
{
    setup();
    loop();
    return 0;
}
