"""Safe distances of stages that make some columns at a time (`patch_split.columns`).

Such a stage does one *event* after the other: a step's part, in which every op makes its columns
of its rows. What an event writes ends at some byte of its buffer; what it and later events read of
an outside input begins at some byte. If the stage reads that input for the last time, a buffer
that the stage fills may lie over it as long as, at every event,

    offset(input) + lowest byte still read  >=  offset(buffer) + end of the bytes written

That holds whatever the order within an event, so nothing need be known of kernels. The buffer is a
result, or the ring of an inner tensor: its slots are filled one after the other, when the input's
head is dead already.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tflm_opt.graph.ir import Tensor
from tflm_opt.patch_split.columns import ColumnWalk, pixel_bytes
from tflm_opt.patch_split.regions import COLUMN_AXIS, NEVER, RowReach, column_reaches, row_reaches


def column_distance(columns: ColumnWalk, target: Tensor, sources: Sequence[Tensor]) -> int | None:
    """Bytes that a buffer of the stage must begin below an outside input to lie over it.

    Example:
        >>> column_distance(c, project.output, [expand.inputs[0]])
        320

    Args:
        columns: the stage's.
        target: a result, or an inner tensor whose ring is meant.
        sources: outside tensors in one buffer, all from its beginning, that nobody reads later.

    Returns:
        None if an op reads one of them whole. Below 0, the buffer may even begin above the input.
    """
    later = still_read(columns, sources)
    return None if later is None else distance_over(columns, target, later)


def distance_over(columns: ColumnWalk, target: Tensor, later: np.ndarray) -> int:
    """`column_distance` from what `still_read` gives, for several buffers over one input."""
    ends = _ring_ends(columns, target) if target in columns.lines else _ends(columns, target)
    written = _in_order(columns, ends)
    gaps = np.where((written > 0) & (later < NEVER), written - later, -NEVER)
    return int(gaps.max(initial=-NEVER))


def still_read(columns: ColumnWalk, sources: Sequence[Tensor]) -> np.ndarray | None:
    """By event, in order: the lowest byte of the sources that it or a later one reads, or NEVER.

    None if an op reads one of them whole.
    """
    low = _lowest_reads(columns, sources)
    return None if low is None else np.minimum.accumulate(_in_order(columns, low)[::-1])[::-1]


def _in_order(columns: ColumnWalk, table: np.ndarray) -> np.ndarray:
    """A table of (steps, parts) as events, one after the other."""
    return (table if columns.kept else table.T).ravel()


def _lowest_reads(columns: ColumnWalk, sources: Sequence[Tensor]) -> np.ndarray | None:
    """int64 (steps, parts): the lowest byte of the sources that an event reads, or NEVER."""
    walk = columns.walk
    found = np.full((walk.steps, columns.parts), NEVER, np.int64)
    for op in walk.stage.ops:
        for tensor, row, column in zip(op.inputs, row_reaches(op), column_reaches(op), strict=True):
            if tensor is None or tensor not in sources:
                continue
            if row is None or column is None:
                return None
            made = walk.made[op.outputs[0]]
            pixel = pixel_bytes(tensor)
            rows = lows(row, made[:-1], made[1:])
            parts = lows(column, *columns.made[op.outputs[0]].T)
            place = rows[:, None] * tensor.shape[COLUMN_AXIS] + parts[None, :]
            some = (rows[:, None] < NEVER) & (parts[None, :] < NEVER)
            found = np.where(some, np.minimum(found, place * pixel), found)
    return found


def lows(reach: RowReach, starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """The lowest place that each range of places or a later place reads; NEVER for no places.

    Later ranges are read later anyway.
    """
    lowest = reach.lowest_from(int(stops.max(initial=0)))
    return np.where(starts < stops, lowest[np.minimum(starts, stops)], NEVER)


def _ends(columns: ColumnWalk, result: Tensor) -> np.ndarray:
    """int64 (steps, parts): the end of the bytes of a result that an event writes; 0 for none."""
    rows, parts = columns.walk.made[result], columns.made[result]
    pixel, width = pixel_bytes(result), result.shape[COLUMN_AXIS]
    end = (rows[1:, None] - 1) * width + parts[None, :, 1]
    works = (rows[1:] > rows[:-1])[:, None] & (parts[:, 1] > parts[:, 0])[None, :]
    return np.where(works, end * pixel, 0)


def _ring_ends(columns: ColumnWalk, inner: Tensor) -> np.ndarray:
    """The same of a ring: where the highest of the slots that an event fills ends."""
    lines, rows = columns.lines[inner], columns.walk.made[inner]
    if lines.ring_rows == 0:
        return np.zeros((columns.walk.steps, columns.parts), np.int64)
    count = lines.ring_rows
    first = np.maximum(rows[:-1], rows[1:] - count)
    # Of rows that go once round the ring, one is in its last slot.
    top = np.where(first // count < rows[1:] // count, count - 1, (rows[1:] - 1) % count)
    top = np.where(rows[1:] > rows[:-1], top, -1)
    if lines.front_rows:
        width = columns.lowest[inner][1:]
    else:
        width = columns.made[inner][:, 1] - columns.made[inner][:, 0]
    end = (top[:, None] * lines.ring_columns + width[None, :]) * lines.pixel
    return np.where(top[:, None] >= 0, end, 0)
