"""Stages that end with the same op, walked backward once for all of their beginnings.

In a stage, the last op sets the pace: each op before makes the rows that its readers ask for
(`patch_split.walk`). So the rows of an op depend on what comes after it and not on what comes
before, and a stage is a shorter one with an op in front:

    stages of ops 4..7, 5..7, 6..7:      7 ◄── 6 ◄── 5 ◄── 4        one node an op

A *node* knows the steps of its op and the window of what it makes. Rows and columns say nothing of
channels, so nets that differ in their channels share nodes: a node is found by the one behind it
and by its *spot*, all of an op that walks depend on. What a stage needs in bytes is then a sum over
its nodes, with the channels of a net (`shared`).

Steps in which nobody works stay: they change no window.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from ..graph.ir import Graph, Op
from ..patch_split.pace import possible_rows
from ..patch_split.regions import (
    COLUMN_AXIS,
    NEVER,
    ROW_AXIS,
    NotStreamable,
    RowReach,
    column_reaches,
    row_reaches,
    stage_height,
    sum_reaches,
)
from ..patch_split.walk import Window, window_of

# Steps before the first result. What takes longer to get going is left to `patch_split`.
_START = 128

Reaches = tuple["RowReach | None", ...]


@dataclass(frozen=True, slots=True, eq=False)
class Spot:
    """Of an op, all that rows and columns depend on.

    Attributes:
        number: the same for ops that are alike, and of no others.
        height, width: of the output.
        back: by input, how many ops before its maker is; 0: not made by an op.
        rows, columns: by input, how places are read; None if it can't be cut that way.
        sums: rows, of an op that folds an image if it ends its stage.
        folded: rows that a band counts if it ends its stage.
        readers: how many ops behind each reader of the output is, rising.
        out: whether the graph gives the output out.
        odd: whether it is left to `patch_split`: several outputs, or variables.
    """

    number: int
    height: int
    width: int
    back: tuple[int, ...]
    rows: Reaches | None
    columns: Reaches | None
    sums: Reaches | None
    folded: int
    readers: tuple[int, ...]
    out: bool
    odd: bool

    @staticmethod
    def of(
        graph: Graph, index: int, number: int, readers: Sequence[int], back: tuple[int, ...]
    ) -> Spot:
        """That of an op, by its position, and those of its readers; `back` as above."""
        op = graph.ops[index]
        shape = op.outputs[0].shape
        image = len(shape) == 4
        return Spot(
            number=number,
            height=shape[ROW_AXIS] if image else 1,
            width=shape[COLUMN_AXIS] if image else 1,
            back=back,
            rows=_asked(row_reaches, op),
            columns=_asked(column_reaches, op),
            sums=sum_reaches(op),
            folded=stage_height(op) if image or sum_reaches(op) else 1,
            readers=tuple(sorted(r - index for r in readers)),
            out=op.outputs[0] in graph.outputs,
            odd=len(op.outputs) != 1 or any(t is not None and t.variable for t in op.inputs),
        )

    def is_result(self, behind: int) -> bool:
        """Whether the output is read after a stage in which so many ops are behind."""
        return self.out or not self.readers or self.readers[-1] > behind


def _asked(reaches: Callable[[Op], Reaches], op: Op) -> Reaches | None:
    try:
        return reaches(op)
    except NotStreamable:
        return None


@dataclass(slots=True, eq=False)
class RowNode:
    """An op of stages of whole rows.

    Attributes:
        spot: of the op.
        behind: nodes of the ops behind it, next first.
        reaches: how the op reads rows of its inputs.
        line: how far it is asked to come by each step, in parts of a row.
        made: rows that exist before each step; the last entry is how many are ever made.
        window: of the output; None for a result.
        ring, fresh: rows of the output that stay between steps, and that a step makes, at most.
    """

    spot: Spot
    behind: tuple[RowNode, ...]
    reaches: Reaches
    line: np.ndarray
    made: np.ndarray
    window: Window | None
    ring: int = 0
    fresh: int = 0
    calls: int = field(init=False)
    begins: int = field(init=False)

    def __post_init__(self) -> None:
        works = self.made[1:] > self.made[:-1]
        self.calls = int(works.sum())
        self.begins = int(works.argmax())

    @property
    def total(self) -> int:
        """Rows that are ever made."""
        return int(self.made[-1])

    @property
    def kept(self) -> bool:
        """Whether its window stays from one step to the next."""
        return self.window is not None and self.window.kept


@dataclass(slots=True, eq=False)
class ColumnNode:
    """An op of stages that make some columns at a time.

    Attributes:
        spot: of the op.
        behind: nodes of the ops behind it, next first.
        made: (parts, 2), columns [a, b) of the output that a part makes.
        lowest: (parts + 1,), the column that a front begins with; empty for a result.
        wide: columns of the front.
        moving: whether columns stay in it.
    """

    spot: Spot
    behind: tuple[ColumnNode, ...]
    made: np.ndarray
    lowest: np.ndarray
    wide: int = 0
    moving: bool = False
    parts: int = field(init=False)
    total: int = field(init=False)
    left: int = field(init=False)

    def __post_init__(self) -> None:
        self.parts = int((self.made[:, 1] > self.made[:, 0]).sum())
        self.total = int(self.made[-1, 1])
        self.left = int((self.made[:, 1] - self.lowest[1:]).sum()) if self.lowest.size else 0


class Tails:
    """Nodes, each made when it is asked for."""

    def __init__(self) -> None:
        self._rows: dict[tuple[object, int], RowNode | None] = {}
        self._columns: dict[tuple[object, int], ColumnNode] = {}

    def __len__(self) -> int:
        return len(self._rows) + len(self._columns)

    def last_rows(self, spot: Spot, band: int | Fraction) -> RowNode | None:
        """A stage of one op, which makes `band` rows a step."""
        key = band, spot.number
        if key not in self._rows:
            self._rows[key] = _last_rows(spot, Fraction(band))
        return self._rows[key]

    def rows(self, behind: RowNode, spot: Spot, band: int | Fraction) -> RowNode | None:
        """A stage with one more op in front; None if it is left to `patch_split`."""
        key = behind, spot.number
        if key not in self._rows:
            self._rows[key] = _rows(spot, (behind, *behind.behind), Fraction(band))
        return self._rows[key]

    def last_columns(self, spot: Spot, width: int) -> ColumnNode:
        """A stage of one op, which makes `width` columns at a time."""
        key = width, spot.number
        if key not in self._columns:
            parts = -(-spot.width // width)
            ends = np.minimum(np.arange(1, parts + 1, dtype=np.int64) * width, spot.width)
            self._columns[key] = ColumnNode(spot, (), _from(ends), np.zeros(0, np.int64))
        return self._columns[key]

    def columns(self, behind: ColumnNode, spot: Spot) -> ColumnNode:
        """A stage with one more op in front."""
        key = behind, spot.number
        if key not in self._columns:
            self._columns[key] = _columns(spot, (behind, *behind.behind))
        return self._columns[key]


# ---- rows: as `patch_split.pace` and `patch_split.walk` ----


def _last_rows(spot: Spot, band: Fraction) -> RowNode | None:
    reaches = spot.sums or spot.rows
    if spot.odd or reaches is None:
        return None
    count = -(-spot.folded // band)
    line = np.arange(1 - _START, count + 1, dtype=np.int64) * band.numerator
    made = _whole(reaches, line // band.denominator, spot.folded)
    return None if made is None or made[0] else RowNode(spot, (), reaches, line, made, None)


def _rows(spot: Spot, behind: tuple[RowNode, ...], band: Fraction) -> RowNode | None:
    if spot.odd or spot.rows is None:
        return None
    readers = []
    for away, node in enumerate(behind, 1):
        for back, reach in zip(node.spot.back, node.reaches, strict=True):
            if back == away:
                if reach is None:
                    return None
                readers.append((node, reach))
    result = spot.is_result(len(behind))
    asked = list(_lines(readers, band.denominator))
    total = spot.height
    if result:
        asked.append(behind[-1].line * spot.height // behind[-1].spot.folded)
    else:
        total = max(reach.needs(0, node.total)[1] for node, reach in readers)
    line = asked[0] if len(asked) == 1 else np.max(asked, axis=0)
    made = _whole(spot.rows, line // band.denominator, total)
    if made is None or made[0]:
        return None
    found, ring = None, 0
    if not result:
        found, needed = _window(made, readers)
        ring = int((made[1:-1] - np.minimum(needed[1:-1], made[1:-1])).max(initial=0))
    fresh = int((made[1:] - made[:-1]).max())
    one = RowNode(spot, behind, spot.rows, line, made, found, ring, fresh)
    return None if _any_early((one, *behind)) else one


def _lines(readers: Sequence[tuple[RowNode, RowReach]], unit: int) -> list[np.ndarray]:
    """How far readers ask an input to come, in parts of a row."""
    asked = []
    for node, reach in readers:
        asked.append(reach.ahead(node.line, unit))
        asked.append(np.where(node.made > 0, reach.ahead(node.made) * unit, -NEVER))
    return asked


def _whole(reaches: Reaches, line: np.ndarray, total: int) -> np.ndarray | None:
    """Rows made; None if all that some rows read is padding."""
    rows = np.minimum(np.maximum(line, 0), total)
    for reach in reaches:
        if reach is None:
            continue
        read = np.flatnonzero(reach.starts[:total] < reach.stops[:total])
        if not read.size:
            return None
        first, last = int(read[0]), int(read[-1])
        if first:
            rows = np.where((rows > 0) & (rows <= first), first + 1, rows)
        if last < total - 1:
            rows = np.where(rows > last, total, rows)
    return rows


def _window(
    made: np.ndarray, readers: Sequence[tuple[RowNode, RowReach]]
) -> tuple[Window, np.ndarray]:
    """A window, and the lowest row that each step or a later one reads."""
    needed = needed_rows(readers)
    edges = [reach.edge(node.made) for node, reach in readers]
    return window_of(made, needed, edges, made.size - 1), needed


def needed_rows(readers: Sequence[tuple[RowNode, RowReach]]) -> np.ndarray:
    """(steps + 1,): the lowest row that a step or a later one reads, or NEVER."""
    every = [reach.lowest_from(node.total)[node.made] for node, reach in readers]
    return every[0] if len(every) == 1 else np.min(every, axis=0)


def source_window(readers: Sequence[tuple[RowNode, RowReach]], band: int | Fraction) -> Window:
    """The window of a streamed input that these ops read."""
    unit = Fraction(band).denominator
    total = max(reach.needs(0, node.total)[1] for node, reach in readers)
    line = np.max(_lines(readers, unit), axis=0)
    return _window(np.clip(line // unit, 0, total), readers)[0]


def _any_early(chain: tuple[RowNode, ...]) -> bool:
    """Whether an op might work ahead now that the first one is there: as `Pace.candidates`.

    Such an op reads what another op reads too. It would make rows sooner before rows of its input
    are kept for it alone. The choice hangs on bytes, and is left to `patch_split`.
    """
    count = len(chain)
    shared = [sum(r < count - at for r in node.spot.readers) > 1 for at, node in enumerate(chain)]
    if not any(shared):
        return False
    for at in range(1, count - 1):
        node = chain[at]
        inside = [at - back if 0 < back <= at else None for back in node.spot.back]
        makers = [maker for maker in inside if maker is not None]
        waits = 0 in makers and node.window is not None and any(shared[m] for m in makers)
        if waits and _is_early(chain, at, inside):
            return True
    return False


def _is_early(chain: tuple[RowNode, ...], at: int, inside: Sequence[int | None]) -> bool:
    node = chain[at]
    rows = {k: np.repeat(one.made, 2) for k, one in enumerate(chain)}
    possible = np.full(rows[at].size, node.total, np.int64)
    wanted = np.zeros(rows[at].size, np.int64)
    for maker, reach in zip(inside, node.reaches, strict=True):
        if maker is None or reach is None:
            continue
        possible = np.minimum(possible, possible_rows(reach, node.total, rows[maker]))
        needed = np.full(rows[at].size, NEVER, np.int64)
        for other in range(maker + 1, len(chain)):
            if other == at:
                continue
            for back, read in zip(chain[other].spot.back, chain[other].reaches, strict=True):
                if back == other - maker and read is not None:
                    lowest = read.lowest_from(chain[other].total)
                    needed = np.minimum(needed, lowest[rows[other]])
        wanted = np.maximum(wanted, np.searchsorted(reach.lowest_from(node.total), needed))
    sooner = _whole(node.reaches, np.minimum(possible, wanted), node.total)
    assert sooner is not None
    sooner = sooner.copy()
    sooner[0::2] = 0
    sooner = np.maximum.accumulate(np.maximum(sooner, rows[at]))
    return bool((sooner[1:-1] > rows[at][1:-1]).any())


# ---- columns: as `patch_split.columns`, of stages that keep their rows ----


def _from(ends: np.ndarray) -> np.ndarray:
    return np.stack([np.concatenate([[0], ends[:-1]]), ends], axis=1)


def _columns(spot: Spot, behind: tuple[ColumnNode, ...]) -> ColumnNode:
    parts = len(behind[-1].made)
    readers = [
        (node, reach)
        for away, node in enumerate(behind, 1)
        for back, reach in zip(node.spot.back, node.spot.columns or (), strict=True)
        if back == away and reach is not None
    ]
    ends = np.zeros(parts, np.int64)
    result = spot.is_result(len(behind))
    if result:
        ends = -(-spot.width * np.arange(1, parts + 1, dtype=np.int64) // parts)
    for node, reach in readers:
        until = node.made[:, 1]
        ends = np.maximum(ends, reach.highest_until(int(until[-1]))[until])
    made = _from(ends)
    if result:
        return ColumnNode(spot, behind, made, np.zeros(0, np.int64))
    lowest = made[:, 0]
    for node, reach in readers:
        lowest = np.minimum(lowest, reach.lowest_from(node.total)[node.made[:, 0]])
    lowest = np.append(lowest, made[-1, 1])
    wide = int((made[:, 1] - lowest[:-1]).max())
    moving = bool((lowest[1:-1] < made[:-1, 1]).any())
    return ColumnNode(spot, behind, made, lowest, wide, moving)
