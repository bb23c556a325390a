// An image from standard input through one function of ei::image::processing, to standard output:
// images FUNCTION WIDTH HEIGHT NEW_WIDTH NEW_HEIGHT BYTES IN_PLACE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edge-impulse-sdk/dsp/image/image.hpp"

using namespace ei::image::processing;

static uint8_t source[1 << 16], target[1 << 16];

int main(int argc, char **argv)
{
    if (argc != 8) {
        return 2;
    }
    const int width = atoi(argv[2]), height = atoi(argv[3]);
    const int new_width = atoi(argv[4]), new_height = atoi(argv[5]), bytes = atoi(argv[6]);
    const size_t size = fread(source, 1, sizeof source, stdin);
    uint8_t *const out = atoi(argv[7]) ? source : target;
    int failed = -1;
    if (strcmp(argv[1], "resize") == 0) {
        failed = resize_image(source, width, height, out, new_width, new_height, bytes);
    } else if (strcmp(argv[1], "fit") == 0) {
        failed = crop_and_interpolate_image(source, width, height, out, new_width, new_height, bytes);
    } else if (strcmp(argv[1], "crop") == 0) {
        failed = crop_image_rgb888_packed(source, width, height, 2, 1, out, new_width, new_height);
    } else if (strcmp(argv[1], "yuv") == 0) {
        failed = yuv422_to_rgb888(out, source, (unsigned)size, BIG_ENDIAN_ORDER);
    }
    if (failed != 0) {
        return 3;
    }
    fwrite(out, (size_t)bytes, (size_t)(new_width * new_height), stdout);
    return 0;
}
