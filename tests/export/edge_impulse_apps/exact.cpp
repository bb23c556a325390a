// Windows of floats from standard input, results as hexadecimal floats. Each argument is what to do
// with the next window.
#include <string.h>

#include "edge-impulse-sdk/classifier/ei_run_classifier.h"
#include "second.h"

static float window[EI_CLASSIFIER_DSP_INPUT_FRAME_SIZE];
static float features[EI_CLASSIFIER_NN_INPUT_FRAME_SIZE];
static int asked, fail_at = -1;
static bool canceled;

EI_IMPULSE_ERROR ei_run_impulse_check_canceled()
{
    return canceled ? EI_IMPULSE_CANCELED : EI_IMPULSE_OK;
}

static int get_data(size_t offset, size_t length, float *out)
{
    if (length == 0 || length > 64 || offset + length > EI_CLASSIFIER_DSP_INPUT_FRAME_SIZE) {
        abort();
    }
    if (asked++ == fail_at) {
        return -1;
    }
    memcpy(out, window + offset, length * sizeof(float));
    return 0;
}

static void print(EI_IMPULSE_ERROR error, const ei_impulse_result_t *result)
{
    printf("%d", error);
#if EI_CLASSIFIER_OBJECT_DETECTION
    for (uint32_t i = 0; error == 0 && i < result->bounding_boxes_count; i++) {
        const ei_impulse_result_bounding_box_t *box = &result->bounding_boxes[i];
        printf(" %s,%d,%d,%d,%d,%a", box->label, (int)box->x, (int)box->y, (int)box->width,
               (int)box->height, box->value);
    }
    for (uint32_t i = result->bounding_boxes_count; i < EI_CLASSIFIER_OBJECT_DETECTION_COUNT; i++) {
        if (result->bounding_boxes[i].value != 0) {
            abort();
        }
    }
#else
    for (size_t i = 0; error == 0 && i < EI_CLASSIFIER_LABEL_COUNT; i++) {
        printf(" %a", result->classification[i].value);
    }
#endif
    printf("\n");
}

// The window in four slices. "broken": the third one fails. The result is the last one's.
static EI_IMPULSE_ERROR run_slices(const char *word, ei_impulse_result_t *result)
{
    static size_t start;
    const size_t length = EI_CLASSIFIER_DSP_INPUT_FRAME_SIZE / 4;
    EI_IMPULSE_ERROR error = EI_IMPULSE_OK;
    signal_t signal;
    signal.get_data = [](size_t offset, size_t count, float *out) {
        return get_data(start + offset, count, out);
    };
    signal.total_length = length;
    for (size_t slice = 0; slice < 4; slice++) {
        start = slice * length;
        asked = 0;
        fail_at = strcmp(word, "broken") == 0 && slice == 2 ? 0 : -1;
        error = run_classifier_continuous(&signal, result, false, false);
        if ((error == EI_IMPULSE_DSP_ERROR) != (fail_at == 0)) {
            return EI_IMPULSE_ALLOC_FAILED;
        }
    }
    if (strcmp(word, "long") == 0) {
        signal.total_length = EI_CLASSIFIER_NN_INPUT_FRAME_SIZE + 1;
        error = run_classifier_continuous(&signal, result, false, false);
    }
    if (strcmp(word, "again") == 0) {
        run_classifier_init();
        error = run_classifier_continuous(&signal, result, false, false);
    }
    return error;
}

static bool in_slices(const char *word)
{
    return strcmp(word, "slices") == 0 || strcmp(word, "broken") == 0 ||
           strcmp(word, "long") == 0 || strcmp(word, "again") == 0;
}

int main(int argc, char **argv)
{
    for (int index = 1; index < argc; index++) {
        ei_impulse_result_t result;
        signal_t signal;
        EI_IMPULSE_ERROR error;
        if (strcmp(argv[index], "features") == 0) {
            if (fread(features, sizeof features, 1, stdin) != 1) {
                return 1;
            }
            ei::matrix_t matrix(1, EI_CLASSIFIER_NN_INPUT_FRAME_SIZE, features);
            ei_feature_t feature = {&matrix, 0};
            error = run_inference(&ei_default_impulse, &feature, &result);
            print(error, &result);
            continue;
        }
        if (fread(window, sizeof window, 1, stdin) != 1) {
            return 1;
        }
        if (in_slices(argv[index])) {
            error = run_slices(argv[index], &result);
            print(error, &result);
            continue;
        }
        asked = 0;
        fail_at = strcmp(argv[index], "fail") == 0 ? 1 : -1;
        canceled = strcmp(argv[index], "cancel") == 0;
        signal.get_data = get_data;
        signal.total_length = EI_CLASSIFIER_DSP_INPUT_FRAME_SIZE;
        if (strcmp(argv[index], "buffer") == 0) {
            numpy::signal_from_buffer(window, EI_CLASSIFIER_DSP_INPUT_FRAME_SIZE, &signal);
        }
        if (strcmp(argv[index], "short") == 0) {
            signal.total_length--;
        }
        error = strcmp(argv[index], "second") == 0 ? classify_elsewhere(window, &result)
                                                   : run_classifier(&signal, &result);
        print(error, &result);
    }
    return 0;
}
