#include "edge-impulse-sdk/classifier/ei_classifier_types.h"
#include "edge-impulse-sdk/dsp/returntypes.h"

EI_IMPULSE_ERROR classify_elsewhere(const float *numbers, ei_impulse_result_t *result);
