"""How a stage runs, step by step: which rows every op makes, and which rows stay in memory.

In every step, the last op makes `band` rows, and every other op the rows that this step's readers
need and that aren't made yet. Rows that a later step needs again are *kept*, never recomputed:

    rows of an inner tensor      0                                             H
    made before step s           |-----------------------|  made(s)
    made in step s                                        |-------|  made(s + 1)
    still needed in step s                          |----             need(s)
    the window in step s                            |=============|

A tensor that is read only inside its stage lives in a *window*: `capacity` rows of memory. Before
its op makes new rows, the kept ones move to the window's start, so kernels always see plain rows,
one behind the other. Where nothing is kept, the tensor is *transient*: its memory is free again
as soon as its last reader in the step is done. Tensors from outside are read where they lie, and
results are written where they stay.

Steps before the first result fill the pipeline: the last op's rows are counted from below 0, and
each op's share follows on the straight line of its receptive field (`RowReach.ahead`). So at band
1 a 3×3 convolution of stride 1 holds 3 rows of its input, however many ops follow. Lines are
counted in fractions of a row: behind strides a band may be smaller than a row, and each op makes
a row whenever its line has come past the next whole one.

The idea of streaming rows through a fused block is that of line buffers in image hardware and of
MCUNetV2's patches (Lin et al., 2021) without their recomputed halos.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import prod

import numpy as np

from tflm_opt.graph.ir import Graph, Op, Tensor
from tflm_opt.patch_split.regions import (
    NEVER,
    ROW_AXIS,
    NotStreamable,
    RowReach,
    row_reaches,
    sum_reaches,
)
from tflm_opt.patch_split.schedule import Schedule, Stage

# No stage has a longer way from its first row in to its first row out.
_LONGEST_START = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """The memory of a tensor inside its stage.

    Attributes:
        capacity: rows.
        kept: whether rows stay from one step to the next. If not, it is transient.
        starts: int64 (steps,): the tensor's row at the window's start, in each step; below 0
            where the window begins with room for padding that nobody writes.
    """

    capacity: int
    kept: bool
    starts: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class Walk:
    """A stage in steps.

    Attributes:
        stage: what is walked.
        steps: how many.
        made: by tensor that is made in the stage (a streamed input too): int64 (steps + 1,), the
            rows that exist before step s; the last entry is how many are ever made.
        needed: by tensor with rows that the stage reads, int64 (steps + 1,): the lowest row that
            step s or a later one reads, or NEVER.
        windows: of inner tensors (a streamed input too).
        outside: computed tensors that the stage reads and does not make; all resident.
        results: tensors that it makes and that others read, or the graph gives out; resident.
        source: the streamed input, if this stage reads it.
        summed: the last op, if it folds an image as running sums (see `regions.sum_reaches`).
            What is `made` of its output are rows that it has added; the output itself is made
            in the last step.
    """

    stage: Stage
    steps: int
    made: Mapping[Tensor, np.ndarray]
    needed: Mapping[Tensor, np.ndarray]
    windows: Mapping[Tensor, Window]
    outside: tuple[Tensor, ...]
    results: tuple[Tensor, ...]
    source: Tensor | None
    summed: Op | None = None

    def window_bytes(self, tensor: Tensor) -> int:
        """Bytes of an inner tensor's window."""
        return self.windows[tensor].capacity * row_bytes(tensor)

    def rows(self, op: Op, step: int) -> tuple[int, int]:
        """Output rows [a, b) that an op makes in a step; a = b where it rests.

        Of the op that is `summed`: input rows that it adds.
        """
        made = self.made[op.outputs[0]]
        return int(made[step]), int(made[step + 1])


def row_bytes(tensor: Tensor) -> int:
    """Bytes of one row of an NHWC tensor of batch 1.

    >>> row_bytes(Tensor("x", (1, 96, 96, 3), "int8"))
    288
    """
    return prod(tensor.shape[2:]) * tensor.itemsize


def results_of(graph: Graph, ops: Collection[Op]) -> frozenset[Tensor]:
    """Tensors that these ops make and that anybody else reads, or nobody at all."""
    inside = set(ops)
    made = {t for op in ops for t in op.outputs}
    read_inside = {t for op in ops for t in op.inputs}
    read_outside = {t for op in graph.ops if op not in inside for t in op.inputs}
    return frozenset(
        t for t in made if t in read_outside or t in graph.outputs or t not in read_inside
    )


