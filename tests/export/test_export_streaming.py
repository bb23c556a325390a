"""A streamed input, row by row: however its rows come, and if they stop coming."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from saved_model import run, saved

from tflm_opt.export import export_saved

# Rows in pieces of `piece` bytes, as a driver's buffer has them, or a whole call's at once (0);
# none from row `last` on. `next` proves that rows are asked for from the top, each once.
FEED = """\
#include "small.h"
#include "vectors.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROW = SMALL_INPUT0_SIZE / 12, ROWS = 12 };
struct feed { const unsigned char *data; int piece, last, next, calls; };

static int next_rows(void *user, int8_t *dst, int row, int count)
{
    struct feed *feed = user;
    int at, size = count * ROW;
    if (row != feed->next || count < 1) { exit(50); }
    feed->calls++;
    if (row + count > feed->last) { return 5; }
    feed->next += count;
    for (at = 0; at < size;) {
        int bytes = feed->piece && feed->piece < size - at ? feed->piece : size - at;
        memcpy(dst + at, feed->data + row * ROW + at, (size_t)bytes);
        at += bytes;
    }
    return 0;
}

static int call(int vector, int piece, int last)
{
    struct feed feed = {vector_inputs[vector], piece, last, 0, 0};
    int status = small_invoke_rows(next_rows, &feed);
    if (!status && feed.next != ROWS) { exit(51); }
    if (status && !feed.calls) { exit(52); }
    return status;
}

static int right(int vector)
{
    return !memcmp(small_output(0), vector_outputs[vector], VECTOR_OUTPUT);
}

int main(void)
{
    static const int pieces[] = {0, 1, 5, ROW - 1, ROW, ROW + 7};
    unsigned i;
    int vector, last, stopped = 0;
    if (small_init()) { return 1; }
    for (vector = 0; vector < VECTOR_COUNT; vector++) {
        for (i = 0; i < sizeof pieces / sizeof *pieces; i++) {
            if (call(vector, pieces[i], ROWS) || !right(vector)) { return 2; }
        }
    }
    for (last = 0; last < ROWS; last++) { /* whichever row fails, the next call is as ever */
        vector = last % VECTOR_COUNT;
        stopped += call(vector, 0, last) == -1;
        if (call(vector, 0, ROWS) || !right(vector)) { return 3; }
    }
    printf("%d stopped\\n", stopped);
    return 0;
}
"""


def test_rows_in_any_pieces_and_a_source_that_fails(tmp_path: Path) -> None:
    out = export_saved(saved(streamed=True), "c", tmp_path / "p")
    (tmp_path / "feed.c").write_text(FEED)
    sources = [tmp_path / "feed.c", out / "test" / "vectors.c", *out.rglob("src/**/*.c")]
    include = (f"-I{out / 'include'}", f"-I{out / 'test'}")
    run(
        "cc",
        "-std=c99",
        "-O1",
        "-fsanitize=address,undefined",
        *include,
        *sources,
        "-lm",
        "-o",
        tmp_path / "feed",
    )
    assert run(tmp_path / "feed") == "12 stopped\n"
