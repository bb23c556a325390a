"""How far every op of a stage has come after each step.

*Late* is the rule: an op makes a row when a reader needs it. From the last op, which makes a band
a step, every op's line follows back to the first (`RowReach.ahead`).

Where a tensor is read on two ways, late can be too late. Of a block that halves its image

    x ──── 3×3, stride 2 ──── 3×3 ──── ADD           the ADD's row j asks for
     \\____ 1×1, stride 2 ______________/                rows up to 2j + 4 of x on the one way,
                                                        for row 2j on the other

so `x` has to keep five rows, where the 3×3 convolution alone needs three: the others wait for
the 1×1 convolution. An op that is *early* makes its rows before rows that only it reads would be
kept for it: its own rows wait instead, and those are often fewer and smaller. It works after all
others in steps of its own, so that what its readers are done with is gone already.

Which ops are early is chosen by `walk`, by the bytes of the windows. The idea is retiming of
dataflow graphs (Leiserson and Saxe, 1991), where a delay is moved to the side of an op where it
is cheaper to hold.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from fractions import Fraction

import numpy as np

from tflm_opt.graph.ir import Op, Tensor
from tflm_opt.patch_split.regions import (
    NEVER,
    ROW_AXIS,
    NotStreamable,
    RowReach,
    row_reaches,
    stage_height,
    sum_reaches,
)
from tflm_opt.patch_split.schedule import Stage

# No stage has a longer way from its first row in to its first row out.
_LONGEST_START = 1 << 20

Reaches = dict[Op, tuple["RowReach | None", ...]]
# Rows that exist after 0, 1, … steps: int64 (steps + 1,), rising.
Rows = dict[Tensor, np.ndarray]


def stage_reaches(stage: Stage, source: Tensor | None) -> Reaches:
    """Row reaches of all ops, with what is made checked to be read by rows and afterwards.

    Raises:
        NotStreamable: an op that can't run on rows.
        ValueError: an op reads what is made later.
    """
    found: Reaches = {}
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


class Pace:
    """The rows that exist after each step of a stage.

    Attributes:
        readers: by tensor, the ops of the stage that read rows of it, and how.
        late: rows made if no op is early.
    """

    def __init__(
        self,
        stage: Stage,
        results: frozenset[Tensor],
        reaches: Reaches,
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
        self.reading: dict[Op, list[tuple[int, int]]] = {}
        for op in reversed(stage.ops):
            self.total[op] = max(self._total(t) for t in op.outputs)
            self.reading[op] = self._reading(op)
        self.late = self._late()

    def _reading(self, op: Op) -> list[tuple[int, int]]:
        """By input: the first and the last row that reads more than padding.

        Raises:
            NotStreamable: there is none.
        """
        total, found = self.total[op], []
        for reach in self.reaches[op]:
            if reach is not None:
                read = np.flatnonzero(reach.starts[:total] < reach.stops[:total])
                if not read.size:
                    raise NotStreamable(op, "of its rows, only padding is read")
                found.append((int(read[0]), int(read[-1])))
        return found

    def _total(self, tensor: Tensor) -> int:
        """Rows of a tensor that are ever made: those below the last one read are not."""
        if tensor in self.results:
            return self.height[tensor]
        return max(reach.needs(0, self.total[op])[1] for op, reach in self.readers[tensor])

    def made(self, early: Collection[Op] = ()) -> Rows:
        """Rows that exist before each step, by tensor made; the last entry is all there ever are.

        With early ops, every step is two: the others first, then the early ones in their order.
        """
        if not early:
            return self.late
        rows = {t: np.repeat(found, 2) for t, found in self.late.items()}
        for op in self.stage.ops:
            if op in early:
                rows.update(dict.fromkeys(op.outputs, self._early(op, rows, early)))
        return _without_rests(rows)

    def candidates(self, early: Collection[Op] = ()) -> list[Op]:
        """Ops inside the stage that would make rows sooner if they were early too.

        Ops that make a result are left out: results are whole, and nobody waits for them.
        """
        found: list[Op] = []
        ahead = {t for op in early for t in op.outputs}
        # What has one reader, and one that is late, was made because that reader asked for it.
        shared = ahead | {t for t, readers in self.readers.items() if len(readers) > 1}
        some = [op for op in self.stage.ops[:-1] if not shared.isdisjoint(op.inputs)]
        rows = {t: np.repeat(made, 2) for t, made in self.late.items()} if some else {}
        for op in some:
            if not self.results.isdisjoint(op.outputs):
                continue
            sooner = self._early(op, rows, {*early, op})
            if op in early:
                rows.update(dict.fromkeys(op.outputs, sooner))
            elif (sooner[1:-1] > rows[op.outputs[0]][1:-1]).any():
                found.append(op)
        return found

    def edges(self, tensor: Tensor, made: Mapping[Tensor, np.ndarray]) -> list[np.ndarray]:
        """By reader, the first row that its next row reads, padding included: may be below 0."""
        return [reach.edge(made[op.outputs[0]]) for op, reach in self.readers.get(tensor, ())]

    def _early(self, op: Op, rows: Rows, early: Collection[Op]) -> np.ndarray:
        """Rows of an early op: as `rows` has it, and those whose input would be kept for it."""
        total, late = self.total[op], rows[op.outputs[0]]
        inside = [
            (tensor, reach)
            for tensor, reach in zip(op.inputs, self.reaches[op], strict=True)
            if tensor is not None and reach is not None and tensor in rows
        ]
        if not inside:
            return late
        possible = np.full(late.size, total, np.int64)
        wanted = np.zeros(late.size, np.int64)
        for tensor, reach in inside:
            possible = np.minimum(possible, possible_rows(reach, total, rows[tensor]))
            needed = np.full(late.size, NEVER, np.int64)
            for other, other_reach in self.readers[tensor]:
                if other not in early:
                    lowest = other_reach.lowest_from(self.total[other])
                    needed = np.minimum(needed, lowest[rows[other.outputs[0]]])
            held = np.searchsorted(reach.lowest_from(total), needed)
            wanted = np.maximum(wanted, held)
        sooner = self._whole_rows(op, np.minimum(possible, wanted))
        # Only in its own half of a step: in the other one, it makes what its readers ask for.
        sooner[0::2] = 0
        return np.maximum.accumulate(np.maximum(sooner, late))

    def _late(self) -> Rows:
        last, band = self.stage.ops[-1], Fraction(self.stage.band or 0)
        count = -(-self.height[last.outputs[0]] // band)
        start = 64  # enough for all but very long stages
        while True:
            rows = self._after(np.arange(1 - start, count + 1, dtype=np.int64), band)
            if all(row[0] == 0 for row in rows.values()):
                return _without_rests(rows)
            start *= 2
            if start > _LONGEST_START:
                raise NotStreamable(last, "its stage takes too long to get going")

    def _after(self, steps: np.ndarray, band: Fraction) -> Rows:
        """Rows made after steps; step 1 is the one in which the last op makes its first band.

        Lines are in units of 1 / band.denominator rows.
        """
        unit = band.denominator
        line: dict[Op, np.ndarray] = {}
        made: dict[Op, np.ndarray] = {}
        rows: Rows = {}
        last = steps * band.numerator
        for op in reversed(self.stage.ops):
            asked = [self._line(t, last, unit, line, made) for t in op.outputs]
            line[op] = asked[0] if len(asked) == 1 else np.max(asked, axis=0)
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
        most = asked[0]
        for other in asked[1:]:
            most = np.maximum(most, other)
        return most

    def _whole_rows(self, op: Op, line: np.ndarray) -> np.ndarray:
        """The line clipped to rows that are made; rows of padding only wait for a real one."""
        total = self.total[op]
        rows = np.minimum(np.maximum(line, 0), total)
        for first, last in self.reading[op]:
            if first:
                rows = np.where((rows > 0) & (rows <= first), first + 1, rows)
            if last < total - 1:
                rows = np.where(rows > last, total, rows)
        return rows


def possible_rows(reach: RowReach, total: int, made: np.ndarray) -> np.ndarray:
    """Output rows that can be made of the first `made` input rows."""
    read = reach.starts[:total] < reach.stops[:total]
    first = int(np.argmax(read))
    asked = np.where(read, reach.stops[:total], 0)
    asked[:first] = asked[first]
    return np.searchsorted(np.maximum.accumulate(asked), made, side="right")


def _without_rests(rows: Rows) -> Rows:
    """Steps in which nobody makes a row are no steps."""
    table = np.array(list(rows.values()))
    works = (np.diff(table, axis=1) > 0).any(axis=0)
    columns = np.concatenate([[0], np.flatnonzero(works) + 1])
    return dict(zip(rows, table[:, columns], strict=True))
