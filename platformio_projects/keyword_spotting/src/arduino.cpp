// For Arduino boards: listens to the microphone of a Nano 33 BLE Sense; on other boards, to the clips.
#ifdef ARDUINO

#include <Arduino.h>

#include "listener.h"

extern "C" {
#include "examples.h"
}

static struct listener listener;

static void hear(const int16_t *samples, int count)
{
    const int word = listener_hear(&listener, samples, count);
    if (word >= 0) {
        Serial.println(words[word]);
    }
    if (listener.error) {
        Serial.print("error ");
        Serial.println(listener.error);
    }
}

#ifdef ARDUINO_ARDUINO_NANO33BLE
#include <PDM.h>

static int16_t samples[512];
static volatile int count; // of samples that the microphone left there

static void on_samples()
{
    count = PDM.read(samples, sizeof samples) / (int)sizeof samples[0];
}

void setup()
{
    Serial.begin(115200);
    keywords_init();
    listener_init(&listener);
    PDM.onReceive(on_samples);
    PDM.begin(1, MEL_RATE);
}

void loop()
{
    static int16_t copy[512];
    noInterrupts();
    const int taken = count;
    memcpy(copy, samples, (size_t)taken * sizeof copy[0]);
    count = 0;
    interrupts();
    if (taken > 0) {
        hear(copy, taken);
    }
}
#else
void setup()
{
    Serial.begin(115200);
    keywords_init();
    listener_init(&listener);
}

void loop()
{
    for (int index = 0; index < EXAMPLE_COUNT; index++) {
        Serial.print("said: ");
        Serial.println(words[examples[index].word]);
        hear(examples[index].samples, CLIP);
    }
    delay(2000);
}
#endif

#endif
