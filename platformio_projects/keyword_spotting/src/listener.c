#include "listener.h"

#include <string.h>

/* Of 255: the average score from which a word counts as said. */
enum { CLEAR = 180 };

void listener_init(struct listener *listener)
{
    memset(listener, 0, sizeof *listener);
    mel_init(&listener->mel);
    memset(listener->rows, -128, sizeof listener->rows);
    memset(listener->scores, -128, sizeof listener->scores);
    listener->heard = LISTENER_EVERY - LISTENER_ROWS;
}

/* The net takes its input row by row, oldest first, right from the ring. */
static int next_rows(void *user, int8_t *dst, int row, int count)
{
    const struct listener *listener = user;
    for (; count > 0; count--, row++, dst += MEL_BANDS) {
        const int place = (listener->oldest + row) % LISTENER_ROWS;
        memcpy(dst, listener->rows[place], MEL_BANDS);
    }
    return 0;
}

const int8_t *listener_look(struct listener *listener)
{
    listener->error = keywords_invoke_rows(next_rows, listener);
    return listener->error ? NULL : keywords_output(0);
}

/* The word with the highest average score, or -1 where it is no command or not clear. */
static int vote(struct listener *listener, const int8_t *scores)
{
    int best = 0;
    int sums[LISTENER_WORDS] = {0};
    memcpy(listener->scores[listener->looks % LISTENER_VOTES], scores, LISTENER_WORDS);
    listener->looks++;
    for (int word = 0; word < LISTENER_WORDS; word++) {
        for (int turn = 0; turn < LISTENER_VOTES; turn++) {
            sums[word] += listener->scores[turn][word] + 128;
        }
        best = sums[word] > sums[best] ? word : best;
    }
    if (listener->quiet > 0) {
        listener->quiet--;
        return -1;
    }
    if (best >= LISTENER_COMMANDS || sums[best] < CLEAR * LISTENER_VOTES) {
        return -1;
    }
    listener->quiet = LISTENER_QUIET;
    return best;
}

int listener_hear(struct listener *listener, const int16_t *samples, int32_t count)
{
    int said = -1;
    while (count > 0) {
        int ready;
        const int32_t taken =
            mel_push(&listener->mel, samples, count, listener->rows[listener->oldest], &ready);
        samples += taken;
        count -= taken;
        if (!ready) {
            continue;
        }
        listener->oldest = (listener->oldest + 1) % LISTENER_ROWS;
        if (++listener->heard == LISTENER_EVERY) {
            const int8_t *scores = listener_look(listener);
            const int word = scores != NULL ? vote(listener, scores) : -1;
            said = word >= 0 ? word : said;
            listener->heard = 0;
        }
    }
    return said;
}
