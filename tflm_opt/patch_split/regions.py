"""Receptive fields in rows: what an op must have of its inputs to make rows of its output.

The facts come from the op table (`graph.optable`, `Reach`); here they get what walking a stage
needs: which ops can run on rows at all, why not otherwise, and a straight line through the
receptive field that goes on above the first and below the last row. With it, a stage starts like
a pipeline: the first step doesn't ask every op for all rows that the first result needs, but
earlier steps, which make no result yet, bring the upper ops ahead row by row.

All intervals are half-open. Rows are places along axis 1 of an NHWC tensor.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from math import gcd

import numpy as np

from tflm_opt.errors import UnsupportedModel
from tflm_opt.graph.ir import Op, Tensor
from tflm_opt.graph.optable import OPS, ShapeError
from tflm_opt.graph.optable.lines import row_line
from tflm_opt.graph.optable.reach import Reach
from tflm_opt.graph.options import Padding, PoolOptions

ROW_AXIS = 1
COLUMN_AXIS = 2
# Above every row: "reads nothing".
NEVER = 1 << 40
# Kinds that may fold an image into a pixel row by row, and the bytes that they keep on the way for
# each byte of the pixel: a sum, or the greatest value so far.
FOLD_BYTES = {"AVERAGE_POOL_2D": 4, "MAX_POOL_2D": 1, "MEAN": 4, "REDUCE_MAX": 1, "SUM": 4}
# Ops with more rows out than in, or any other ratio.
STRETCHED = frozenset({"RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "TRANSPOSE_CONV"})
PADS = frozenset({"PAD", "PADV2"})
# What is computed from shapes alone, so that some rows of it are an op of the same kind. Kinds
# that are elementwise in the op table run on rows too.
ROW_KINDS = PADS | {
    "AVERAGE_POOL_2D",
    "CONCATENATION",
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "DEQUANTIZE",
    "FULLY_CONNECTED",
    "MAX_POOL_2D",
    "MEAN",
    "QUANTIZE",
    "REDUCE_MAX",
    "REDUCE_MIN",
    "RESIZE_BILINEAR",
    "RESIZE_NEAREST_NEIGHBOR",
    "SOFTMAX",
    "SPLIT",
    "SUM",
    "TRANSPOSE_CONV",
}


# Those whose kernels read windows of rows that lie apart.
WINDOW_KINDS = frozenset({"AVERAGE_POOL_2D", "CONV_2D", "DEPTHWISE_CONV_2D", "MAX_POOL_2D"})


class NotStreamable(UnsupportedModel):
    """An op that can't run row by row: it ends the stage before it.

    Attributes:
        at: the op.
        reason: why, as a clause: "it needs all rows of its input at once".
    """

    def __init__(self, at: Op, reason: str) -> None:
        name = at.outputs[0].name if at.outputs else None
        super().__init__(reason, op=at.kind, tensor=name)
        self.at = at


@dataclass(frozen=True, slots=True, eq=False)
class RowReach:
    """Which rows of one input the rows of the output read.

    Attributes:
        starts, stops: int64, one an output row: it reads input rows [start, stop), clipped to
            the input; start ≥ stop where it reads padding only.
        size: rows of the input.
        stride, before, extent: output row i reads rows from `i * stride - before`, `extent` of
            them, padding included.
        unit, phase: of an op that stretches its image; output row i then reads from
            `(i * stride + phase) // unit - before`, or fewer rows in between.
    """

    starts: np.ndarray
    stops: np.ndarray
    size: int
    stride: int
    before: int
    extent: int
    unit: int = 1
    phase: int = 0

    def needs(self, a: int, b: int) -> tuple[int, int]:
        """Input rows [lo, hi) that output rows [a, b) read; (0, 0) if they read padding only."""
        read = self.starts[a:b] < self.stops[a:b]
        if not read.any():
            return 0, 0
        return int(self.starts[a:b][read].min()), int(self.stops[a:b][read].max())

    def padding(self, a: int, b: int) -> tuple[int, int]:
        """Rows of padding above and below the input rows that output rows [a, b) read."""
        lo, hi = self.needs(a, b)
        first, last = a * self.stride - self.before, (b - 1) * self.stride - self.before
        return max(0, lo - first), max(0, last + self.extent - hi)

    def ahead(self, rows: np.ndarray, unit: int = 1) -> np.ndarray:
        """Input rows from the top that the first `rows` output rows read, in units of 1 / unit.

        A straight line, not clipped: below 0 and above `size` where `rows` is far outside. Never
        less than what is needed.
        """
        last = ((rows - unit) * self.stride + self.phase * unit) // self.unit
        return last + (self.extent - self.before) * unit

    def edge(self, rows: np.ndarray) -> np.ndarray:
        """The first input row that the row after the first `rows` reads, padding included.

        On the same line: below 0 where padding is read, and never above what is read.
        """
        return (rows * self.stride + self.phase) // self.unit - self.before

    @property
    def sure(self) -> int:
        """Rows of the input that are there together whatever the band; 0 if that may be one."""
        slides = self.unit == 1 and self.stride < self.extent < self.size
        return self.extent if slides else 0

    def highest_until(self, total: int) -> np.ndarray:
        """int64 (total + 1,): where the input rows end that output rows [0, i) read."""
        highest = np.zeros(total + 1, np.int64)
        read = self.starts[:total] < self.stops[:total]
        highest[1:] = np.maximum.accumulate(np.where(read, self.stops[:total], 0))
        return highest

    def lowest_from(self, total: int) -> np.ndarray:
        """int64 (total + 1,): the lowest input row that output rows [i, total) read, or NEVER."""
        lowest = np.full(total + 1, NEVER, np.int64)
        read = self.starts[:total] < self.stops[:total]
        starts = np.where(read, self.starts[:total], NEVER)
        lowest[:total] = np.minimum.accumulate(starts[::-1])[::-1]
        return lowest


@lru_cache(maxsize=4096)
def row_reaches(op: Op) -> tuple[RowReach | None, ...]:
    """How rows of each input follow from rows of the output; one entry an input.

    None for inputs that every step reads whole: weights, constants, and one-row tensors that are
    broadcast over the rows (an SE block's gate).

    Example:
        >>> row_reaches(conv_3x3_same)[0].needs(1, 3)
        (0, 4)

    Raises:
        NotStreamable: the op can't be cut into rows.
    """
    spec = OPS.get(op.kind)
    if spec is None or not (op.kind in ROW_KINDS or spec.reach_word == "elementwise"):
        raise NotStreamable(op, "it can't be computed row by row")
    for tensor in op.outputs:
        _check_image(op, tensor, "output")
    if len({tensor.shape[ROW_AXIS] for tensor in op.outputs}) != 1:
        raise NotStreamable(op, "its outputs differ in rows")
    try:
        reaches = tuple(
            None if tensor is None else _reach(op, index, tensor, spec.reach(op, index, ROW_AXIS))
            for index, tensor in enumerate(op.inputs)
        )
    except ShapeError as error:
        raise NotStreamable(op, str(error)) from error
    if not any(reaches):
        raise NotStreamable(op, "it reads no rows")
    return reaches


@lru_cache(maxsize=4096)
def column_reaches(op: Op) -> tuple[RowReach | None, ...]:
    """As `row_reaches`, for columns, of ops that can make some pixels of a row.

    Those are windows over an image (`WINDOW_KINDS`), and ops that make a pixel of the pixels at
    the same place.

    Raises:
        NotStreamable: the op can't make its rows in parts.
    """
    rows = row_reaches(op)
    if op.kind in STRETCHED | PADS:
        raise NotStreamable(op, "it can't make some pixels of a row")
    if any(t is not None and t.dtype == "int4" for t in op.inputs):
        raise NotStreamable(op, "its weights would be unpacked for every pixel")
    try:
        columns = tuple(
            None if row is None else _lined(op, i, OPS[op.kind].reach(op, i, COLUMN_AXIS))
            for i, row in enumerate(rows)
        )
    except ShapeError as error:
        raise NotStreamable(op, str(error)) from error
    if op.kind in WINDOW_KINDS:
        if op.outputs[0].dtype == "int16" and not _are_in_place((*rows, *columns)):
            raise NotStreamable(op, "windows of int16 are made in whole rows")
        return columns
    if not _are_in_place((*rows, *columns)):
        raise NotStreamable(op, "it can't make some pixels of a row")
    for tensor, row in zip(op.inputs, rows, strict=True):
        # A weight is as it is; what is broadcast must be the same for all pixels.
        if tensor is not None and row is None and not _same_everywhere(op, tensor):
            raise NotStreamable(op, f"{tensor.name!r} differs from column to column")
    return columns


def _same_everywhere(op: Op, tensor: Tensor) -> bool:
    one = all(size == 1 for size in tensor.shape[:-1])
    return one or OPS[op.kind].reach_word != "elementwise"


@lru_cache(maxsize=4096)
def is_pixelwise(op: Op) -> bool:
    """Whether each pixel of the op's outputs is made of the pixels at the same place.

    For ops that `column_reaches` takes.
    """
    return _are_in_place((*row_reaches(op), *column_reaches(op)))


def _are_in_place(reaches: Iterable[RowReach | None]) -> bool:
    return all(reach is None or _in_place(reach) for reach in reaches)


def _in_place(reach: RowReach) -> bool:
    """Whether place i reads place i, for all places of both sides."""
    straight = (reach.stride, reach.extent, reach.before) == (1, 1, 0)
    return straight and reach.starts.size == reach.size


@lru_cache(maxsize=4096)
def sum_reaches(op: Op) -> tuple[RowReach | None, ...] | None:
    """How an op that folds a whole image into one pixel takes its rows, as running sums.

    Each row is added when it is made, and is needed no more: the reach is row by row, and the
    op's own "rows" are those that it has added. Only the last op of a stage can do that, since its
    result is there when the stage is over. None for other ops, and for images so small that sums
    of 4 bytes next to one row are no less than the image. A maximum is a sum of 1 byte.

    Example:
        >>> sum_reaches(mean_of_8_rows)[0].needs(3, 5)
        (3, 5)
    """
    source = op.inputs[0] if op.inputs else None
    if op.kind not in FOLD_BYTES or source is None or source.data is not None:
        return None
    if not _folds_image(op, source):
        return None
    _, height, width, _ = source.shape
    if (height - 1) * width <= FOLD_BYTES[op.kind]:
        return None
    rows = np.arange(height, dtype=np.int64)
    return (RowReach(rows, rows + 1, height, 1, 0, 1), *(None for _ in op.inputs[1:]))


def stage_height(op: Op) -> int:
    """Rows that a band counts where this op is the last one of a stage."""
    sums = sum_reaches(op)
    first = sums[0] if sums else None
    return op.outputs[0].shape[ROW_AXIS] if first is None else first.size


def _folds_image(op: Op, source: Tensor) -> bool:
    """Whether an op makes one int8 pixel of all pixels of an int8 image."""
    shape = source.shape
    if len(shape) != 4 or shape[0] != 1 or {source.dtype, op.outputs[0].dtype} != {"int8"}:
        return False
    if isinstance(op.options, PoolOptions):
        return op.options.kernel == shape[1:3] and op.options.padding == Padding()
    axes = op.inputs[1] if len(op.inputs) > 1 else None
    if axes is None or axes.data is None:
        return False
    return sorted({int(axis) % 4 for axis in np.ravel(axes.data)}) == [1, 2]


def _check_image(op: Op, tensor: Tensor, what: str) -> None:
    shape = tensor.shape
    if len(shape) != 4 or shape[0] != 1 or min(shape) < 1 or tensor.dtype in ("int4", "uint4"):
        raise NotStreamable(op, f"its {what} {list(shape)} is no image of batch 1")


def _reach(op: Op, index: int, tensor: Tensor, reach: Reach) -> RowReach | None:
    if reach.kind == "none":
        return None
    if reach.kind == "all":
        if _broadcast(op, tensor):
            return None
        raise NotStreamable(op, "it needs all rows of its input at once")
    if tensor.data is not None:
        raise NotStreamable(op, f"its constant {tensor.name!r} has rows of its own")
    _check_image(op, tensor, "input")
    return _lined(op, index, reach)


def _broadcast(op: Op, tensor: Tensor) -> bool:
    """Whether every row reads all of the tensor since it has only one row, or no row axis."""
    rank = len(tensor.shape)
    one = rank < 4 or tensor.shape[ROW_AXIS] == 1
    return one and OPS[op.kind].reach_word == "elementwise"


def _lined(op: Op, index: int, reach: Reach) -> RowReach:
    starts, stops = np.array(reach.starts, np.int64), np.array(reach.stops, np.int64)
    out = np.arange(starts.size)
    if reach.kind == "window":
        extent = (reach.kernel - 1) * reach.dilation + 1
        found = RowReach(starts, stops, reach.size, reach.stride, reach.before, extent)
    elif op.kind in PADS:
        before = int(np.argmax(starts < stops))
        found = RowReach(starts, stops, reach.size, 1, before, 1)
    elif op.kind in STRETCHED:
        found = _stretched(op, reach.size, starts, stops)
    elif reach.size == out.size and (starts == out).all() and (stops == out + 1).all():
        return RowReach(starts, stops, reach.size, 1, 0, 1)
    else:
        raise NotStreamable(op, f"it moves rows of its input {index}")
    read = np.flatnonzero(starts < stops)
    if read.size == 0 or read[-1] - read[0] + 1 != read.size:
        raise NotStreamable(op, "some of its windows lie in the padding only")
    return found


def _stretched(op: Op, size: int, starts: np.ndarray, stops: np.ndarray) -> RowReach:
    """The reach of an op with a line of its own, and the tightest line of rows around it.

    Rows that no row needs yet take memory, so of the phases that the line can have, the one that
    is least ahead is taken.
    """
    line = row_line(op)
    if line is None:
        raise NotStreamable(op, "TFLM rounds its rows in a way that no band can follow")
    shared = gcd(line.step, line.unit)
    step, unit = line.step // shared, line.unit // shared
    read = np.flatnonzero(starts < stops)
    phases = np.arange(unit)[:, None]
    on_line = (read * step + phases) // unit
    ahead = (stops[read] - on_line).max(axis=1)
    spare = (on_line + ahead[:, None] - stops[read]).sum(axis=1)
    phase = int(np.argmin(spare))
    before = int((on_line[phase] - starts[read]).max())
    return RowReach(starts, stops, size, step, before, before + int(ahead[phase]), unit, phase)
