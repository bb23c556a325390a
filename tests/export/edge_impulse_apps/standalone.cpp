// Inference over features in memory, in the style of Edge Impulse's documentation of its C++ library.
#include <stdio.h>

#include "edge-impulse-sdk/classifier/ei_run_classifier.h"

static int get_signal_data(size_t offset, size_t length, float *out_ptr);

static const float features[] = {
    // paste features here
};

int main(int, char **)
{
    signal_t signal;
    ei_impulse_result_t result;
    const size_t count = sizeof(features) / sizeof(features[0]);

    if (count != EI_CLASSIFIER_DSP_INPUT_FRAME_SIZE) {
        ei_printf("expected %d features, got %d\n", EI_CLASSIFIER_DSP_INPUT_FRAME_SIZE, (int)count);
        return 1;
    }
    run_classifier_init();
    signal.total_length = EI_CLASSIFIER_DSP_INPUT_FRAME_SIZE;
    signal.get_data = &get_signal_data;

    EI_IMPULSE_ERROR res = run_classifier(&signal, &result, false);
    ei_printf("run_classifier returned: %d\n", res);
    ei_print_results(&ei_default_impulse, &result);
    for (size_t ix = 0; ix < EI_CLASSIFIER_LABEL_COUNT; ix++) {
        uint32_t bits; // whatever the board's printf makes of floats
        memcpy(&bits, &result.classification[ix].value, sizeof bits);
        printf("score %s = %08lx\n", ei_classifier_inferencing_categories[ix],
               (unsigned long)bits);
    }
#if EI_CLASSIFIER_HAS_ANOMALY == 1
    printf("anomaly = %f\n", result.anomaly);
#endif
    run_classifier_deinit();
    return res;
}

static int get_signal_data(size_t offset, size_t length, float *out_ptr)
{
    for (size_t i = 0; i < length; i++) {
        out_ptr[i] = (features + offset)[i];
    }
    return EIDSP_OK;
}
