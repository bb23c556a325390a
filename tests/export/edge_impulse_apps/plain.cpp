// The window in memory by ei_run_classifier: the scores' bits.
#include "edge-impulse-sdk/classifier/ei_run_classifier_c.h"

static const float window[] = {
    // paste features here
};

static int get_data(size_t offset, size_t length, float *out)
{
    memcpy(out, window + offset, length * sizeof(float));
    return 0;
}

int main()
{
    signal_t signal;
    signal.total_length = sizeof(window) / sizeof(window[0]);
    signal.get_data = get_data;
    ei_impulse_result_t result;
    if (ei_run_classifier(&signal, &result) != EI_IMPULSE_OK) {
        return 1;
    }
    for (size_t i = 0; i < EI_CLASSIFIER_LABEL_COUNT; i++) {
        uint32_t bits;
        memcpy(&bits, &result.classification[i].value, sizeof(bits));
        printf("score %s = %x\n", result.classification[i].label, (unsigned)bits);
    }
    return 0;
}
