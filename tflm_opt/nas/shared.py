"""Prices of stages, shared by nets that have the same stages.

What a stage costs depends on its ops, on how they are wired, and on which of its tensors others
want; of the rest of the net it depends on one number only, the bytes that pass it by. So nets of one
search, which differ in a few blocks, share nearly all prices. A stage is known by its *signature*:
a number for each op, of all that its costs depend on, with what it reads and who reads it counted
from where it stands.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .. import codegen
from ..arena.plan import ALIGNMENT, Spacing, spacing
from ..arena.problem import align_up
from ..codegen.rooms import Kernels, key
from ..codegen.uses import Use, uses
from ..graph.ir import Graph, Op, Tensor
from ..patch_split.cost import BYTE_WORK, Cost, Costs, Way
from ..patch_split.regions import NotStreamable
from ..patch_split.schedule import Schedule, Stage

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


class Shared:
    """What is known of stages. `tier`: of the core, `kernels.table.pace_of`."""

    def __init__(self, tier: str) -> None:
        self.tier = tier
        self.ops: dict[Any, int] = {}
        self.stages: dict[tuple[int, int], int] = {}
        self.estimates: dict[tuple[int, Way], tuple[Cost | None, tuple[int, str] | None]] = {}
        self.details: dict[tuple[int, Way], Detail | None] = {}

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
        self._numbers = self._signed()
        self._stage_ids: dict[tuple[int, int], int] = {}

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
        whole, between = (self._surely_kept(first, after, which) for which in (0, 1))
        of_rows = np.maximum(consumed, results) + whole
        of_columns = np.maximum(consumed, results + between)
        no_columns = np.concatenate([[0], np.cumsum(~np.array(self._columns))])
        stops = np.minimum(after[:, :, 0], len(self.graph.ops))
        possible = no_columns[stops] == no_columns[first[:, :, 0] - 1]
        return passing + np.where(possible, np.minimum(of_columns, of_rows), of_rows)

    def shape(self, longest: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """By [start, length - 1]: bytes around a stage, and of its largest tensor inside.

        And by [start, position in the stage]: rows that the ops make at least.
        """
        _, _, passing, consumed, results = self._edges(longest)
        count = len(self.graph.ops)
        inner, rows = (np.zeros((count, longest), np.int64) for _ in range(2))
        outs = [sum(t.nbytes for t in op.outputs) for op in self.graph.ops]
        for start in range(count):
            stop = min(start + longest, count)
            inner[start, 1 : stop - start] = np.maximum.accumulate(outs[start : stop - 1])
            rows[start, : stop - start] = self._rows[start:stop]
        return passing + np.maximum(consumed, results), inner, rows

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

    def _surely_kept(self, first: np.ndarray, after: np.ndarray, which: int) -> np.ndarray:
        """Bytes of tensors inside of which rows stay: as `Costs.bound` has them."""
        kept: dict[tuple[int, int], int] = {}
        for row in self._least:
            for maker, last, *both in row:
                kept[maker, last] = max(kept.get((maker, last), 0), both[which])
        if not kept:
            return np.zeros((1, 1), np.int64)
        makers, lasts = (np.array([key[i] for key in kept]) + 1 for i in (0, 1))
        return ((makers >= first) & (lasts < after)) @ np.array(list(kept.values()))

    def _estimate(self, start: int, stop: int, way: Way) -> Cost | None:
        key = self._stage_id(start, stop), way
        passing = self._bytes(self.boundary(start, stop).passing)
        if key not in self.shared.estimates:
            before = dict(self.reasons)
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
            used = uses(alone, schedule)
        except NotStreamable as error:
            self.reasons.setdefault(error.at, error)
            return None
        cost = self.of(start, stop, way)
        moved = 0.0 if cost is None else cost.moved * BYTE_WORK
        return Detail(tuple(_rooms(alone, schedule, used, self.shared.tier)), moved)

    def _stage_id(self, start: int, stop: int) -> int:
        known = self._stage_ids.get((start, stop))
        if known is None:
            before = self._stage_id(start, stop - 1) if stop > start + 1 else -self.streamed
            known = self.shared.stage(before, self._numbers[stop - 1])
            self._stage_ids[start, stop] = known
        return known

    def _signed(self) -> list[int]:
        """A number for each op."""
        ops = self.graph.ops
        readers: dict[Tensor, list[int]] = {}
        for k, op in enumerate(ops):
            for tensor in op.inputs:
                if tensor is not None and tensor.data is None:
                    readers.setdefault(tensor, []).append(k)
        made = {t: k for k, op in enumerate(ops) for t in op.outputs}
        out = frozenset(self.graph.outputs)

        def seen(k: int, tensor: Tensor) -> Any:
            at = self._lives.tensors.get(tensor)
            span = None
            if at is not None:
                buffer = self._lives.buffers[at]
                span = buffer.start - k, buffer.stop - k, self._sizes[at]
            by = tuple(r - k for r in readers.get(tensor, ()))
            start = made[tensor] - k if tensor in made else None
            return tensor.shape, tensor.dtype, span, by, start, tensor in out, tensor.variable

        def one(k: int, op: Op) -> Any:
            first = op.outputs[0].quant
            inputs = tuple(
                None
                if t is None
                else _constant(t)
                if t.data is not None
                else (seen(k, t), t.quant is not None and t.quant.same_as(first))
                for t in op.inputs
            )
            return op.kind, op.options, inputs, tuple(seen(k, t) for t in op.outputs)

        return [self.shared.op(one(k, op)) for k, op in enumerate(ops)]


def _constant(tensor: Tensor) -> Any:
    scales = 0 if tensor.quant is None else len(tensor.quant.scale)
    small = tensor.elements <= _SMALL and tensor.dtype in ("int32", "int64")
    data = tensor.data.tobytes() if small and tensor.data is not None and not scales else None
    return tensor.shape, tensor.dtype, scales, data


def _rooms(graph: Graph, schedule: Schedule, used: tuple[Use, ...], tier: str) -> list[Room]:
    """For each op the needs of its step, by levels as `furnish` has them."""
    sizes = [use.sizes(tier) for use in used]
    needs: list[dict[int, int]] = []
    for level in range(max(len(s) for s in sizes)):
        tried = {use.op: s[min(level, len(s) - 1)] for use, s in zip(used, sizes, strict=True)}
        needs.append(_spacing(graph, schedule, used, tried).needs())
    rooms = []
    for step, (use, own) in enumerate(zip(used, sizes, strict=True), start=1):
        by_level = tuple(needs[level].get(step, 0) for level in range(len(own)))
        # Steps at which no buffer begins aren't listed; those around them need no less.
        rooms.append(Room(by_level, tuple(use.work(size, tier) for size in own)))
    return rooms


def _spacing(
    graph: Graph, schedule: Schedule, used: tuple[Use, ...], tried: dict[Op, int]
) -> Spacing:
    found: dict[Tensor, int] = {}
    for use in used:
        weights, size = key(use.op), tried[use.op]
        if weights is not None:
            size = min(found.get(weights, size), size)
            found[weights] = 0 if size < use.least else size
    kernels = Kernels(found)
    return spacing(graph, schedule, scratch=kernels.scratch, access=kernels.access)
