#include <stdint.h>

void camera_capture(uint8_t *rgb);
