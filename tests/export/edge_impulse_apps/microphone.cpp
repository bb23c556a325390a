// Continuous audio in slices, in the style of Edge Impulse's microphone examples. The microphone is
// standard input: 16-bit samples.
#define EI_CLASSIFIER_SLICES_PER_MODEL_WINDOW 4

#include <stdio.h>

#include "edge-impulse-sdk/classifier/ei_run_classifier.h"

#if !defined(EI_CLASSIFIER_SENSOR) || EI_CLASSIFIER_SENSOR != EI_CLASSIFIER_SENSOR_MICROPHONE
#error "the model is for another sensor"
#endif

typedef struct {
    int16_t *buffer;
    uint32_t n_samples;
} inference_t;

static inference_t inference;
static const int32_t sample_rate = ei_default_impulse.impulse->frequency;

static bool microphone_inference_start(uint32_t n_samples)
{
    inference.buffer = (int16_t *)ei_malloc(n_samples * sizeof(int16_t));
    inference.n_samples = n_samples;
    return inference.buffer != NULL;
}

static bool microphone_inference_record(void)
{
    return fread(inference.buffer, sizeof(int16_t), inference.n_samples, stdin) ==
           inference.n_samples;
}

static int microphone_audio_signal_get_data(size_t offset, size_t length, float *out_ptr)
{
    numpy::int16_to_float(&inference.buffer[offset], out_ptr, length);
    return 0;
}

int main()
{
    ei_printf("interval: %.4f ms, rate: %d, window: %d, classes: %d\n",
              (float)EI_CLASSIFIER_INTERVAL_MS, (int)sample_rate, EI_CLASSIFIER_RAW_SAMPLE_COUNT,
              (int)(sizeof(ei_classifier_inferencing_categories) /
                    sizeof(ei_classifier_inferencing_categories[0])));
    run_classifier_init();
    if (!microphone_inference_start(EI_CLASSIFIER_SLICE_SIZE)) {
        ei_printf("ERR: Could not allocate audio buffer\n");
        return 1;
    }
    ei_classifier_smooth_t smooth;
    ei_classifier_smooth_init(&smooth, 3, 2, 0.4f);
    while (microphone_inference_record()) {
        signal_t signal;
        signal.total_length = EI_CLASSIFIER_SLICE_SIZE;
        signal.get_data = &microphone_audio_signal_get_data;
        ei_impulse_result_t result = {};

        EI_IMPULSE_ERROR r = run_classifier_continuous(&signal, &result, false);
        if (r != EI_IMPULSE_OK) {
            ei_printf("ERR: Failed to run classifier (%d)\n", r);
            return 1;
        }
        for (size_t ix = 0; ix < EI_CLASSIFIER_LABEL_COUNT; ix++) {
            printf("%a ", result.classification[ix].value);
        }
        printf("%s\n", ei_classifier_smooth_update(&smooth, &result));
    }
    ei_classifier_smooth_free(&smooth);
    run_classifier_deinit();
    ei_free(inference.buffer);
    return 0;
}
