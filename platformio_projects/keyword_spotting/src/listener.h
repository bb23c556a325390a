/* Hears words in a stream of samples: front end, a second of features, net, and a vote. */
#ifndef LISTENER_H
#define LISTENER_H

#include <stdint.h>

#include "keywords.h"
#include "mel.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    LISTENER_ROWS = 49,  /* of features that the net sees: a second */
    LISTENER_EVERY = 5,  /* rows from a look at them to the next: 100 ms */
    LISTENER_VOTES = 3,  /* looks that a word's scores are averaged over */
    LISTENER_QUIET = 8,  /* looks after a word in which none is reported */
    LISTENER_WORDS = KEYWORDS_OUTPUT0_LENGTH,
    LISTENER_COMMANDS = LISTENER_WORDS - 2 /* the last two are silence and unknown */
};

struct listener {
    mel_state mel;
    int8_t rows[LISTENER_ROWS][MEL_BANDS]; /* a ring */
    int8_t scores[LISTENER_VOTES][LISTENER_WORDS];
    int oldest; /* row of the ring */
    int heard;  /* rows since the last look; before the ring is full, negative */
    int looks;
    int quiet;
    int error; /* of the net; 0 where all went well */
};

void listener_init(struct listener *listener);

/*
 * Hear samples, any number of them: the command that was said (an index below LISTENER_COMMANDS) as
 * soon as the vote is clear, or -1. All samples are heard in any case.
 */
int listener_hear(struct listener *listener, const int16_t *samples, int32_t count);

/* Run the net on the rows that are there: its scores, or NULL where it failed. */
const int8_t *listener_look(struct listener *listener);

#ifdef __cplusplus
}
#endif

#endif
