#include "detector.h"

#include <string.h>

void detector_init(struct detector *detector)
{
    memset(detector, 0, sizeof *detector);
}

int detector_look(struct detector *detector, struct camera *camera)
{
    detector->error = scaler_start(&detector->scaler, camera);
    if (detector->error == 0) {
        detector->error = person_invoke_rows(scaler_rows, &detector->scaler);
    }
    if (detector->error != 0) {
        return -1;
    }
    const int8_t *scores = person_output(0);
    detector->average = (detector->average + scores[1] + 128 + 1) / 2;
    if (detector->average >= DETECTOR_COMES) {
        detector->present = 1;
    } else if (detector->average < DETECTOR_GOES) {
        detector->present = 0;
    }
    return detector->present;
}
