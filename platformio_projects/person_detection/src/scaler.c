#include "scaler.h"

#include <stddef.h>
#include <string.h>

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

int scaler_start(struct scaler *scaler, struct camera *camera)
{
    memset(scaler, 0, sizeof *scaler);
    scaler->camera = camera;
    scaler->size = smaller(camera->width, camera->height);
    scaler->left = (camera->width - scaler->size) / 2;
    scaler->next = (camera->height - scaler->size) / 2;
    return scaler->size < 1 || camera->width > CAMERA_LARGEST || camera->height > CAMERA_LARGEST;
}

/* What each of the net's pixels gets of a line: its pixels, times the units of them that it covers. */
static void add_up(struct scaler *scaler, const uint8_t *pixel)
{
    int part = SCALER_SIDE;
    for (int x = 0; x < SCALER_SIDE; x++) {
        uint32_t sum = 0;
        int wanted = scaler->size;
        while (wanted > 0) {
            const int taken = smaller(part, wanted);
            sum += (uint32_t)taken * *pixel;
            wanted -= taken;
            part -= taken;
            if (part == 0) {
                pixel++;
                part = SCALER_SIDE;
            }
        }
        scaler->line[x] = sum;
    }
}

static int make_row(struct scaler *scaler, int8_t *dst)
{
    const uint32_t area = (uint32_t)(scaler->size * scaler->size);
    int wanted = scaler->size;
    memset(scaler->sums, 0, sizeof scaler->sums);
    while (wanted > 0) {
        if (scaler->part == 0) {
            const uint8_t *line = scaler->camera->line(scaler->camera, scaler->next);
            if (line == NULL) {
                return 1;
            }
            add_up(scaler, line + scaler->left);
            scaler->next++;
            scaler->part = SCALER_SIDE;
        }
        const int taken = smaller(scaler->part, wanted);
        for (int x = 0; x < SCALER_SIDE; x++) {
            scaler->sums[x] += (uint32_t)taken * scaler->line[x];
        }
        scaler->part -= taken;
        wanted -= taken;
    }
    for (int x = 0; x < SCALER_SIDE; x++) {
        dst[x] = (int8_t)((int)((scaler->sums[x] + area / 2) / area) - 128);
    }
    return 0;
}

int scaler_rows(void *user, int8_t *dst, int row, int count)
{
    (void)row; /* they come from the top, each once */
    for (; count > 0; count--, dst += SCALER_SIDE) {
        if (make_row(user, dst) != 0) {
            return 1;
        }
    }
    return 0;
}
