"""Prices of stages, shared by nets that have the same stages.

What a stage costs depends on its ops, on how they are wired, and on which of its tensors others
want; of the rest of the net it depends on one number only, the bytes that pass it by. So nets of
one search, which differ in a few blocks, share nearly all prices. A stage is known by its
*signature*: a number for each op, of all that its costs depend on, with what it reads and who reads
it counted from where it stands. How a stage walks is shared by even more nets (`tails`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .. import codegen
from ..arena.plan import ALIGNMENT, Spacing, spacing
from ..arena.problem import align_up
from ..arena.streams import Streamed, streamed_stages
from ..codegen.rooms import Kernels, key
from ..codegen.uses import Use, uses
from ..graph.ir import Graph, Op, Tensor
from ..patch_split.columns import pixel_bytes
from ..patch_split.cost import BYTE_WORK, WIDTHS, Band, Cost, Costs, Way
from ..patch_split.regions import NotStreamable
from ..patch_split.schedule import Schedule, Stage
from ..patch_split.walk import walks
from .stages import ColumnStage, Image, Layout, RowStage, surely_kept
from .tails import ColumnNode, RowNode, Spot, Tails

# Prices and nodes that are kept: some hundred megabytes.
_MOST, _MOST_NODES = 200_000, 80_000
# Constants of so many values are compared by value: axes, paddings, shapes.
_SMALL = 16


@dataclass(frozen=True, slots=True)
class Room:
    """What an op's kernels gain from scratch in a stage.

    Attributes:
        needs: by size of scratch, from none on: bytes that the step needs, without what passes by.
        works: estimated instructions with each of them.
    """

    needs: tuple[int, ...]
    works: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Detail:
    """A stage in one way, op by op. `moved` is the work of moving kept rows."""

    rooms: tuple[Room, ...]
    moved: float

    @property
    def need(self) -> int:
        """Bytes of the worst step without optional scratch."""
        return max((room.needs[0] for room in self.rooms), default=0)


@dataclass(frozen=True, slots=True)
class Shape:
    """What the work of stages depends on, by [start, length - 1].

    Attributes:
        ends: bytes around the stage.
        inner: of the largest tensor inside, or of those together of which rows stay.
        rows: by [start, position in the stage]: rows that the op makes at least.
        between: bytes that stay from one step to the next.
    """

    ends: np.ndarray
    inner: np.ndarray
    rows: np.ndarray
    between: np.ndarray


class Shared:
    """What is known of stages. `tier`: of the core, `kernels.table.pace_of`."""

    def __init__(self, tier: str) -> None:
        self.tier = tier
        self.ops: dict[Any, int] = {}
        self.stages: dict[tuple[int, int], int] = {}
        self.estimates: dict[
            tuple[int, Way], tuple[Cost | None, tuple[int, NotStreamable] | None]
        ] = {}
        self.details: dict[tuple[int, Way], Detail | None] = {}
        self.spots: dict[int, Spot] = {}
        self.tails = Tails()

    @property
    def full(self) -> bool:
        """Whether it is time to begin anew, lest memory runs out."""
        return len(self.estimates) > _MOST or len(self.tails) > _MOST_NODES

    def op(self, signature: Any) -> int:
        """The number of an op's signature."""
        return self.ops.setdefault(signature, len(self.ops))

    def stage(self, before: int, op: int) -> int:
        """The number of a stage: of the one without its last op, and that op."""
        return self.stages.setdefault((before, op), len(self.stages) + 1)


