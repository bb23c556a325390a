"""Memory of stages that run band by band: lifetimes and safe distances.

All ops of such a stage run again in every step, so what one step keeps for the next, what comes
from outside and what goes out lives from the stage's first op to its last. Only transient windows
(see `patch_split.walk`) live from their op to their last reader, as in a graph of its own. Where
the last op keeps running sums, they are its scratch and live for the whole stage; its result is
written in its last turn only, when nothing but what that turn reads is needed any more.

Three kinds of overlap are sound:

**Within a step.** A transient window over a transient one that its op reads for the last time:
both begin at row 0 of their window in every step, so the op on these rows is an op like any other,
and the largest safe distance of its variants serves all steps.

**Over dead rows.** A transient window over a window with kept rows that its op reads: rows that no
later turn reads are dead until the window is filled again, and by then the transient one is gone.
It is a depthwise convolution in place: the row that it makes lies over the uppermost of those it
reads. The distance is that of the next kind, with places counted from the windows' starts.

**Result over outside input.** The stage reads an outside input for the last time, and writes a
result. Order everything that happens as *turns*: step by step, op by op. When a turn has written
the result up to row `b`, all that a later turn reads of the input lies at or above row `r`; so
the bytes written must end at or below the byte that row `r` begins with:

    offset(input) + r · bytes a row of the input  >=  offset(result) + b · bytes a row of the result

A turn that reads the input while it writes the result is an op on rows, which needs its own safe
distance `d` between where its rows begin:

    offset(input) + lo · row  >=  offset(result) + a · row + d

The largest distance over all turns is safe. What is written is never an input's row that somebody
reads later, so no other buffer matters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tflm_opt.graph.ir import Op, Tensor
from tflm_opt.patch_split.columns import ColumnWalk, column_walk
from tflm_opt.patch_split.regions import NEVER
from tflm_opt.patch_split.schedule import Schedule, Stage
from tflm_opt.patch_split.slices import Turn, Turns, turns
from tflm_opt.patch_split.walk import Walk, row_bytes

Span = tuple[int, int]
Distance = Callable[[Op, int], "int | None"]


@dataclass(frozen=True, slots=True, eq=False)
class Streamed:
    """A stage with a band, on the time axis of `lifetimes`.

    Attributes:
        first, last: steps of its first and its last op.
        turns: of its ops, in order; none of a stage that makes some columns at a time.
        columns: of such a stage.
    """

    walk: Walk
    first: int
    last: int
    turns: tuple[Turns, ...]
    columns: ColumnWalk | None = None


def streamed_stages(schedule: Schedule, walks: Mapping[Stage, Walk]) -> tuple[Streamed, ...]:
    """The stages of a schedule that have a band; the first op of a schedule runs at step 1."""
    found, step = [], 1
    for stage in schedule.stages:
        if stage.band is not None:
            walk, last = walks[stage], step + len(stage.ops) - 1
            if stage.columns is None:
                every = tuple(turns(walk, op) for op in stage.ops)
                found.append(Streamed(walk, step, last, every))
            else:
                found.append(Streamed(walk, step, last, (), column_walk(walk)))
        step += len(stage.ops)
    return tuple(found)


def stretched(spans: Mapping[Tensor, Span], stages: Sequence[Streamed]) -> dict[Tensor, Span]:
    """Lifetimes by op turned into lifetimes under these stages."""
    result = dict(spans)
    for stage in stages:
        walk = stage.walk
        whole = (stage.first, stage.last + 1)
        late = walk.summed.outputs if walk.summed is not None else ()
        for tensor in (*walk.outside, *(t for t in walk.results if t not in late)):
            start, stop = result[tensor]
            made = tensor in walk.made
            result[tensor] = (min(start, whole[0]) if made else start, max(stop, whole[1]))
        for tensor, window in walk.windows.items():
            lines = None if stage.columns is None else stage.columns.lines[tensor]
            if window.kept if lines is None else lines.rows_kept:
                result[tensor] = whole
            elif tensor is walk.source:
                result[tensor] = (whole[0], result[tensor][1])
    return result


def step_distances(
    stage: Streamed, distance: Distance
) -> dict[tuple[Tensor, Tensor], tuple[Op, int]]:
    """Safe distances (out, source) of transient windows, with the op that writes `out`.

    Where `source` is transient too, they hold only if that op is its last reader.
    """
    found: dict[tuple[Tensor, Tensor], tuple[Op, int]] = {}
    windows = stage.walk.windows
    for every in stage.turns:
        op = every.op
        if len(op.outputs) != 1 or op.output not in windows or windows[op.output].kept:
            continue
        for source in dict.fromkeys(t for t in op.inputs if t is not None and t in windows):
            if windows[source].kept:
                apart = _over(stage, op.output, source, distance)
            else:
                apart = _within(every, source, distance)
            if apart is not None:
                found[op.output, source] = (op, apart)
    return found


def _within(every: Turns, source: Tensor, distance: Distance) -> int | None:
    places = [i for i, tensor in enumerate(every.op.inputs) if tensor is source]
    needed = [distance(variant, i) for variant in every.variants for i in places]
    known = [d for d in needed if d is not None]
    return max(known) if len(known) == len(needed) else None


def result_distance(
    stage: Streamed, result: Tensor, sources: Sequence[Tensor], distance: Distance
) -> int | None:
    """The safe distance of a result over a buffer that the stage reads for the last time.

    Args:
        stage: that makes `result`, and reads all of `sources`.
        sources: outside tensors that lie in that buffer, all from its beginning.
        distance: (op on rows, input position) -> safe distance or None.
    """
    best = 0
    for source in sources:
        found = _over(stage, result, source, distance)
        if found is None:
            return None
        best = max(best, found)
    return best


def _over(stage: Streamed, result: Tensor, source: Tensor, distance: Distance) -> int | None:
    """The safe distance of one tensor over another, by the order of turns."""
    events = sorted(
        (
            (turn.step, position, every, turn)
            for position, every in enumerate(stage.turns)
            if result in every.op.outputs or source in every.op.inputs
            for turn in every.turns
        ),
        key=lambda event: event[:2],
    )
    best, later = 0, NEVER
    for step, _, every, turn in reversed(events):
        if result in every.op.outputs:
            if later != NEVER:
                end = _bytes(stage, result, step, turn.rows[1])
                best = max(best, end - _bytes(stage, source, step, later))
            own = _own(stage, every, turn, result, source, distance)
            if own is None:
                return None
            best = max(best, own)
        lowest = _lowest(every.op, turn, source)
        if lowest is None:
            return None
        later = min(later, lowest)
    return best


def _bytes(stage: Streamed, tensor: Tensor, step: int, row: int) -> int:
    """Where a row lies in its tensor's buffer, in a step."""
    window = stage.walk.windows.get(tensor)
    start = 0 if window is None else int(window.starts[step])
    return (row - start) * row_bytes(tensor)


def _lowest(op: Op, turn: Turn, source: Tensor) -> int | None:
    """The lowest row of `source` that a turn reads; None if it is read whole."""
    rows = [n for t, n in zip(op.inputs, turn.needs, strict=True) if t is source]
    if any(n is None for n in rows):
        return None
    return min((n[0] for n in rows if n is not None), default=NEVER)


def _own(
    stage: Streamed, every: Turns, turn: Turn, result: Tensor, source: Tensor, distance: Distance
) -> int | None:
    """What a turn that reads `source` itself asks for; 0 if it does not; None if never safe."""
    worst = 0
    for position, tensor in enumerate(every.op.inputs):
        if tensor is not source:
            continue
        needs = turn.needs[position]
        found = distance(every.variants[turn.variant], position)
        if needs is None or found is None or len(every.op.outputs) != 1:
            return None
        begin = _bytes(stage, result, turn.step, turn.rows[0])
        worst = max(worst, found + begin - _bytes(stage, source, turn.step, needs[0]))
    return worst
