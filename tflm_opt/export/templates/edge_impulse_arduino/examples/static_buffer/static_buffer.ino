// Runs the model on numbers in memory, every second; the result goes to the serial port.
#include <{{ name }}_inferencing.h>

// Paste numbers here, {{ "a pixel each, as 0xRRGGBB" if impulse.channels else "as the model was trained on" }}: those that are left out are 0.
static const float features[EI_CLASSIFIER_DSP_INPUT_FRAME_SIZE] = {0};

static int get_features(size_t offset, size_t length, float *out)
{
    memcpy(out, features + offset, length * sizeof(float));
    return 0;
}

void setup()
{
    Serial.begin(115200);
}

void loop()
{
    signal_t signal;
    signal.total_length = EI_CLASSIFIER_DSP_INPUT_FRAME_SIZE;
    signal.get_data = &get_features;

    ei_impulse_result_t result;
    const EI_IMPULSE_ERROR error = run_classifier(&signal, &result, false);
    if (error != EI_IMPULSE_OK) {
        ei_printf("run_classifier failed: %d\n", error);
    } else {
        ei_print_results(&ei_default_impulse, &result);
    }
    delay(1000);
}
