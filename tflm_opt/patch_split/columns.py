"""How a stage makes some columns at a time: what of every row, in which order, and in which memory.

With whole rows, a window of k rows over a tensor holds all k of them, though of the newest rows
only a few columns are read at a time, and of the oldest ones the columns behind are dead already.
So, within each step, the stage may go from left to right in *parts*: every op makes the columns
that the next columns of the last op ask for. A tensor then has two pieces of memory:

    ring     rows from earlier steps that are needed again, whole: of a 3x3 window two rows
    front    the columns of this step's rows that are read now or again

    rows y-2   [rrrrrrrrrrrrrrrrrrrrrrrrr]      r: in the ring, still needed
    rows y-1   [rrrrrrrrrrrrrrrrrrrrrrrrr]
    row  y     [nnnnnnnnnnfff            ]      f: in the front, n: already in the ring, over the
                          ^ next part           columns of row y-2 that nobody reads any more

Columns that leave the front take the place of the row that they replace in the ring. All that is
computed is computed once.

Or the stage runs in *strips*: all steps for the first columns, then all for the next ones. Then
the rows in memory are only as wide as a strip, and the columns that two strips both read are
computed twice.

The front is the pixel-wise shift of line buffers in image hardware, which vMCU (MLSys 2024) does
for single layers in software; strips are the patches of MCUNetV2 (Lin et al., 2021), but for the
kept rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np

from tflm_opt.graph.ir import Op, Tensor
from tflm_opt.patch_split.regions import (
    COLUMN_AXIS,
    NEVER,
    NotStreamable,
    RowReach,
    column_reaches,
)
from tflm_opt.patch_split.walk import Walk

# The ops that read a tensor in a stage, and which columns.
_Readers = Mapping[Tensor, list[tuple[Op, RowReach]]]


@dataclass(frozen=True, slots=True)
class Lines:
    """The memory of a tensor inside a stage that makes some columns at a time.

    Attributes:
        pixel: bytes of a pixel.
        ring_rows, ring_columns: of the ring; no rows where nothing is kept from step to step.
        front_rows, front_columns: of the front; no rows where new rows go to the ring at once.
        rows_kept: whether rows stay from one step to the next, or at least for all its parts.
        columns_kept: whether columns stay in the front from one part to the next.
    """

    pixel: int
    ring_rows: int
    ring_columns: int
    front_rows: int
    front_columns: int
    rows_kept: bool
    columns_kept: bool

    @property
    def ring_bytes(self) -> int:
        """Bytes of the ring."""
        return self.ring_rows * self.ring_columns * self.pixel

    @property
    def front_bytes(self) -> int:
        """Bytes of the front."""
        return self.front_rows * self.front_columns * self.pixel


@dataclass(frozen=True, slots=True, eq=False)
class ColumnWalk:
    """The columns of a stage, part by part.

    Attributes:
        walk: its rows, step by step.
        kept: parts within each step; if not, steps within each part.
        parts: how many.
        made: by tensor that is made in the stage: int64 (parts, 2), the columns [a, b) that a
            part makes.
        lowest: by tensor with a front: int64 (parts + 1,), the column that the front begins with
            in a part; the last entry is where the tensor ends.
        lines: the memory of inner tensors (a streamed input too).
    """

    walk: Walk
    kept: bool
    parts: int
    made: Mapping[Tensor, np.ndarray]
    lowest: Mapping[Tensor, np.ndarray]
    lines: Mapping[Tensor, Lines]

    @property
    def rings(self) -> tuple[Tensor, ...]:
        """Tensors made by ops of the stage that have a ring and keep rows in it."""
        return tuple(
            t
            for t, lines in self.lines.items()
            if lines.ring_rows and lines.rows_kept and t is not self.walk.source
        )


def pixel_bytes(tensor: Tensor) -> int:
    """Bytes of one pixel of an NHWC tensor.

    >>> pixel_bytes(Tensor("x", (1, 96, 96, 3), "int8"))
    3
    """
    return prod(tensor.shape[COLUMN_AXIS + 1 :]) * tensor.itemsize


def column_walk(walk: Walk) -> ColumnWalk:
    """The columns of a stage whose `columns` are set.

    Example:
        >>> c = column_walk(walk(graph, Stage((expand, depthwise), 1, Columns(2))))
        >>> c.parts, c.lines[expand.output].front_columns
        (10, 4)

    Raises:
        NotStreamable: an op that can't make some columns of its rows, or that needs more of them
            than a strip can give.
        ValueError: the stage has no columns.
    """
    columns = walk.stage.columns
    if columns is None:
        raise ValueError("a stage without columns has no parts to walk")
    last = walk.stage.ops[-1]
    if walk.summed is not None:
        raise NotStreamable(last, "it needs whole rows for its running sums")
    readers = _readers(walk)
    width = last.outputs[0].shape[COLUMN_AXIS]
    parts = -(-width // columns.width)
    ends = np.minimum(np.arange(1, parts + 1, dtype=np.int64) * columns.width, width)
    made = _kept(walk, readers, ends) if columns.kept else _strips(walk, readers, ends)
    inner = [t for t in walk.windows if t is not walk.source]
    needed = {t: _needed(t, readers, made, parts) for t in inner}
    lines = {t: _lines(t, walk, made[t], needed[t], columns.kept) for t in inner}
    if walk.source is not None:
        lines[walk.source] = _source_lines(walk.source, walk)
    lowest = {t: needed[t] for t in inner if lines[t].front_rows}
    return ColumnWalk(walk, columns.kept, parts, made, lowest, lines)


def _kept(walk: Walk, readers: _Readers, ends: np.ndarray) -> dict[Tensor, np.ndarray]:
    """From left to right: every part makes what its readers ask for and is not there yet."""
    parts = ends.size
    until: dict[Tensor, np.ndarray] = {}
    last = walk.stage.ops[-1]
    for op in reversed(walk.stage.ops):
        asked = [_asked(t, op is last, walk, readers, ends, until) for t in op.outputs]
        most = np.max(np.array(asked), axis=0)
        for tensor in op.outputs:
            until[tensor] = most
    return {
        t: np.stack([np.concatenate([[0], end[: parts - 1]]), end], axis=1)
        for t, end in until.items()
    }


def _asked(
    tensor: Tensor,
    last: bool,
    walk: Walk,
    readers: _Readers,
    ends: np.ndarray,
    until: Mapping[Tensor, np.ndarray],
) -> np.ndarray:
    """Columns of a tensor that exist after each part, at least."""
    if last:
        return ends
    width, parts = tensor.shape[COLUMN_AXIS], ends.size
    found = np.zeros(parts, np.int64)
    if tensor in walk.results:
        found = -(-width * np.arange(1, parts + 1, dtype=np.int64) // parts)
    for op, reach in readers.get(tensor, ()):
        end = until[op.outputs[0]]
        found = np.maximum(found, reach.highest_until(int(end[-1]))[end])
    return found


def _readers(walk: Walk) -> _Readers:
    found: dict[Tensor, list[tuple[Op, RowReach]]] = {}
    for op in walk.stage.ops:
        for source, reach in zip(op.inputs, column_reaches(op), strict=True):
            if source is not None and reach is not None:
                found.setdefault(source, []).append((op, reach))
    return found


def _strips(walk: Walk, readers: _Readers, ends: np.ndarray) -> dict[Tensor, np.ndarray]:
    """Every part makes all that its columns of the last op's output need."""
    ops = walk.stage.ops
    if walk.source is not None:
        raise NotStreamable(ops[0], "rows of a streamed input come once, and not for every strip")
    starts = np.concatenate([[0], ends[:-1]])
    made = dict.fromkeys(ops[-1].outputs, np.stack([starts, ends], axis=1))
    for op in reversed(ops[:-1]):
        if any(t in walk.results for t in op.outputs):
            raise NotStreamable(op, "others read its output, which strips would make in pieces")
        needs = [
            [reach.needs(int(a), int(b)) for a, b in made[reader.outputs[0]]]
            for t in op.outputs
            for reader, reach in readers.get(t, ())
        ]
        table = np.array(needs, np.int64)
        some = table[:, :, 0] < table[:, :, 1]
        first = np.where(some, table[:, :, 0], NEVER).min(axis=0)
        stop = np.where(some, table[:, :, 1], 0).max(axis=0)
        made.update(dict.fromkeys(op.outputs, np.stack([np.minimum(first, stop), stop], axis=1)))
    return made


