/* Looks for people in a camera's frames: scaler, net, and an average that steadies the answer. */
#ifndef DETECTOR_H
#define DETECTOR_H

#include "person.h"
#include "scaler.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    DETECTOR_COMES = 160, /* of 255: the average score from which somebody is there */
    DETECTOR_GOES = 96    /* and below which nobody is */
};

struct detector {
    struct scaler scaler;
    int average; /* score of "person", 0 to 255 */
    int present;
    int error; /* of the last look; 0 where all went well */
};

void detector_init(struct detector *detector);

/* Looks at a frame: 1 if somebody is there, 0 if nobody is, -1 where the camera or the net failed. */
int detector_look(struct detector *detector, struct camera *camera);

#ifdef __cplusplus
}
#endif

#endif
