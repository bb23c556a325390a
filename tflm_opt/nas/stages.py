"""What a stage needs and does, from its nodes (`tails`) and the channels of a net.

The same figures as `patch_split.cost` estimates from the walk of a stage, as sums and maxima over
nodes: thousands of stages are priced for a net.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..arena.column_streams import lows
from ..arena.plan import ALIGNMENT
from ..arena.problem import align_up
from ..patch_split.cost import PIXELS_WORK, Band, Boundary, Cost
from ..patch_split.regions import NEVER, RowReach
from ..patch_split.walk import Window
from .tails import ColumnNode, RowNode, Spot, needed_rows, source_window

# Of an image: rows, columns, bytes of a pixel.
Image = tuple[int, int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Sizes of one net, by op.

    Attributes:
        spots: what walks depend on.
        images: the output's.
        outs: position of the output's buffer.
        ins: by input, the buffer of a tensor that was computed and its image; None for constants.
        sizes: of buffers, in bytes, rounded up.
        source: the buffer of a streamed input, if there is one.
    """

    spots: Sequence[Spot]
    images: Sequence[Image]
    outs: Sequence[int]
    ins: Sequence[tuple[tuple[int, Image] | None, ...]]
    sizes: Sequence[int]
    source: int | None

    def bytes(self, buffers: Sequence[int]) -> int:
        """Of several buffers."""
        return sum(self.sizes[i] for i in buffers)


def surely_kept(layout: Layout, op: int, row: RowNode, column: ColumnNode | None = None) -> int:
    """Bytes of an op's output that stay for all steps of a stage; of rows, or some columns."""
    if row.window is None:
        return 0
    _, width, pixel = layout.images[op]
    if column is None:
        return align_up(row.window.capacity * width * pixel, ALIGNMENT) if row.window.kept else 0
    size = align_up(row.ring * column.total * pixel, ALIGNMENT)
    if column.moving:
        size += align_up(row.fresh * column.wide * pixel, ALIGNMENT)
    return size


