/*
 * The middle square of a camera's frames, scaled to what the net sees, row by row: no frame is ever
 * whole in memory unless the camera keeps one. In integers, with the bits of people.scale in Python.
 */
#ifndef SCALER_H
#define SCALER_H

#include "camera.h"

enum { SCALER_SIDE = 96 };

struct scaler {
    struct camera *camera;
    int size; /* of the square; a camera's pixel is SCALER_SIDE units wide, a net's pixel `size` */
    int left;
    int next; /* line of the camera */
    int part; /* units of the last line that no row has yet */
    uint32_t line[SCALER_SIDE];
    uint32_t sums[SCALER_SIDE];
};

/* For each frame. Returns 0, or 1 for a camera whose frames are empty or too large. */
int scaler_start(struct scaler *scaler, struct camera *camera);

/* Hands rows to the net: a callback, `user` is the scaler. Returns 0, or 1 when the camera stops. */
int scaler_rows(void *user, int8_t *dst, int row, int count);

#endif