class SharedCosts(Costs):
    """Prices of one graph's stages, as `Costs` has them, but for one thing.

    Its exact prices are those of the worst step, without the planner's proof that buffers can't
    fit together as well as each step allows: a few bytes less, in a hundredth of the time.
    """

    def __init__(self, graph: Graph, shared: Shared, *, streamed: bool) -> None:
        self.shared = shared
        super().__init__(graph, streamed=streamed, scratch=codegen.scratch, access=codegen.access)
        self._numbers, self._shapes = self._signed()
        self._stage_ids: dict[tuple[int, int], int] = {}
        self._rows_of: dict[tuple[int, Band], list[RowNode | None]] = {}
        self._columns_of: dict[tuple[int, int], list[ColumnNode]] = {}
        self.layout = self._laid_out()

    def detail(self, start: int, stop: int, way: Way) -> Detail | None:
        """A stage op by op; None if it can't run that way."""
        key = self._stage_id(start, stop), way
        if key not in self.shared.details:
            self.shared.details[key] = self._detailed(start, stop, way)
        return self.shared.details[key]

    def around(self, start: int, stop: int) -> int:
        """Bytes that pass ops [start, stop) by and that they don't read."""
        inside = {
            self._lives.tensors[t]
            for op in self.graph.ops[start:stop]
            for t in op.inputs
            if t is not None and t in self._lives.tensors
        }
        passing = self.boundary(start, stop).passing
        return self._bytes([i for i in passing if i not in inside])

    def bounds(self, longest: int) -> np.ndarray:
        """Bytes that stages need whatever the way: int64 [start, length - 1]."""
        first, after, passing, consumed, results = self._edges(longest)
        self._passing, self._consumed, self._results = passing, consumed, results
        whole, between = (self._surely_kept(first, after, which) for which in (0, 1))
        of_rows = np.maximum(consumed, results) + whole
        of_columns = np.maximum(consumed, results + between)
        no_columns = np.concatenate([[0], np.cumsum(~np.array(self._columns))])
        stops = np.minimum(after[:, :, 0] - 1, len(self.graph.ops))
        possible = no_columns[stops] == no_columns[first[:, :, 0] - 1]
        return passing + np.where(possible, np.minimum(of_columns, of_rows), of_rows)

    def shape(self, longest: int) -> Shape:
        """What the work of stages depends on."""
        first, after, passing, consumed, results = self._edges(longest)
        count = len(self.graph.ops)
        inner, rows = (np.zeros((count, longest), np.int64) for _ in range(2))
        outs = [sum(t.nbytes for t in op.outputs) for op in self.graph.ops]
        for start in range(count):
            stop = min(start + longest, count)
            inner[start, 1 : stop - start] = np.maximum.accumulate(outs[start : stop - 1])
            rows[start, : stop - start] = self._rows[start:stop]
        inner = np.maximum(inner, self._surely_kept(first, after, outs))
        ends = passing + np.maximum(consumed, results)
        return Shape(ends, inner, rows, self._surely_kept(first, after, 1))

    def column_calls(self, longest: int) -> np.ndarray:
        """Calls that stages add at least if they make columns: int64 [start, length - 1]."""
        count = len(self.graph.ops)
        found = np.zeros((count, longest), np.int64)
        rows, widths = np.array(self._rows), np.array(self._widths)
        for stop in range(1, count + 1):
            start = max(stop - longest, 0)
            parts = self._fewest_parts(stop - 1)
            calls = rows[start:stop] * np.minimum(parts, widths[start:stop]) - 1
            at = np.arange(start, stop)
            found[at, stop - at - 1] = np.cumsum(calls[::-1])[::-1]
        return np.maximum(found, 0)

    def _fewest_parts(self, op: int) -> int:
        """Into which an op's output is cut if it ends a stage of columns."""
        width = self.layout.images[op][1]
        return -(-width // max((w for w in WIDTHS if w < width), default=1))

    def _edges(self, longest: int) -> tuple[np.ndarray, ...]:
        """Steps of stages, first and behind the last, and bytes passing, consumed and left."""
        lives = [b for i, b in enumerate(self._lives.buffers) if i != self._source]
        sizes = np.array([s for i, s in enumerate(self._sizes) if i != self._source])
        begin, end = (np.array([getattr(b, k) for b in lives]) for k in ("start", "stop"))
        first = np.arange(1, len(self.graph.ops) + 1)[:, None, None]
        after = first + np.arange(1, longest + 1)[None, :, None]
        before = begin < first
        passing = (before & (end > after)) @ sizes
        consumed = (before & (end > first) & (end <= after)) @ sizes
        results = (~before & (begin < after) & (end > after)) @ sizes
        return first, after, passing, consumed, results

    def _surely_kept(
        self, first: np.ndarray, after: np.ndarray, which: int | list[int]
    ) -> np.ndarray:
        """Bytes of tensors inside of which rows stay, in or between steps: as `Costs.bound`.

        Or by a list of bytes by the op that makes them.
        """
        kept: dict[tuple[int, int], int] = {}
        for row in self._least:
            for maker, last, *both in row:
                size = both[which] if isinstance(which, int) else which[maker]
                kept[maker, last] = max(kept.get((maker, last), 0), size)
        if not kept:
            return np.zeros((1, 1), np.int64)
        makers, lasts = (np.array([key[i] for key in kept]) + 1 for i in (0, 1))
        return ((makers >= first) & (lasts < after)) @ np.array(list(kept.values()))

    def _estimate(self, start: int, stop: int, way: Way) -> Cost | None:
        key = self._stage_id(start, stop), way
        passing = self._bytes(self.boundary(start, stop).passing)
        if key not in self.shared.estimates:
            before = dict(self.reasons)
            stage = self._stage(start, stop, way)
            if stage is not None:
                alone: Cost | None = stage.cost(0)
            else:
                found = super()._estimate(start, stop, way)
                alone = None if found is None else replace(found, peak=found.peak - passing)
            ops = self.graph.ops[start:stop]
            new = [(ops.index(op), e) for op, e in self.reasons.items() if op not in before]
            self.shared.estimates[key] = alone, new[0] if new else None
        known, reason = self.shared.estimates[key]
        if reason is not None:
            at, error = reason
            self.reasons.setdefault(self.graph.ops[start + at], error)
        return None if known is None else replace(known, peak=known.peak + passing)

    def _stage(self, start: int, stop: int, way: Way) -> RowStage | ColumnStage | None:
        """A stage by its nodes; None if it is left to `patch_split`."""
        first = self._row(start, stop, way.band) if _by_nodes(way) else None
        if first is None:
            return None
        nodes = first, *first.behind
        rows = RowStage(self.layout, start, way.band, nodes, self.boundary(start, stop))
        if way.columns is None:
            return rows
        if nodes[-1].spot.sums:
            return None
        front = self._column(start, stop, way.columns.width)
        return ColumnStage(rows, (front, *front.behind))

    def within(self, start: int, stop: int, way: Way, limit: int) -> Cost | None:
        """The price of a stage if it needs `limit` bytes or less; None if not.

        Most stages that need more are told from fewer of their ops.
        """
        known = (start, stop, way) in self._found or (
            (self._stage_id(start, stop), way) in self.shared.estimates
        )
        if not known and _by_nodes(way) and self._is_more(start, stop, way, limit):
            return None
        found = self.of(start, stop, way)
        return None if found is None or found.peak > limit else found

    def _is_more(self, start: int, stop: int, way: Way, limit: int) -> bool:
        """Whether a stage surely needs more: windows of its last ops alone may be too much."""
        at, columns = (start, stop - start - 1), way.columns
        consumed, need = (int(table[at]) for table in (self._consumed, self._results))
        left = limit - int(self._passing[at])
        if columns is None:
            need = consumed if self.layout.spots[stop - 1].sums else max(consumed, need)
        if max(consumed, need) > left:
            return True
        for first in range(stop - 1, start - 1, -1):
            row = self._row(first, stop, way.band)
            if row is None:
                return False
            column = None if columns is None else self._column(first, stop, columns.width)
            need += surely_kept(self.layout, first, row, column)
            if need > left:
                return True
        stage = None if columns is None else self._stage(start, stop, way)
        return isinstance(stage, ColumnStage) and stage.sketch > left

    def _row(self, start: int, stop: int, band: Band) -> RowNode | None:
        """The node of the first op of a stage; None if it is left to `patch_split`."""
        assert band is not None
        known = self._rows_of.setdefault((stop, band), [])
        while len(known) < stop - start:
            spot = self.layout.spots[stop - 1 - len(known)]
            if not known:
                node = self.shared.tails.last_rows(spot, band)
            else:
                node = known[-1] and self.shared.tails.rows(known[-1], spot, band)
            known.append(node)
        return known[stop - start - 1]

    def _column(self, start: int, stop: int, width: int) -> ColumnNode:
        known = self._columns_of.setdefault((stop, width), [])
        while len(known) < stop - start:
            spot = self.layout.spots[stop - 1 - len(known)]
            tails = self.shared.tails
            node = tails.columns(known[-1], spot) if known else tails.last_columns(spot, width)
            known.append(node)
        return known[stop - start - 1]

    def _planned(self, start: int, stop: int, way: Way) -> int | None:
        found = self.detail(start, stop, way)
        if found is None:
            return None
        return self.around(start, stop) + align_up(found.need, ALIGNMENT)

    def _detailed(self, start: int, stop: int, way: Way) -> Detail | None:
        ops = self.graph.ops[start:stop]
        alone = self._alone(self.boundary(start, stop), ops)
        streamed = self._source is not None and any(
            self._lives.tensors[t] == self._source for t in alone.inputs
        )
        kind = "streamed" if streamed else "resident"
        schedule = Schedule((Stage(ops, way.band, way.columns),), kind)
        try:
            banded = walks(alone, schedule)
            used = uses(alone, schedule, banded)
        except NotStreamable as error:
            self.reasons.setdefault(error.at, error)
            return None
        cost = self.of(start, stop, way)
        moved = 0.0 if cost is None else cost.moved * BYTE_WORK
        stages = streamed_stages(schedule, banded)
        return Detail(tuple(_rooms(alone, schedule, stages, used, self.shared.tier)), moved)

    def _laid_out(self) -> Layout:
        ops, held = self.graph.ops, self._lives.tensors
        made = {t: k for k, op in enumerate(ops) for t in op.outputs}
        readers: dict[Tensor, list[int]] = {}
        for k, op in enumerate(ops):
            for tensor in op.inputs:
                if tensor is not None:
                    readers.setdefault(tensor, []).append(k)
        spots = []
        for k, (op, number) in enumerate(zip(ops, self._shapes, strict=True)):
            if number not in self.shared.spots:
                back = tuple(k - made[t] if t in made else 0 for t in op.inputs)
                by = readers.get(op.outputs[0], ())
                self.shared.spots[number] = Spot.of(self.graph, k, number, by, back)
            spots.append(self.shared.spots[number])
        return Layout(
            spots=spots,
            images=[_image(op.outputs[0]) for op in ops],
            outs=[held.get(op.outputs[0], -1) for op in ops],
            ins=[
                tuple((held[t], _image(t)) if t in held else None for t in op.inputs) for op in ops
            ],
            sizes=self._sizes,
            source=self._source,
        )

    def _stage_id(self, start: int, stop: int) -> int:
        known = self._stage_ids.get((start, stop))
        if known is None:
            before = self._stage_id(start, stop - 1) if stop > start + 1 else -self.streamed
            known = self.shared.stage(before, self._numbers[stop - 1])
            self._stage_ids[start, stop] = known
        return known

    def _signed(self) -> tuple[list[int], list[int]]:
        """A number for each op, and one for what of it rows and columns depend on."""
        ops = self.graph.ops
        readers: dict[Tensor, list[int]] = {}
        for k, op in enumerate(ops):
            for tensor in op.inputs:
                if tensor is not None and tensor.data is None:
                    readers.setdefault(tensor, []).append(k)
        made = {t: k for k, op in enumerate(ops) for t in op.outputs}
        out = frozenset(self.graph.outputs)

        def wired(k: int, tensor: Tensor) -> Any:
            by = tuple(r - k for r in readers.get(tensor, ()))
            return by, made[tensor] - k if tensor in made else None, tensor in out

        def held(k: int, tensor: Tensor) -> Any:
            at = self._lives.tensors.get(tensor)
            if at is None:
                return None
            buffer = self._lives.buffers[at]
            return buffer.start - k, buffer.stop - k, self._sizes[at]

        numbers, shapes = [], []
        for k, op in enumerate(ops):
            tensors = [(t, wired(k, t)) for t in (*op.inputs, *op.outputs) if t and t.data is None]
            constants = [t for t in op.inputs if t is not None and t.data is not None]
            places = tuple(t is None or t.data is None for t in op.inputs)
            first = op.outputs[0].quant
            number = (
                (op.kind, op.options, places),
                tuple((t.shape, t.dtype, t.variable, w, held(k, t)) for t, w in tensors),
                tuple(t.quant is not None and t.quant.same_as(first) for t, _ in tensors),
                tuple(map(_constant, constants)),
            )
            shape = (
                (op.kind, op.options, places),
                tuple((t.shape[:-1], len(t.shape), t.dtype, w) for t, w in tensors),
                tuple((t.shape[1:-1], t.dtype, _small(t)) for t in constants),
            )
            numbers.append(self.shared.op(number))
            shapes.append(self.shared.op(shape))
        return numbers, shapes


def _by_nodes(way: Way) -> bool:
    """Whether a way is one that nodes know of: strips aren't, which compute columns twice."""
    return way.band is not None and (way.columns is None or way.columns.kept)


def _constant(tensor: Tensor) -> Any:
    scales = 0 if tensor.quant is None else len(tensor.quant.scale)
    return tensor.shape, tensor.dtype, scales, _small(tensor)


def _small(tensor: Tensor) -> bytes | None:
    """The values of axes, paddings and shapes."""
    small = tensor.elements <= _SMALL and tensor.dtype in ("int32", "int64")
    if not small or tensor.data is None or tensor.quant is not None:
        return None
    return tensor.data.tobytes()


def _image(tensor: Tensor) -> Image:
    """Of tensors of other ranks too: nobody asks."""
    _, rows, columns, _ = (1, 1, 1, *tensor.shape)[-4:]
    return rows, columns, pixel_bytes(tensor) if len(tensor.shape) == 4 else tensor.nbytes


def _rooms(
    graph: Graph,
    schedule: Schedule,
    stages: Sequence[Streamed],
    used: tuple[Use, ...],
    tier: str,
) -> list[Room]:
    """For each op the needs of its step, by levels as `furnish` has them."""
    sizes = [use.sizes(tier) for use in used]
    needs: list[dict[int, int]] = []
    for level in range(max(len(s) for s in sizes)):
        tried = {use.op: s[min(level, len(s) - 1)] for use, s in zip(used, sizes, strict=True)}
        needs.append(_spacing(graph, schedule, stages, used, tried).needs())
    rooms = []
    for step, (use, own) in enumerate(zip(used, sizes, strict=True), start=1):
        by_level = tuple(needs[level].get(step, 0) for level in range(len(own)))
        # Steps at which no buffer begins aren't listed; those around them need no less.
        rooms.append(Room(by_level, tuple(use.work(size, tier) for size in own)))
    return rooms


def _spacing(
    graph: Graph,
    schedule: Schedule,
    stages: Sequence[Streamed],
    used: tuple[Use, ...],
    tried: dict[Op, int],
) -> Spacing:
    found: dict[Tensor, int] = {}
    for use in used:
        weights, size = key(use.op), tried[use.op]
        if weights is not None:
            size = min(found.get(weights, size), size)
            found[weights] = 0 if size < use.least else size
    kernels = Kernels(found)
    return spacing(graph, schedule, scratch=kernels.scratch, access=kernels.access, stages=stages)
