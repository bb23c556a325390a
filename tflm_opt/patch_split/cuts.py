"""Where to cut a graph into stages: shortest paths over the positions between its ops.

The ops stand in a row; a cut lies between two of them, and a stage goes from one cut to another.
Whatever lives across a cut is resident there, so any position may be a cut, and a schedule is a
path from the first to the last:

    0 ──── 1 ──── 2 ──── 3 ──── 4      one op each
     \\___________/ \\__________/        stages of several ops, one arrow for each band

Since what a stage costs doesn't depend on the other stages, the path of least peak (the largest
stage counts) and the path of least work under a peak are found by dynamic programming, exactly.
Prices come in lower bounds first (`cost`); a path is believed once all its stages are priced
exactly, which is again exact: no other path can be better than its lower bounds say.

Bands above the first one that is too large are not asked for: larger bands need more memory.

Sources of the idea: shortest paths for layer fusion as in DeFiNES (HPCA 2023) and msf-CNN
(NeurIPS 2025); lazy evaluation of edges as in motion planning (LazySP, Dellin and Srinivasa, 2016).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tflm_opt.patch_split.cost import Band, Cost, Costs
from tflm_opt.patch_split.schedule import Schedule, Stage

FAR = 1 << 62
# Ops of the longest stage of the first, quick search.
SHORT = 6


@dataclass(frozen=True, slots=True)
class Part:
    """Ops [start, stop) as a stage."""

    start: int
    stop: int
    band: Band
    cost: Cost


Path = tuple[Part, ...]


def peak(path: Path) -> int:
    """Bytes of the stage that needs most."""
    return max((part.cost.peak for part in path), default=0)


def work(path: Path) -> int:
    """Estimated instructions beyond layer by layer."""
    return sum(part.cost.work for part in path)


def schedule(costs: Costs, path: Path) -> Schedule:
    """The stages of a path."""
    stages = tuple(Stage(costs.graph.ops[p.start : p.stop], p.band) for p in path)
    return Schedule(stages, "streamed" if costs.streamed else "resident")


def least(costs: Costs) -> Path | None:
    """The path of least peak; among those, of least work. None if there is no path at all.

    Example:
        >>> peak(least(Costs(graph, access=codegen.access)))
        21808
    """
    # Short stages first: what they reach spares the long ones that can't beat it.
    best = None
    for longest in (SHORT, len(costs.graph.ops)):
        found = _settled_least(costs, longest, FAR if best is None else peak(best))
        best = best if found is None else found
    return None if best is None else cheapest(costs, peak(best))


def _settled_least(costs: Costs, longest: int, limit: int) -> Path | None:
    while True:
        path = _least_peak(costs, longest, limit)
        if path is None or _settled(costs, path):
            return path


def cheapest(costs: Costs, budget: int) -> Path | None:
    """The path of least work whose stages need `budget` bytes or less; None if there is none.

    Stages of which every op alone fits too are left out: running those one by one costs nothing.
    """
    while True:
        path = _least_work(costs, budget)
        if path is None or _settled(costs, path):
            return path


def _settled(costs: Costs, path: Path) -> bool:
    """Price all stages of a path exactly; True if they were."""
    before = [part.cost.exact for part in path]
    for part in path:
        costs.exact(part.start, part.stop, part.band)
    return all(before)


def _least_peak(costs: Costs, longest: int, limit: int) -> Path | None:
    """By the prices known so far, from stages that need less than `limit` bytes."""
    count = len(costs.graph.ops)
    best = [0] + [limit] * count
    back: list[Part | None] = [None] * (count + 1)
    for start in range(count):
        if start and back[start] is None:
            continue
        for part in _from(costs, start, best, longest):
            value = max(best[start], part.cost.peak)
            if value < best[part.stop]:
                best[part.stop], back[part.stop] = value, part
    return None if back[count] is None else _traced(back)


def _from(costs: Costs, start: int, best: list[int], longest: int) -> Iterator[Part]:
    """Stages from `start` that could lower what is known of where they end."""
    one_by_one = best[start]
    for stop in range(start + 1, min(start + longest, len(costs.graph.ops)) + 1):
        alone = costs.whole(stop - 1)
        one_by_one = max(one_by_one, FAR if alone is None else alone.peak)
        if stop == start + 1 and alone is not None:
            yield Part(start, stop, None, alone)
        if not costs.bands(start, stop) and not _may_grow(costs, start, stop):
            return
        limit = min(one_by_one, best[stop])
        if max(best[start], costs.bound(start, stop)) < limit:
            yield from _banded(costs, start, stop, limit)


def _may_grow(costs: Costs, start: int, stop: int) -> bool:
    """Whether a longer stage from here may have a band though this one has none."""
    return all(costs.graph.ops[k] not in costs.reasons for k in range(start, stop))


def _banded(costs: Costs, start: int, stop: int, limit: int) -> Iterator[Part]:
    """Ops [start, stop) at every band that needs less than `limit` bytes, smallest first."""
    for band in costs.bands(start, stop):
        cost = costs.of(start, stop, band)
        if cost is None or cost.peak >= limit:
            return
        yield Part(start, stop, band, cost)


def _least_work(costs: Costs, budget: int) -> Path | None:
    count = len(costs.graph.ops)
    best = [0] + [FAR] * count
    back: list[Part | None] = [None] * (count + 1)
    for start in range(count):
        if best[start] == FAR:
            continue
        for part in _within(costs, start, budget):
            value = best[start] + part.cost.work
            if value < best[part.stop]:
                best[part.stop], back[part.stop] = value, part
    return _traced(back) if best[count] < FAR else None


def _within(costs: Costs, start: int, budget: int) -> Iterator[Part]:
    """Stages from `start` that fit a budget and aren't better run one by one."""
    count = len(costs.graph.ops)
    needed = False
    for stop in range(start + 1, count + 1):
        alone = costs.whole(stop - 1)
        fits = alone is not None and alone.peak <= budget
        needed = needed or not fits
        if stop == start + 1 and fits and alone is not None:
            yield Part(start, stop, None, alone)
        bands = costs.bands(start, stop)
        if not bands and not _may_grow(costs, start, stop):
            return
        if needed and costs.bound(start, stop) <= budget:
            yield from _banded(costs, start, stop, budget + 1)


def _traced(back: list[Part | None]) -> Path:
    parts: list[Part] = []
    at = len(back) - 1
    while at:
        part = back[at]
        assert part is not None
        parts.append(part)
        at = part.start
    return tuple(reversed(parts))