def walk(graph: Graph, stage: Stage, *, streamed: bool = False) -> Walk:
    """The steps of a stage that has a band.

    Example:
        >>> w = walk(graph, Stage(graph.ops[:3], band=1))
        >>> w.windows[graph.ops[0].output].capacity
        3

    Args:
        graph: which the stage is part of.
        stage: with a band; the band counts rows of the last op's output, or of its input if it
            folds them into one pixel.
        streamed: whether the graph's only input, if this stage reads it, comes by callback.

    Raises:
        NotStreamable: an op that can't run on rows; it must be a stage of its own.
        ValueError: the stage has no band, reads what it makes later, or streams an input that
            others read too.
    """
    if stage.band is None:
        raise ValueError("a stage without a band has no steps to walk")
    source = _source(graph, stage) if streamed else None
    results = results_of(graph, stage.ops)
    reaches = _reaches(stage, source)
    pace = _Pace(stage, results, reaches, source)
    made, steps = pace.made()
    needed = _needed(stage, reaches, made, steps)
    inner = [t for t in made if t not in results]
    outside = {
        t: None
        for op in stage.ops
        for t in op.inputs
        if t is not None and t.data is None and t not in made
    }
    return Walk(
        stage=stage,
        steps=steps,
        made=made,
        needed=needed,
        windows={t: _window(made[t], needed[t], pace.edges(t, made), steps) for t in inner},
        outside=tuple(outside),
        results=tuple(t for op in stage.ops for t in op.outputs if t in results),
        source=source,
        summed=stage.ops[-1] if sum_reaches(stage.ops[-1]) else None,
    )


def stage_height(op: Op) -> int:
    """Rows that a band counts where this op is the last one of a stage."""
    sums = sum_reaches(op)
    first = sums[0] if sums else None
    return op.outputs[0].shape[ROW_AXIS] if first is None else first.size


def walks(graph: Graph, schedule: Schedule) -> dict[Stage, Walk]:
    """The walks of all stages of a schedule that have a band.

    Raises: as `walk`; and ValueError if a streamed input is read by an op without a band.
    """
    streamed = schedule.input == "streamed"
    found = {s: walk(graph, s, streamed=streamed) for s in schedule.stages if s.band is not None}
    if streamed and not any(w.source is not None for w in found.values()):
        raise ValueError("a streamed input must be read by a stage with a band")
    return found


def _source(graph: Graph, stage: Stage) -> Tensor | None:
    """The streamed input, if the stage reads it. It must be the graph's only one."""
    if len(graph.inputs) != 1:
        raise ValueError(f"the graph has {len(graph.inputs)} inputs; only a single one can stream")
    (tensor,) = graph.inputs
    readers = {op for op in graph.ops if tensor in op.inputs}
    if not readers & set(stage.ops):
        return None
    if not readers <= set(stage.ops) or tensor in graph.outputs:
        raise ValueError(f"the streamed input {tensor.name!r} is read outside its stage too")
    return tensor


_Reaches = dict[Op, tuple["RowReach | None", ...]]


def _reaches(stage: Stage, source: Tensor | None) -> _Reaches:
    """Row reaches of all ops, with what is made checked to be read by rows and afterwards."""
    found: _Reaches = {}
    position = {t: i for i, op in enumerate(stage.ops) for t in op.outputs}
    for index, op in enumerate(stage.ops):
        sums = sum_reaches(op) if op is stage.ops[-1] else None
        found[op] = sums or row_reaches(op)
        for tensor, reach in zip(op.inputs, found[op], strict=True):
            if tensor is None or (tensor not in position and tensor is not source):
                continue
            if position.get(tensor, -1) >= index:
                raise ValueError(f"{op!r} reads {tensor.name!r}, which is made later")
            if reach is None:
                raise NotStreamable(op, f"every row of it reads the whole of {tensor.name!r}")
    return found


