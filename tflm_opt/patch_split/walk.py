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

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from tflm_opt.graph.ir import Graph, Op, Tensor
from tflm_opt.patch_split.pace import Pace, Reaches, stage_reaches
from tflm_opt.patch_split.regions import NEVER, sum_reaches
from tflm_opt.patch_split.schedule import Schedule, Stage


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """The memory of a tensor inside its stage.

    Attributes:
        capacity: rows.
        kept: whether rows stay from one step to the next. If not, it is transient.
        starts: int64 (steps,): the tensor's row at the window's start, in each step; below 0
            where the window begins with room for padding that nobody writes.
        dead: rows of a kept window that no later step reads, at most.
        moved: rows that move to the start of a kept window, in all steps together.
    """

    capacity: int
    kept: bool
    starts: np.ndarray
    dead: int = 0
    moved: int = 0


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
        early: ops that work ahead of their readers, since that lessens the windows (see `pace`).
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
    early: tuple[Op, ...] = ()

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


def walk(
    graph: Graph, stage: Stage, *, streamed: bool = False, early: tuple[Op, ...] | None = None
) -> Walk:
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
        early: ops that work ahead of their readers; by default those that lessen the windows.

    Raises:
        NotStreamable: an op that can't run on rows; it must be a stage of its own.
        ValueError: the stage has no band, reads what it makes later, or streams an input that
            others read too.
    """
    if stage.band is None:
        raise ValueError("a stage without a band has no steps to walk")
    pace = paced(graph, stage, streamed=streamed)
    return walked(pace, early) if early is not None else Trials(pace).best(body_bytes)


class Trials:
    """The walks of one stage with other ops early, each made when it is asked for."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._walks: dict[tuple[Op, ...], Walk] = {}
        self._candidates: dict[tuple[Op, ...], list[Op]] = {}

    def best(self, bytes_of: Callable[[Walk], int]) -> Walk:
        """The one of fewest bytes: ops become early one after the other, as long as that helps."""
        best = self._walk(())
        while left := self._left(best.early):
            # Nearly always there is none.
            found = min((self._walk((*best.early, op)) for op in left), key=bytes_of)
            if bytes_of(found) >= bytes_of(best):
                break
            best = found
        return best

    def _walk(self, early: tuple[Op, ...]) -> Walk:
        if early not in self._walks:
            self._walks[early] = walked(self._pace, early)
        return self._walks[early]

    def _left(self, early: tuple[Op, ...]) -> list[Op]:
        if early not in self._candidates:
            self._candidates[early] = self._pace.candidates(early)
        return self._candidates[early]


def paced(graph: Graph, stage: Stage, *, streamed: bool) -> Pace:
    """How far the ops of a stage come in each step. Arguments and errors: as `walk`."""
    source = _source(graph, stage) if streamed else None
    return Pace(stage, results_of(graph, stage.ops), stage_reaches(stage, source), source)


def walked(pace: Pace, early: tuple[Op, ...]) -> Walk:
    """The walk in which these ops are early."""
    stage = pace.stage
    made = pace.made(early)
    steps = made[stage.ops[-1].outputs[0]].size - 1
    needed = _needed(stage, pace.reaches, made, steps)
    inner = [t for t in made if t not in pace.results]
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
        windows={t: window_of(made[t], needed[t], pace.edges(t, made), steps) for t in inner},
        outside=tuple(outside),
        results=tuple(t for op in stage.ops for t in op.outputs if t in pace.results),
        source=pace.source,
        summed=stage.ops[-1] if sum_reaches(stage.ops[-1]) else None,
        early=early,
    )


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


def _needed(
    stage: Stage, reaches: Reaches, made: Mapping[Tensor, np.ndarray], steps: int
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


def window_of(
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
    if not kept:
        return Window(capacity, kept, starts)
    dead = int((np.minimum(needed[1:], after) - starts).max(initial=0))
    stay = np.maximum(made[1:-1] - starts[1:], 0)
    return Window(capacity, kept, starts, max(dead, 0), int(stay[starts[1:] > starts[:-1]].sum()))


def body_bytes(steps: Walk, alignment: int = 1) -> int:
    """Bytes of windows at the worst op of a stage, at least; each rounded up to `alignment`.

    A transient output may lie over the transient inputs that end with its op, and over rows of
    kept ones that nobody reads again.
    """
    ops = steps.stage.ops
    made = {t: k for k, op in enumerate(ops) for t in op.outputs}
    read = {t: k for k, op in enumerate(ops) for t in op.inputs}
    kept, spans = 0, []
    for tensor, window in steps.windows.items():
        size = steps.window_bytes(tensor)
        if window.kept:
            kept += -(-size // alignment) * alignment
            continue
        first = made.get(tensor)
        last = read.get(tensor, first or 0)
        over = 0 if first is None else _dead_bytes(steps, ops[first])
        alone = -(-max(size - over, 0) // alignment) * alignment
        # A streamed input is there before its first reader, which may write over it.
        spans.append((-1 if first is None else first, last, alone))
    worst = 0
    for k in range(len(ops)):
        begins = sum(size for first, _, size in spans if first == k)
        ends = sum(size for first, last, size in spans if first < k and last == k)
        stays = sum(size for first, last, size in spans if first < k < last)
        worst = max(worst, stays + max(begins, ends))
    return kept + worst


def _dead_bytes(steps: Walk, op: Op) -> int:
    """Bytes of the kept windows that an op reads which no later step reads, at most."""
    total = 0
    for tensor in dict.fromkeys(op.inputs):
        window = None if tensor is None else steps.windows.get(tensor)
        if tensor is not None and window is not None and window.kept:
            total += window.dead * row_bytes(tensor)
    return total
