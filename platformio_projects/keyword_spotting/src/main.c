/*
 * Listens to six clips, from samples to words, and says whether every score is the one that TFLM gives
 * for features computed in Python. Then it hears all of them as one stream, as from a microphone.
 */
#ifndef ARDUINO /* there, arduino.cpp is the program */

#include <stdio.h>
#include <string.h>

#include "examples.h"
#include "listener.h"

volatile int keywords_failures = -1; /* for a debugger */

static struct listener listener;
static int8_t scores[SCORE_COUNT];

#ifdef TFLM_OPT_QEMU
#include "harness.h"

static int16_t clip[CLIP];
static int8_t row[MEL_BANDS];

static void *clip_input(int index)
{
    return index == 0 ? clip : NULL;
}

static const void *scores_output(int index)
{
    return index == 0 ? scores : NULL;
}

static int hear_clip(void);
static int nothing(void)
{
    return 0;
}

static int one_row(void)
{
    mel_row(&listener.mel, clip, row);
    return 0;
}

static int one_look(void)
{
    return listener_look(&listener) == NULL;
}

static const size_t clip_size[] = {sizeof clip};
static const size_t scores_size[] = {sizeof scores};
static const struct harness_model whole = {
    nothing, clip_input, hear_clip, scores_output, 1, 1, clip_size, scores_size,
};
static const struct harness_model front_end = {.invoke = one_row};
static const struct harness_model net = {.invoke = one_look};
#endif

/* The scores for a second of sound, into `scores`. */
static int hear(const int16_t *samples)
{
    const int8_t *found;
    listener_init(&listener);
    listener_hear(&listener, samples, CLIP);
    found = listener_look(&listener);
    if (found == NULL) {
        return 1;
    }
    memcpy(scores, found, sizeof scores);
    return 0;
}

#ifdef TFLM_OPT_QEMU
static int hear_clip(void)
{
    return hear(clip);
}
#endif

static int best_score(void)
{
    int best = 0;
    for (int word = 1; word < SCORE_COUNT; word++) {
        best = scores[word] > scores[best] ? word : best;
    }
    return best;
}

int main(void)
{
    int failures = keywords_init() != 0;
#ifdef TFLM_OPT_QEMU
    if (harness_serve(&whole)) { /* the host left its own clips in a file */
        return 0;
    }
#endif
    for (int index = 0; index < EXAMPLE_COUNT; index++) {
        const struct example *example = &examples[index];
        const int failed = hear(example->samples);
        const int wrong = failed || memcmp(scores, example->scores, sizeof scores) != 0;
        printf("\"%s\" heard as \"%s\", %s\n", words[example->word], words[best_score()],
               wrong ? "FAIL: not with TFLM's scores" : "with TFLM's scores");
        failures += wrong;
    }
    printf("as one stream:");
    listener_init(&listener);
    for (int index = 0; index < EXAMPLE_COUNT; index++) {
        for (int at = 0; at < CLIP; at += 160) { /* as a microphone's buffer fills */
            const int word = listener_hear(&listener, examples[index].samples + at, 160);
            if (word >= 0) {
                printf(" %s", words[word]);
            }
        }
    }
    printf("\n");
#ifdef TFLM_OPT_QEMU
    printf("instructions: %lu a row of features, %lu a look\n",
           (unsigned long)harness_instructions(&front_end),
           (unsigned long)harness_instructions(&net));
#endif
    printf("%s: %d of %d words\n", failures ? "FAIL" : "PASS", EXAMPLE_COUNT - failures,
           EXAMPLE_COUNT);
    keywords_failures = failures;
    return failures != 0;
}

#endif