def _needed(
    tensor: Tensor,
    readers: _Readers,
    made: Mapping[Tensor, np.ndarray],
    parts: int,
) -> np.ndarray:
    """The lowest column that a part or a later one reads, no more than what is made before."""
    lowest = np.full(parts, NEVER, np.int64)
    for op, reach in readers.get(tensor, ()):
        columns = made[op.outputs[0]]
        total = int(columns[-1, 1])
        lowest = np.minimum(lowest, reach.lowest_from(total)[columns[:, 0]])
    before = made[tensor][:, 0]
    return np.append(np.minimum(lowest, before), made[tensor][-1, 1])


def _lines(tensor: Tensor, walk: Walk, made: np.ndarray, needed: np.ndarray, kept: bool) -> Lines:
    pixel = pixel_bytes(tensor)
    window = walk.windows[tensor]
    if not kept:
        wide = int((made[:, 1] - made[:, 0]).max())
        return Lines(pixel, window.capacity, wide, 0, 0, window.kept, False)
    rows, low = walk.made[tensor], walk.needed[tensor]
    again = rows[1:-1] - np.minimum(low[1:-1], rows[1:-1])
    ring = int(again.max(initial=0))
    fresh = int((rows[1:] - rows[:-1]).max())
    wide = int((made[:, 1] - needed[:-1]).max())
    moving = bool((needed[1:-1] < made[:-1, 1]).any())
    return Lines(pixel, ring, int(made[-1, 1]), fresh, wide, ring > 0, moving)


def _source_lines(source: Tensor, walk: Walk) -> Lines:
    """A streamed input comes in whole rows, and every part of a step reads of them."""
    rows, width = walk.windows[source].capacity, source.shape[COLUMN_AXIS]
    return Lines(pixel_bytes(source), rows, width, 0, 0, True, False)
