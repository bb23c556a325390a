/* Where frames come from, a line at a time: a camera's buffer, or stored frames. */
#ifndef CAMERA_H
#define CAMERA_H

#include <stdint.h>

enum { CAMERA_LARGEST = 4096 }; /* pixels of a side */

struct camera {
    int width; /* of a frame; a pixel is a byte, 0 black to 255 white */
    int height;
    /* Line y, valid until the next call, or NULL to stop: they are asked for from the top, each once. */
    const uint8_t *(*line)(struct camera *camera, int y);
    const uint8_t *frame; /* for cameras that have one whole: what camera_frame_line reads */
};

static inline const uint8_t *camera_frame_line(struct camera *camera, int y)
{
    return camera->frame + (long)y * camera->width;
}

#endif
