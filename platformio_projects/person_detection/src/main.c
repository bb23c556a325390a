/*
 * Looks at six frames as a camera delivers them, line by line, and says whether every score is the
 * one that TFLM gives for the picture that Python scaled. Then it watches them as a film.
 */
#ifndef ARDUINO /* there, arduino.cpp is the program */

#include <stdio.h>
#include <string.h>

#include "detector.h"
#include "examples.h"

volatile int person_failures = -1; /* for a debugger */

static struct detector detector;

#ifdef TFLM_OPT_QEMU
#include "harness.h"

static uint8_t frame[FRAME_HEIGHT * FRAME_WIDTH];
static struct camera memory = {FRAME_WIDTH, FRAME_HEIGHT, camera_frame_line, frame};

static void *frame_input(int index)
{
    return index == 0 ? frame : NULL;
}

static int nothing(void)
{
    return 0;
}

static int one_look(void)
{
    return detector_look(&detector, &memory) < 0;
}

static int one_scaling(void)
{
    static int8_t row[SCALER_SIDE];
    int failed = scaler_start(&detector.scaler, &memory);
    for (int y = 0; y < SCALER_SIDE; y++) {
        failed |= scaler_rows(&detector.scaler, row, y, 1);
    }
    return failed;
}

static const size_t frame_size[] = {sizeof frame};
static const size_t scores_size[] = {SCORE_COUNT};
static const struct harness_model whole = {
    nothing, frame_input, one_look, person_output, 1, 1, frame_size, scores_size,
};
static const struct harness_model scaling = {.invoke = one_scaling};
#endif

static void show(const uint8_t *picture)
{
    for (int y = 0; y < FRAME_HEIGHT; y += 9) {
        for (int x = 0; x < FRAME_WIDTH; x += 4) {
            putchar(" .:-=+*#"[picture[y * FRAME_WIDTH + x] / 32]);
        }
        putchar('\n');
    }
}

static void watch(void)
{
    detector_init(&detector);
    printf("as a film:");
    for (int index = 0; index < EXAMPLE_COUNT * 3; index++) { /* each for three frames */
        const uint8_t *shown = examples[index / 3].frame;
        struct camera camera = {FRAME_WIDTH, FRAME_HEIGHT, camera_frame_line, shown};
        const int before = detector.present;
        const int now = detector_look(&detector, &camera);
        if (now != before) {
            printf(" somebody %s,", now ? "comes" : "goes");
        }
    }
    printf(" and it ends\n");
}

int main(void)
{
    int failures = person_init() != 0;
#ifdef TFLM_OPT_QEMU
    if (harness_serve(&whole)) { /* the host left its own frames in a file */
        return 0;
    }
#endif
    for (int index = 0; index < EXAMPLE_COUNT; index++) {
        const struct example *example = &examples[index];
        struct camera camera = {FRAME_WIDTH, FRAME_HEIGHT, camera_frame_line, example->frame};
        detector_init(&detector);
        const int failed = detector_look(&detector, &camera) < 0;
        const int8_t *scores = person_output(0);
        const int wrong = failed || memcmp(scores, example->scores, SCORE_COUNT) != 0;
        show(example->frame);
        printf("%s, score %d of 255, %s\n\n", example->person ? "somebody" : "nobody",
               scores[1] + 128, wrong ? "FAIL: not TFLM's" : "as TFLM's");
        failures += wrong;
    }
    watch();
#ifdef TFLM_OPT_QEMU
    printf("instructions: %lu a frame, %lu of them to scale it\n",
           (unsigned long)harness_instructions(&whole),
           (unsigned long)harness_instructions(&scaling));
#endif
    printf("%s: %d of %d frames\n", failures ? "FAIL" : "PASS", EXAMPLE_COUNT - failures,
           EXAMPLE_COUNT);
    person_failures = failures;
    return failures != 0;
}

#endif
