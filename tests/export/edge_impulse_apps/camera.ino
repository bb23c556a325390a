// Camera frames on an Arduino board, in the style of Edge Impulse's camera examples.
#include <small_inferencing.h>
#include "edge-impulse-sdk/dsp/image/image.hpp"

#include "camera.h"

#if EI_CLASSIFIER_SENSOR != EI_CLASSIFIER_SENSOR_CAMERA
#error "Invalid model for current sensor."
#endif

#define EI_CAMERA_RAW_FRAME_BUFFER_COLS 32
#define EI_CAMERA_RAW_FRAME_BUFFER_ROWS 24
#define EI_CAMERA_FRAME_BYTE_SIZE 3

static bool debug_nn = false;
static uint8_t *snapshot_buf; // RGB888: the frame, then what is left of it

static int ei_camera_get_data(size_t offset, size_t length, float *out_ptr);

void setup()
{
    Serial.begin(115200);
    ei_printf("Starting inference\n");
}

void loop()
{
    snapshot_buf = (uint8_t *)malloc(EI_CAMERA_RAW_FRAME_BUFFER_COLS *
                                     EI_CAMERA_RAW_FRAME_BUFFER_ROWS * EI_CAMERA_FRAME_BYTE_SIZE);
    if (snapshot_buf == nullptr) {
        ei_printf("ERR: Failed to allocate snapshot buffer!\n");
        return;
    }
    camera_capture(snapshot_buf);
    if (EI_CAMERA_RAW_FRAME_BUFFER_COLS != EI_CLASSIFIER_INPUT_WIDTH ||
        EI_CAMERA_RAW_FRAME_BUFFER_ROWS != EI_CLASSIFIER_INPUT_HEIGHT) {
        ei::image::processing::crop_and_interpolate_rgb888(
            snapshot_buf, EI_CAMERA_RAW_FRAME_BUFFER_COLS, EI_CAMERA_RAW_FRAME_BUFFER_ROWS,
            snapshot_buf, EI_CLASSIFIER_INPUT_WIDTH, EI_CLASSIFIER_INPUT_HEIGHT);
    }

    ei::signal_t signal;
    signal.total_length = EI_CLASSIFIER_INPUT_WIDTH * EI_CLASSIFIER_INPUT_HEIGHT;
    signal.get_data = &ei_camera_get_data;

    ei_impulse_result_t result = {};
    EI_IMPULSE_ERROR err = run_classifier(&signal, &result, debug_nn);
    if (err != EI_IMPULSE_OK) {
        ei_printf("ERR: Failed to run classifier (%d)\n", err);
        return;
    }
    ei_printf("Predictions (DSP: %d ms., Classification: %d ms., Anomaly: %d ms.): \n",
              result.timing.dsp, result.timing.classification, result.timing.anomaly);
#if EI_CLASSIFIER_OBJECT_DETECTION == 1
    for (uint32_t i = 0; i < result.bounding_boxes_count; i++) {
        ei_impulse_result_bounding_box_t bb = result.bounding_boxes[i];
        if (bb.value == 0) {
            continue;
        }
        ei_printf("  %s [ x: %u, y: %u ]\n", bb.label, (unsigned)bb.x, (unsigned)bb.y);
    }
#else
    for (uint16_t i = 0; i < EI_CLASSIFIER_LABEL_COUNT; i++) {
        ei_printf("  %s: ", ei_classifier_inferencing_categories[i]);
        ei_printf_float(result.classification[i].value);
        ei_printf("\n");
    }
#endif
    free(snapshot_buf);
}

static int ei_camera_get_data(size_t offset, size_t length, float *out_ptr)
{
    size_t pixel_ix = offset * 3;
    for (size_t i = 0; i < length; i++, pixel_ix += 3) {
        out_ptr[i] = (snapshot_buf[pixel_ix] << 16) + (snapshot_buf[pixel_ix + 1] << 8) +
                     snapshot_buf[pixel_ix + 2];
    }
    return 0;
}
