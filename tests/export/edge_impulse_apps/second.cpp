// A second source that uses the library, with a signal that is a plain function.
#define EIDSP_SIGNAL_C_FN_POINTER 1
#include "second.h"

#include "edge-impulse-sdk/classifier/ei_run_classifier.h"

static const float *from;

static int get_data(size_t offset, size_t length, float *out)
{
    memcpy(out, from + offset, length * sizeof(float));
    return 0;
}

EI_IMPULSE_ERROR classify_elsewhere(const float *numbers, ei_impulse_result_t *result)
{
    signal_t signal = {get_data, EI_CLASSIFIER_DSP_INPUT_FRAME_SIZE};
    from = numbers;
    return process_impulse(&ei_default_impulse, &signal, result);
}