@dataclass(slots=True, eq=False)
class RowStage:
    """A stage of whole rows: ops from `start` on, one a node."""

    layout: Layout
    start: int
    band: Band
    nodes: tuple[RowNode, ...]
    edge: Boundary
    row_bytes: list[int] = field(init=False)

    def __post_init__(self) -> None:
        images = self.layout.images[self.start : self.start + len(self.nodes)]
        self.row_bytes = [columns * pixel for _, columns, pixel in images]

    @property
    def peak(self) -> int:
        """Bytes, without what passes by."""
        return self._ends() + self._body()

    def cost(self, passing: int) -> Cost:
        """Its price."""
        moved = calls = 0
        for k, node in enumerate(self.nodes):
            calls += node.calls - 1
            if node.window is not None:
                moved += node.window.moved * self.row_bytes[k]
        source, _ = self._source()
        if source is not None:
            moved += source.moved * self._source_bytes
        return Cost(passing + self.peak, calls, moved)

    def _body(self) -> int:
        """As `walk.body_bytes`."""
        count = len(self.nodes)
        kept = 0
        begins, ends, stays = [0] * count, [0] * count, [0] * count
        source, last = self._source()
        if source is not None:
            size = align_up(source.capacity * self._source_bytes, ALIGNMENT)
            if source.kept:
                kept += size
            else:
                ends[last] += size
                for j in range(last):
                    stays[j] += size
        for k, node in enumerate(self.nodes):
            window = node.window
            if window is None:
                continue
            size = window.capacity * self.row_bytes[k]
            if window.kept:
                kept += align_up(size, ALIGNMENT)
                continue
            alone = align_up(max(size - self._dead(k, source), 0), ALIGNMENT)
            last = k + node.spot.readers[-1]
            begins[k] += alone
            ends[last] += alone
            for j in range(k + 1, last):
                stays[j] += alone
        return kept + max(s + max(b, e) for s, b, e in zip(stays, begins, ends, strict=True))

    def _dead(self, k: int, source: Window | None) -> int:
        """Bytes of kept windows that an op reads and no later step."""
        total = 0
        back = self.nodes[k].spot.back
        for away in set(back):
            window = self.nodes[k - away].window if 0 < away <= k else None
            if window is not None and window.kept:
                total += window.dead * self.row_bytes[k - away]
        if source is not None and source.kept and k in (at for at, _ in self._reads_source()):
            total += source.dead * self._source_bytes
        return total

    def _ends(self) -> int:
        """As `Costs._ends`: bytes of what the stage eats and leaves."""
        layout, edge = self.layout, self.edge
        if self.nodes[-1].spot.sums:
            early = {layout.outs[self.start + k] for k in self.results if k < len(self.nodes) - 1}
            return max(
                layout.bytes(edge.consumed), layout.bytes([i for i in edge.results if i in early])
            )
        best = max(layout.bytes(edge.consumed), layout.bytes(edge.results))
        if len(edge.consumed) == 1 and len(edge.results) == 1:
            (source,), (out,) = edge.consumed, edge.results
            inside = [k for k in self.results if layout.outs[self.start + k] == out]
            outside = set(self.reading(source))
            if len(inside) == 1 and len({image for _, _, image in outside}) == 1:
                apart = align_up(self._distance(inside[0], sorted(outside)), ALIGNMENT)
                best = max(best, min(apart, layout.sizes[out]) + layout.sizes[source])
        return best

    def _distance(self, result: int, reads: Sequence[tuple[int, int, Image]]) -> int:
        """As `row_cost.least_distance`."""
        height, columns, pixel = reads[0][2]
        readers = [(self.nodes[k], self.nodes[k].reaches[position]) for k, position, _ in reads]
        by_rows = [(node, reach) for node, reach in readers if reach is not None]
        if not by_rows:
            return 0
        found = needed_rows(by_rows)
        lowest = np.minimum(found[1:], height)
        made = self.nodes[result].made
        open_ = (made[1:] > made[:-1]) & (found[1:] < height)
        gaps = made[1:] * self.row_bytes[result] - lowest * (columns * pixel)
        return max(int(gaps[open_].max(initial=0)), 0)

    @property
    def results(self) -> Iterator[int]:
        """Positions in the stage of ops whose output is read later."""
        count = len(self.nodes)
        return (k for k, n in enumerate(self.nodes) if n.spot.is_result(count - 1 - k))

    def reading(self, buffer: int) -> Iterator[tuple[int, int, Image]]:
        """Reads of a buffer from outside: op in the stage, position of the input, its image."""
        for k, node in enumerate(self.nodes):
            for position, held in enumerate(self.layout.ins[self.start + k]):
                if held is not None and held[0] == buffer and not 0 < node.spot.back[position] <= k:
                    yield k, position, held[1]

    # ---- a streamed input ----

    def _reads_source(self) -> list[tuple[int, RowReach]]:
        if self.layout.source is None:
            return []
        found = []
        for k, position, _ in self.reading(self.layout.source):
            reach = self.nodes[k].reaches[position]
            assert reach is not None
            found.append((k, reach))
        return found

    @property
    def _source_bytes(self) -> int:
        assert self.layout.source is not None
        _, columns, pixel = next(self.reading(self.layout.source))[2]
        return columns * pixel

    def _source(self) -> tuple[Window | None, int]:
        """The window of a streamed input, and the last op that reads it."""
        reads = self._reads_source()
        if not reads or self.band is None:
            return None, 0
        readers = [(self.nodes[k], reach) for k, reach in reads]
        return source_window(readers, self.band), reads[-1][0]


