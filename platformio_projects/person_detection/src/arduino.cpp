// For Arduino boards: watches the camera (OV7670, OV7675) of a Nano 33 BLE; on other boards, the frames.
#ifdef ARDUINO

#include <Arduino.h>

#include "detector.h"

extern "C" {
#include "examples.h"
}

static struct detector detector;

static void look(const uint8_t *frame)
{
    struct camera camera = {FRAME_WIDTH, FRAME_HEIGHT, camera_frame_line, frame};
    const int before = detector.present;
    const int now = detector_look(&detector, &camera);
    if (now < 0) {
        Serial.print("error ");
        Serial.println(detector.error);
    } else if (now != before) {
        Serial.println(now ? "somebody is there" : "nobody is there");
    }
}

#ifdef ARDUINO_ARDUINO_NANO33BLE
#include <Arduino_OV767X.h>

static uint8_t frame[FRAME_HEIGHT * FRAME_WIDTH];

void setup()
{
    Serial.begin(115200);
    person_init();
    detector_init(&detector);
    while (!Camera.begin(QCIF, GRAYSCALE, 1)) {
        Serial.println("no camera: is it wired as its library says?");
        delay(2000);
    }
}

void loop()
{
    Camera.readFrame(frame);
    look(frame);
}
#else
void setup()
{
    Serial.begin(115200);
    person_init();
    detector_init(&detector);
}

void loop()
{
    for (int index = 0; index < EXAMPLE_COUNT; index++) {
        for (int times = 0; times < 3; times++) {
            look(examples[index].frame);
        }
    }
    delay(2000);
}
#endif

#endif