class _Pace:
    """How far every op has come after each step, from the last op back to the first."""

    def __init__(
        self,
        stage: Stage,
        results: frozenset[Tensor],
        reaches: _Reaches,
        source: Tensor | None,
    ) -> None:
        self.stage = stage
        self.results = results
        self.reaches = reaches
        self.source = source
        self.readers: dict[Tensor, list[tuple[Op, RowReach]]] = {}
        for op in stage.ops:
            for tensor, reach in zip(op.inputs, reaches[op], strict=True):
                if tensor is not None and reach is not None:
                    self.readers.setdefault(tensor, []).append((op, reach))
        self.height = {t: t.shape[ROW_AXIS] for op in stage.ops[:-1] for t in op.outputs}
        self.height.update(dict.fromkeys(stage.ops[-1].outputs, stage_height(stage.ops[-1])))
        self.total: dict[Op, int] = {}
        for op in reversed(stage.ops):
            self.total[op] = max(self._total(t) for t in op.outputs)

    def _total(self, tensor: Tensor) -> int:
        """Rows of a tensor that are ever made: those below the last one read are not."""
        if tensor in self.results:
            return self.height[tensor]
        return max(reach.needs(0, self.total[op])[1] for op, reach in self.readers[tensor])

    def made(self) -> tuple[dict[Tensor, np.ndarray], int]:
        """Rows that exist before each step, by tensor made; and the number of steps."""
        last, band = self.stage.ops[-1], Fraction(self.stage.band or 0)
        count = -(-self.height[last.outputs[0]] // band)
        early = 8
        while True:
            rows = self._after(np.arange(1 - early, count + 1, dtype=np.int64), band)
            if all(row[0] == 0 for row in rows.values()):
                break
            early *= 2
            if early > _LONGEST_START:
                raise NotStreamable(last, "its stage takes too long to get going")
        # Steps in which nobody makes a row are no steps.
        table = np.array(list(rows.values()))
        works = (np.diff(table, axis=1) > 0).any(axis=0)
        columns = np.concatenate([[0], np.flatnonzero(works) + 1])
        return dict(zip(rows, table[:, columns], strict=True)), columns.size - 1

    def edges(self, tensor: Tensor, made: Mapping[Tensor, np.ndarray]) -> list[np.ndarray]:
        """By reader, the first row that its next row reads, padding included: may be below 0."""
        return [
            made[op.outputs[0]] * reach.stride - reach.before
            for op, reach in self.readers.get(tensor, ())
        ]

    def _after(self, steps: np.ndarray, band: Fraction) -> dict[Tensor, np.ndarray]:
        """Rows made after steps; step 1 is the one in which the last op makes its first band.

        Lines are in units of 1 / band.denominator rows.
        """
        unit = band.denominator
        line: dict[Op, np.ndarray] = {}
        made: dict[Op, np.ndarray] = {}
        rows: dict[Tensor, np.ndarray] = {}
        last = steps * band.numerator
        for op in reversed(self.stage.ops):
            line[op] = np.max([self._line(t, last, unit, line, made) for t in op.outputs], axis=0)
            made[op] = self._whole_rows(op, line[op] // unit)
            rows.update(dict.fromkeys(op.outputs, made[op]))
        if self.source is not None:
            way = self._line(self.source, last, unit, line, made) // unit
            rows[self.source] = np.clip(way, 0, self._total(self.source))
        return rows

    def _line(
        self,
        tensor: Tensor,
        last: np.ndarray,
        unit: int,
        line: dict[Op, np.ndarray],
        made: dict[Op, np.ndarray],
    ) -> np.ndarray:
        """How far its readers and the world ask a tensor to come, not clipped, in units."""
        final = self.stage.ops[-1].outputs[0]
        asked = []
        if tensor in self.results:
            asked.append(last * self.height[tensor] // self.height[final])
        for op, reach in self.readers.get(tensor, ()):
            asked.append(reach.ahead(line[op], unit))
            asked.append(np.where(made[op] > 0, reach.ahead(made[op]) * unit, -NEVER))
        return np.max(asked, axis=0)

    def _whole_rows(self, op: Op, line: np.ndarray) -> np.ndarray:
        """The line clipped to rows that are made; rows of padding only wait for a real one."""
        total = self.total[op]
        rows = np.clip(line, 0, total)
        for reach in self.reaches[op]:
            if reach is not None:
                read = np.flatnonzero(reach.starts[:total] < reach.stops[:total])
                rows = np.where((rows > 0) & (rows <= read[0]), read[0] + 1, rows)
                rows = np.where(rows > read[-1], total, rows)
        return rows


def _needed(
    stage: Stage, reaches: _Reaches, made: Mapping[Tensor, np.ndarray], steps: int
) -> dict[Tensor, np.ndarray]:
    needed: dict[Tensor, np.ndarray] = {t: np.full(steps + 1, NEVER, np.int64) for t in made}
    for op in stage.ops:
        rows = made[op.outputs[0]]
        for tensor, reach in zip(op.inputs, reaches[op], strict=True):
            if tensor is not None and reach is not None:
                low = reach.lowest_from(int(rows[-1]))[rows]
                before = needed.get(tensor)
                needed[tensor] = low if before is None else np.minimum(before, low)
    return needed


def _window(
    made: np.ndarray, needed: np.ndarray, readers: Sequence[np.ndarray], steps: int
) -> Window:
    """The window of rows `made` and `needed`; `readers` are lines above which they read padding."""
    before, after = made[:-1], made[1:]
    works = after > before
    lowest = np.minimum(needed[:steps], before)
    starts = np.maximum.accumulate(np.where(works, lowest, 0))
    capacity = int((after - starts)[works].max(initial=0))
    kept = bool((needed[1:steps] < made[1:steps]).any())
    if kept and readers:
        # Padding above the tensor has a place too, as far as there is room: the window then looks
        # alike in all steps, and what is dead in it after a step is always the same.
        above = np.maximum(np.min(readers, axis=0)[:steps], after - capacity)
        starts = np.where(starts == 0, np.minimum(above, 0), starts)
        starts = np.maximum.accumulate(np.where(works, starts, starts[np.argmax(works)]))
    return Window(capacity, kept, starts)