@dataclass(slots=True, eq=False)
class ColumnStage:
    """A stage that makes some columns at a time and keeps its rows."""

    rows: RowStage
    nodes: tuple[ColumnNode, ...]

    @property
    def sketch(self) -> int:
        """Bytes at least, without what passes by: but for what lies over what is eaten."""
        edge, layout = self.rows.edge, self.rows.layout
        return max(layout.bytes(edge.consumed), self._body() + layout.bytes(edge.results))

    @property
    def peak(self) -> int:
        """Bytes, without what passes by."""
        return max(self.sketch, self._spread())

    def cost(self, passing: int) -> Cost:
        """Its price."""
        calls = moved = 0
        for k, (row, node) in enumerate(zip(self.rows.nodes, self.nodes, strict=True)):
            calls += row.total * node.parts - 1
            if node.lowest.size:
                gone = node.total if row.ring else 0
                moved += (node.left + gone) * row.total * self._pixel(k)
        return Cost(passing + self.peak, calls, moved, call_work=PIXELS_WORK)

    def _pixel(self, k: int) -> int:
        return self.rows.layout.images[self.rows.start + k][2]

    def _ring(self, k: int) -> int:
        """Bytes of rows that stay from one step to the next."""
        return self.rows.nodes[k].ring * self.nodes[k].total * self._pixel(k)

    def _body(self) -> int:
        """As `column_cost.column_bytes`."""
        count = len(self.nodes)
        always, spans = 0, [0] * count
        source, _ = self.rows._source()
        if source is not None:
            always += align_up(source.capacity * self.rows._source_bytes, ALIGNMENT)
        for k, (row, node) in enumerate(zip(self.rows.nodes, self.nodes, strict=True)):
            if not node.lowest.size:
                continue
            always += align_up(self._ring(k), ALIGNMENT)
            front = align_up(row.fresh * node.wide * self._pixel(k), ALIGNMENT)
            if node.moving:
                always += front
                continue
            last = count - 1 if row.ring else k + node.spot.readers[-1]
            for j in range(k, last + 1):
                spans[j] += front
        return always + max(spans)

    def _spread(self) -> int:
        """As `Costs._spread`: everything, less what may lie over what is eaten."""
        layout, edge, rows = self.rows.layout, self.rows.edge, self.rows
        since = min(node.begins for node in rows.nodes)
        over = 0
        for buffer in edge.consumed:
            later = self._still_read(list(rows.reading(buffer)), since)
            if later is None:
                continue
            for k, node in enumerate(self.nodes):
                if node.lowest.size and not rows.nodes[k].ring:
                    continue
                inner = bool(node.lowest.size)
                written = self._ring_ends(k, since) if inner else self._result_ends(k, since)
                some = (written > 0) & (later < NEVER)
                gap = int(np.where(some, written - later, 0).max(initial=0))
                size = self._ring(k) if inner else layout.sizes[layout.outs[rows.start + k]]
                over += max(align_up(size, ALIGNMENT) - max(gap, 0), 0)
        whole = layout.bytes(edge.consumed) + layout.bytes(edge.results) + self._body()
        return whole - over

    def _still_read(self, reads: Sequence[tuple[int, int, Image]], since: int) -> np.ndarray | None:
        """By step and part, the lowest byte of a buffer that is read then or later."""
        found: np.ndarray | None = None
        for k, position, (_, width, pixel) in reads:
            row, columns = self.rows.nodes[k].reaches[position], self.nodes[k].spot.columns
            column = None if columns is None else columns[position]
            if row is None or column is None:
                return None
            made = self.rows.nodes[k].made[since:]
            down = lows(row, made[:-1], made[1:])
            across = lows(column, *self.nodes[k].made.T)
            some = (down[:, None] < NEVER) & (across[None, :] < NEVER)
            place = np.where(some, (down[:, None] * width + across[None, :]) * pixel, NEVER)
            found = place if found is None else np.minimum(found, place)
        if found is None:
            return None
        return np.minimum.accumulate(found.ravel()[::-1])[::-1].reshape(found.shape)

    def _result_ends(self, k: int, since: int) -> np.ndarray:
        """By step and part, where the bytes of a result end that are written then; 0 for none."""
        made, parts = self.rows.nodes[k].made[since:], self.nodes[k].made
        _, width, pixel = self.rows.layout.images[self.rows.start + k]
        end = (made[1:, None] - 1) * width + parts[None, :, 1]
        works = (made[1:] > made[:-1])[:, None] & (parts[:, 1] > parts[:, 0])[None, :]
        return np.where(works, end * pixel, 0)

    def _ring_ends(self, k: int, since: int) -> np.ndarray:
        """The same of a ring: as `column_streams`."""
        row, node = self.rows.nodes[k], self.nodes[k]
        made, count = row.made[since:], row.ring
        first = np.maximum(made[:-1], made[1:] - count)
        top = np.where(first // count < made[1:] // count, count - 1, (made[1:] - 1) % count)
        top = np.where(made[1:] > made[:-1], top, -1)
        end = (top[:, None] * node.total + node.lowest[1:][None, :]) * self._pixel(k)
        return np.where(top[:, None] >= 0, end, 0)
