"""What a stage costs: the memory of one stage alone, and the work that its bands add.

The *peak* of a stage is the arena planner's lower bound for a graph that is only this stage: it
reads what the stage reads, gives out what others want of it, and next to it lie the tensors that
pass it by. So the search and the planner can't disagree about what a stage needs; what is left to
the plan of the whole graph is how buffers and stages fit together (see `search`).

Thousands of stages are compared, and planning one takes some hundredths of a second. So there are
three prices, each at least as cheap as the next is exact, and each a lower bound of the next:

    bound       from sizes, once for any band
    estimate    from the walk: windows, transients two by two, results over what is eaten
    exact       from the planner: its buffers, overlaps and what it proves, if that is higher

and the cuts are chosen lazily (`cuts`): only what lies on a best path is planned.

A stage runs in one of several *ways*: with bands of whole rows, a few columns at a time, or in
strips (`schedule.Columns`). The ways come in families, in each of which memory rises.

The *work* is an estimate in instructions: calls beyond one an op, bytes of kept rows that move to
the start of their window, and what strips compute again. It only ranks schedules and is never
shown as a measurement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from tflm_opt.arena.column_streams import distance_over, still_read
from tflm_opt.arena.exact import prove
from tflm_opt.arena.lifetimes import lifetimes
from tflm_opt.arena.plan import ALIGNMENT, Access, plan
from tflm_opt.arena.problem import Solution, align_up
from tflm_opt.errors import UnsupportedModel
from tflm_opt.graph.geometry import macs
from tflm_opt.graph.ir import Graph, Op, Tensor
from tflm_opt.patch_split.column_cost import column_bytes, column_calls, column_moves, macs_again
from tflm_opt.patch_split.columns import ColumnWalk, column_walk
from tflm_opt.patch_split.regions import (
    COLUMN_AXIS,
    ROW_AXIS,
    NotStreamable,
    RowReach,
    column_reaches,
    row_reaches,
    stage_height,
    sum_reaches,
)
from tflm_opt.patch_split.row_cost import (
    candidate_bands,
    extra_calls,
    least_distance,
    moved_bytes,
)
from tflm_opt.patch_split.schedule import Columns, Schedule, Stage, layer_by_layer
from tflm_opt.patch_split.walk import Walk, body_bytes, row_bytes, walk

# Estimated instructions of one more kernel call on a few rows, of moving one byte, of one more
# call on a few pixels of a row, and of computing one multiply-accumulate again. The first three
# are fitted to counts of emulated Cortex-M4s by `python benchmarks/work.py`.
CALL_WORK = 250
BYTE_WORK = 0.6
PIXELS_WORK = 490
MAC_WORK = 4

Band = int | Fraction | None

# Columns of the last op's output that a stage may make at a time, and strips that it may run in.
WIDTHS = (1, 2, 4, 8)
STRIPS = (6, 4, 3, 2)
# Pairs of buffers that the planner may look at to prove what one stage needs.
EFFORT = 100_000
# The largest band of a stage that makes some columns at a time.
SMALL = 1


@dataclass(frozen=True, slots=True)
class Way:
    """How a stage runs: `Stage.band` and `Stage.columns`."""

    band: Band = None
    columns: Columns | None = None


@dataclass(frozen=True, slots=True)
class Cost:
    """What one stage costs.

    Attributes:
        peak: bytes that the stage needs alone, at least; rounded up to the arena's alignment.
        calls: kernel calls beyond one an op.
        moved: bytes of kept rows that are moved.
        exact: whether the planner was asked; the price won't change any more.
        again: multiply-accumulates that are computed twice or more.
        call_work: estimated instructions of one more call.
    """

    peak: int
    calls: int = 0
    moved: int = 0
    exact: bool = False
    again: int = 0
    call_work: int = CALL_WORK

    @property
    def work(self) -> int:
        """Estimated instructions that the stage adds to running layer by layer."""
        calls = self.calls * self.call_work
        return round(calls + self.moved * BYTE_WORK) + self.again * MAC_WORK


@dataclass(frozen=True, slots=True)
class Boundary:
    """Buffers around ops [start, stop): positions in the lifetimes layer by layer.

    Attributes:
        passing: made before, read after, of no interest in between; whole.
        consumed: made before, read for the last time inside.
        results: made inside, read after.
    """

    passing: tuple[int, ...]
    consumed: tuple[int, ...]
    results: tuple[int, ...]


class Costs:
    """Prices of the stages of a graph in its own order, computed when asked for.

    Example:
        >>> costs = Costs(graph, access=codegen.access)
        >>> costs.of(0, 3, Way(1)).peak, costs.exact(0, 3, Way(1)).peak
        (2208, 2240)

    Args:
        max_extra_macs: how many multiply-accumulates may be computed again, as a fraction of the
            graph's. 0 leaves strips out.

    Raises:
        UnsupportedModel: a streamed input, and the graph has several.
    """

    def __init__(
        self,
        graph: Graph,
        *,
        streamed: bool = False,
        scratch: Callable[[Op], int] | None = None,
        access: Access | None = None,
        max_extra_macs: float = 0.0,
    ) -> None:
        self.graph = graph
        self.macs = macs(graph)
        self.most_again = int(self.macs * max_extra_macs)
        self.streamed = streamed
        self.reasons: dict[Op, NotStreamable] = {}
        self._scratch = scratch
        self._access = access
        self._lives = lifetimes(graph, layer_by_layer(graph))
        self._sizes = [align_up(b.size, ALIGNMENT) for b in self._lives.buffers]
        self._found: dict[tuple[int, int, Way], Cost | None] = {}
        self._bounds: dict[tuple[int, int], int] = {}
        self._families: dict[tuple[int, int], tuple[tuple[Way, ...], ...]] = {}
        self._walked: tuple[tuple[int, int, Band], Walk] | None = None
        self._boundaries: dict[tuple[int, int], Boundary] = {}
        self._reaches = [self._reach(op) for op in graph.ops]
        self._columns = [self._has_columns(k) for k in range(len(graph.ops))]
        self._least = self._least_rows()
        self._rows, self._widths = self._least_made()
        self._source, self._readers = self._streamed_input() if streamed else (None, ())

    def _streamed_input(self) -> tuple[int, tuple[int, ...]]:
        """The buffer that never exists as a whole, and the ops that read it."""
        if len(self.graph.inputs) != 1:
            count = len(self.graph.inputs)
            raise UnsupportedModel(
                f"the graph has {count} inputs, and only a single one can be streamed",
                remedy="Keep them resident (input='resident')",
            )
        (tensor,) = self.graph.inputs
        readers = tuple(k for k, op in enumerate(self.graph.ops) if tensor in op.inputs)
        return self._lives.tensors[tensor], readers

    def _reach(self, op: Op) -> tuple[RowReach | None, ...] | None:
        try:
            return row_reaches(op)
        except NotStreamable as error:
            self.reasons[op] = error
            return None

    def _has_columns(self, index: int) -> bool:
        op = self.graph.ops[index]
        try:
            return self._reaches[index] is not None and bool(column_reaches(op))
        except NotStreamable:
            return False

    def whole(self, index: int) -> Cost | None:
        """An op that makes its whole output at once; None if it reads a streamed input."""
        return None if index in self._readers else self.exact(index, index + 1, Way())

    def families(self, start: int, stop: int) -> tuple[tuple[Way, ...], ...]:
        """Ways for ops [start, stop): in each family, those of least memory come first."""
        key = start, stop
        if key not in self._families:
            bands = self.bands(start, stop)
            rows = tuple(Way(band) for band in bands)
            self._families[key] = (rows, *self._columned(start, stop, bands)) if rows else ()
        return self._families[key]

    def _columned(
        self, start: int, stop: int, bands: Sequence[int | Fraction]
    ) -> Iterator[tuple[Way, ...]]:
        """Ways that make some columns at a time: of small bands, since rows are cheap then."""
        if any(not self._columns[k] for k in range(start, stop)):
            return
        width = self.graph.ops[stop - 1].outputs[0].shape[COLUMN_AXIS]
        widths = tuple(w for w in WIDTHS if w < width)
        small = [band for band in bands if band <= SMALL]
        for band in small:
            if widths:
                yield tuple(Way(band, Columns(w)) for w in widths)
        pieces = sorted({-(-width // count) for count in STRIPS if count < width})
        if self.most_again and not any(start <= k < stop for k in self._readers):
            for band in small:
                yield tuple(Way(band, Columns(w, kept=False)) for w in pieces)

    def bands(self, start: int, stop: int) -> tuple[int | Fraction, ...]:
        """Bands for ops [start, stop), smallest first; none if they can't run on rows together."""
        if any(self._reaches[k] is None for k in range(start, stop - 1)):
            return ()
        last = self.graph.ops[stop - 1]
        if self._reaches[stop - 1] is None and sum_reaches(last) is None:
            return ()
        inside = sum(start <= k < stop for k in self._readers)
        if inside not in (0, len(self._readers)):
            return ()
        rows = stage_height(last)
        above = (op.outputs[0].shape[ROW_AXIS] for op in self.graph.ops[start : stop - 1])
        tallest = max((rows, *above))
        return candidate_bands(rows, tallest)

    def of(self, start: int, stop: int, way: Way) -> Cost | None:
        """The best known price of a stage: an estimate, or exact once it was asked for.

        None if the stage can't run that way.
        """
        key = start, stop, way
        if key not in self._found:
            self._found[key] = self._estimate(start, stop, way)
        return self._found[key]

    def exact(self, start: int, stop: int, way: Way) -> Cost | None:
        """The price of a stage, planned; from then on `of` gives it too."""
        found = self.of(start, stop, way)
        if found is not None and not found.exact:
            peak = self._planned(start, stop, way)
            # Both are lower bounds, and either may be the higher one.
            found = None if peak is None else replace(found, peak=max(found.peak, peak), exact=True)
            self._found[start, stop, way] = found
        return found

    def bound(self, start: int, stop: int) -> int:
        """Bytes that ops [start, stop) need as one stage, whatever the band.

        It takes for granted that, where neighbouring rows read overlapping windows, those rows
        stay from one step to the next.
        """
        key = start, stop
        if key not in self._bounds:
            edge = self.boundary(start, stop)
            ends = max(self._bytes(edge.consumed), self._bytes(edge.results))
            self._bounds[key] = self._bytes(edge.passing) + ends + self._kept(start, stop, 0)
        return self._bounds[key]

    def column_bound(self, start: int, stop: int, *, kept: bool) -> int:
        """The same for some columns at a time: a window's oldest rows make room for the newest.

        A strip keeps only its part of a row, and for that this knows no bound.
        """
        edge = self.boundary(start, stop)
        rows = self._kept(start, stop, 1) if kept else 0
        inside = self._bytes(edge.results) + rows
        return self._bytes(edge.passing) + max(self._bytes(edge.consumed), inside)

    def least(self, start: int, stop: int, family: Sequence[Way]) -> int:
        """Bytes that no way of a family needs less than."""
        columns = family[0].columns if family else None
        if columns is None:
            return self.bound(start, stop)
        return self.column_bound(start, stop, kept=columns.kept)

    def least_work(self, start: int, stop: int, way: Way) -> int:
        """Estimated instructions that a way adds at least."""
        if way.columns is None:
            return 0
        width = self.graph.ops[stop - 1].outputs[0].shape[COLUMN_AXIS]
        parts = -(-width // way.columns.width)
        calls = sum(self._rows[k] * min(parts, self._widths[k]) - 1 for k in range(start, stop))
        return max(calls, 0) * PIXELS_WORK

    def boundary(self, start: int, stop: int) -> Boundary:
        """What lies around ops [start, stop) of the graph."""
        if (start, stop) not in self._boundaries:
            self._boundaries[start, stop] = self._boundary(start, stop)
        return self._boundaries[start, stop]

    def _boundary(self, start: int, stop: int) -> Boundary:
        passing, consumed, results = [], [], []
        first, end = start + 1, stop + 1
        for index, buffer in enumerate(self._lives.buffers):
            if buffer.start >= end or buffer.stop <= first or index == self._source:
                continue
            if buffer.start < first:
                (passing if buffer.stop > end else consumed).append(index)
            elif buffer.stop > end:
                results.append(index)
        return Boundary(tuple(passing), tuple(consumed), tuple(results))

    def _bytes(self, buffers: Sequence[int]) -> int:
        return sum(self._sizes[i] for i in buffers)

    def _least_rows(self) -> list[list[tuple[int, int, int, int]]]:
        """By op: (maker, last reader, bytes, bytes again) of rows that it must find kept.

        First the bytes in a step of whole rows, then those between two steps.
        """
        ops = self.graph.ops
        made = {t: k for k, op in enumerate(ops) for t in op.outputs}
        last = {t: k for k, op in enumerate(ops) for t in op.inputs if t is not None}
        found: list[list[tuple[int, int, int, int]]] = [[] for _ in ops]
        for k, (op, reaches) in enumerate(zip(ops, self._reaches, strict=True)):
            for tensor, reach in zip(op.inputs, reaches or (), strict=False):
                if tensor is None or reach is None or tensor not in made:
                    continue
                if reach.sure and tensor not in self.graph.outputs:
                    size = row_bytes(tensor)
                    rows = reach.sure * size, (reach.sure - reach.stride) * size
                    found[k].append((made[tensor], last[tensor], *rows))
        return found

    def _least_made(self) -> tuple[list[int], list[int]]:
        """By op: rows and columns that it makes at least; readers may leave out the last ones."""
        lost: dict[Tensor, int] = {}
        for op, reaches in zip(self.graph.ops, self._reaches, strict=True):
            for tensor, reach in zip(op.inputs, reaches or (), strict=False):
                if tensor is not None and reach is not None:
                    lost[tensor] = max(lost.get(tensor, 0), reach.extent + reach.stride)
        rows, widths = [], []
        for op in self.graph.ops:
            shape, less = op.outputs[0].shape, lost.get(op.outputs[0], 0)
            rows.append(max(shape[ROW_AXIS] - less, 1) if len(shape) == 4 else 1)
            widths.append(max(shape[COLUMN_AXIS] - less, 1) if len(shape) == 4 else 1)
        return rows, widths

    def _kept(self, start: int, stop: int, which: int) -> int:
        best: dict[int, int] = {}
        for k in range(start, stop):
            for maker, last, *sizes in self._least[k]:
                if maker >= start and last < stop:
                    best[maker] = max(best.get(maker, 0), sizes[which])
        return sum(best.values())

    def _estimate(self, start: int, stop: int, way: Way) -> Cost | None:
        edge = self.boundary(start, stop)
        passing = self._bytes(edge.passing)
        if way.band is None:
            ends = max(self._bytes(edge.consumed), self._bytes(edge.results))
            return Cost(passing + ends)
        try:
            steps = self._walk(start, stop, way.band)
            if way.columns is None:
                peak = passing + self._ends(edge, steps) + body_bytes(steps, ALIGNMENT)
                return Cost(peak, extra_calls(steps), moved_bytes(steps))
            parts = self._column_walk(steps, way.columns)
        except NotStreamable as error:
            if way.columns is None:
                self.reasons.setdefault(error.at, error)
            return None
        size = column_bytes(parts) + self._bytes(edge.results)
        peak = passing + max(self._bytes(edge.consumed), size, self._spread(edge, parts))
        return Cost(
            peak,
            column_calls(parts),
            column_moves(parts),
            again=macs_again(parts),
            call_work=PIXELS_WORK,
        )

    def _walk(self, start: int, stop: int, band: Band) -> Walk:
        """The steps of ops [start, stop); those of the last call are kept for other columns."""
        key = start, stop, band
        if self._walked is None or self._walked[0] != key:
            steps = walk(
                self.graph, Stage(self.graph.ops[start:stop], band), streamed=self.streamed
            )
            self._walked = key, steps
        return self._walked[1]

    def _column_walk(self, steps: Walk, columns: Columns) -> ColumnWalk:
        return column_walk(replace(steps, stage=replace(steps.stage, columns=columns)))

    def _spread(self, edge: Boundary, parts: ColumnWalk) -> int:
        """Bytes of everything in and around a stage, less what may lie over what it eats."""
        sources: dict[int, list[Tensor]] = {}
        for tensor in parts.walk.outside:
            if self._lives.tensors[tensor] in edge.consumed:
                sources.setdefault(self._lives.tensors[tensor], []).append(tensor)
        over = 0
        for tensors in sources.values():
            later = still_read(parts, tensors)
            if later is None:
                continue
            for target in (*parts.walk.results, *parts.rings):
                inner = target in parts.lines
                size = parts.lines[target].ring_bytes if inner else target.nbytes
                gap = max(distance_over(parts, target, later), 0)
                over += max(align_up(size, ALIGNMENT) - gap, 0)
        every = self._bytes(edge.consumed) + self._bytes(edge.results) + column_bytes(parts)
        return every - over

    def _ends(self, edge: Boundary, steps: Walk) -> int:
        """Bytes of what a stage eats and leaves, at least: in pairs, they overlap."""
        if steps.summed is not None:
            # Its result comes when the windows may be gone.
            late = set(steps.summed.outputs)
            early = {self._lives.tensors[t] for t in steps.results if t not in late}
            results = [i for i in edge.results if i in early]
            return max(self._bytes(edge.consumed), self._bytes(results))
        best = max(self._bytes(edge.consumed), self._bytes(edge.results))
        if len(edge.consumed) == 1 and len(edge.results) == 1:
            (source,), (out,) = edge.consumed, edge.results
            inside = [t for t in steps.results if self._lives.tensors[t] == out]
            outside = [t for t in steps.outside if self._lives.tensors[t] == source]
            if len(inside) == 1 and len(outside) == 1:
                apart = align_up(least_distance(steps, inside[0], outside[0]), ALIGNMENT)
                best = max(best, min(apart, self._sizes[out]) + self._sizes[source])
        return best

    def _planned(self, start: int, stop: int, way: Way) -> int | None:
        edge = self.boundary(start, stop)
        ops = self.graph.ops[start:stop]
        alone = self._alone(edge, ops)
        # What passes by and is read inside is part of the plan already.
        inside = {self._lives.tensors[t] for t in alone.inputs}
        reads = self._source is not None and self._source in inside
        kind = "streamed" if reads else "resident"
        passing = self._bytes([i for i in edge.passing if i not in inside])
        try:
            found = plan(
                alone,
                Schedule((Stage(ops, way.band, way.columns),), kind),
                scratch=self._scratch,
                access=self._access,
                moves=False,
                seconds=0.0,
            )
        except NotStreamable as error:
            self.reasons.setdefault(error.at, error)
            return None
        known = Solution(found.places, found.peak, found.bound)
        if not known.is_optimal:
            # How rings and results share the head of an input is more than a bound can tell.
            known = prove(found.problem, known, effort=EFFORT)
        return passing + align_up(known.bound, ALIGNMENT)

    def _alone(self, edge: Boundary, ops: tuple[Op, ...]) -> Graph:
        """These ops as a graph: what is read after them, of their own or before, goes out."""
        made = {t for op in ops for t in op.outputs}
        held = self._lives.tensors
        reads = dict.fromkeys(t for op in ops for t in op.inputs if t in held and t not in made)
        stay = {*edge.passing, *edge.results}
        gone = [t for t in (*reads, *made) if t is not None and held[t] in stay]
        inputs = tuple(t for t in reads if t is not None and not t.variable)
        ordered = sorted(gone, key=lambda t: (held[t], t.name))
        return Graph(ops, inputs, tuple(t for t in ordered if self._outlives(t, ops, made)))

    def _outlives(self, tensor: Tensor, ops: tuple[Op, ...], made: set[Tensor]) -> bool:
        """Whether anybody but these ops wants this tensor, or a view of it."""
        if tensor not in made:
            return True
        inside = set(ops)
        wanted = tensor in self.graph.outputs
        return wanted or any(tensor in op.inputs for op in self.graph.ops if op not in inside)
