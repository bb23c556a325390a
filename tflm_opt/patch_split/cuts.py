"""Where to cut a graph into stages: shortest paths over the positions between its ops.

The ops stand in a row; a cut lies between two of them, and a stage goes from one cut to another.
Whatever lives across a cut is resident there, so any position may be a cut, and a schedule is a
path from the first to the last:

    0 ──── 1 ──── 2 ──── 3 ──── 4      one op each
     \\___________/ \\__________/        stages of several ops, one arrow for each way to run

Since what a stage costs doesn't depend on the other stages, the path of least peak (the largest
stage counts) and the path of least work under a peak are found by dynamic programming, exactly.
Prices come in lower bounds first (`cost`); a path is believed once all its stages are priced
exactly, which is again exact: no other path can be better than its lower bounds say.

In a family of ways, those behind the first one that is too large are not asked for: they need more
memory. Where multiply-accumulates may be computed again, up to a limit for the whole path, each
position keeps the paths to it of which none is worse in both respects (labels, as in
resource-constrained shortest paths).

Sources of the idea: shortest paths for layer fusion as in DeFiNES (HPCA 2023) and msf-CNN
(NeurIPS 2025); lazy evaluation of edges as in motion planning (LazySP, Dellin and Srinivasa, 2016).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tflm_opt.patch_split.cost import Cost, Costs, Way
from tflm_opt.patch_split.schedule import Schedule, Stage

FAR = 1 << 62
# Ops of the longest stage of the first, quick search.
SHORT = 6


# Paths to one position that are kept where there is a limit on what is computed again.
LABELS = 12


@dataclass(frozen=True, slots=True)
class Part:
    """Ops [start, stop) as a stage that runs in a way."""

    start: int
    stop: int
    way: Way
    cost: Cost


@dataclass(frozen=True, slots=True)
class Label:
    """A path to a position: its value (peak or work), and what it computes again."""

    value: int
    again: int
    part: Part | None = None
    before: Label | None = None


Path = tuple[Part, ...]


def peak(path: Path) -> int:
    """Bytes of the stage that needs most."""
    return max((part.cost.peak for part in path), default=0)


def work(path: Path) -> int:
    """Estimated instructions beyond layer by layer."""
    return sum(part.cost.work for part in path)


def again(path: Path) -> int:
    """Multiply-accumulates that are computed again."""
    return sum(part.cost.again for part in path)


def schedule(costs: Costs, path: Path) -> Schedule:
    """The stages of a path."""
    ops = costs.graph.ops
    stages = tuple(Stage(ops[p.start : p.stop], p.way.band, p.way.columns) for p in path)
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
    """The fastest path whose stages need `budget` bytes or less; None if there is none.

    It computes least again, and of all that do, it has least work. Stages of which every op alone
    fits too are left out: running those one by one costs nothing.
    """
    # Whole rows first, then short stages: what they cost spares most of those that cost more.
    best = None
    for reach in (_Scope(columns=False), _Scope(longest=SHORT), _Scope()):
        limit = FAR if best is None or again(best) else work(best)
        while True:
            path = _least_work(costs, budget, reach, limit)
            if path is None or _settled(costs, path):
                break
        if path is not None and (best is None or _time(path) < _time(best)):
            best = path
    return best


def _time(path: Path) -> tuple[int, int]:
    return again(path), work(path)


@dataclass(frozen=True, slots=True)
class _Scope:
    """Which stages a search looks at: those of so many ops, and in which ways."""

    longest: int = FAR
    columns: bool = True


def _settled(costs: Costs, path: Path) -> bool:
    """Price all stages of a path exactly; True if they were."""
    before = [part.cost.exact for part in path]
    for part in path:
        costs.exact(part.start, part.stop, part.way)
    return all(before)


class _Labels:
    """The paths to every position that no other path there beats."""

    def __init__(self, count: int, most_again: int, limit: int) -> None:
        self.at: list[list[Label]] = [[] for _ in range(count + 1)]
        self.at[0] = [Label(0, 0)]
        self.most_again = most_again
        self.limit = limit

    def worst(self, position: int) -> int:
        """A path to here of this value or more is of no use."""
        labels = self.at[position]
        if not labels or (self.most_again and labels[0].again):
            return self.limit
        return labels[0].value

    def add(self, label: Label) -> None:
        """Keep a label if none beats it, and drop those that it beats."""
        assert label.part is not None
        labels = self.at[label.part.stop]
        if label.value >= self.limit or label.again > self.most_again:
            return
        if any(o.value <= label.value and o.again <= label.again for o in labels):
            return
        stay = [o for o in labels if o.value < label.value or o.again < label.again]
        stay.append(label)
        stay.sort(key=lambda o: (o.again, o.value))
        # The ends of the list are the path without anything computed again, and the best one.
        while len(stay) > LABELS:
            gains = [a.value - b.value for a, b in pairwise(stay)]
            del stay[1 + min(range(len(gains) - 1), key=gains.__getitem__)]
        self.at[label.part.stop] = stay

    def best(self, key: Callable[[Label], tuple[int, int]]) -> Path | None:
        """The best path from end to end."""
        labels = self.at[-1]
        if not labels:
            return None
        parts: list[Part] = []
        label: Label | None = min(labels, key=key)
        while label is not None and label.part is not None:
            parts.append(label.part)
            label = label.before
        return tuple(reversed(parts))


def _least_peak(costs: Costs, longest: int, limit: int) -> Path | None:
    """By the prices known so far, from stages that need less than `limit` bytes."""
    count = len(costs.graph.ops)
    labels = _Labels(count, costs.most_again, limit)
    for start in range(count):
        known = labels.at[start]
        if not known:
            continue
        floor = min(label.value for label in known)
        for part in _from(costs, start, floor, labels, longest):
            for label in known:
                value = max(label.value, part.cost.peak)
                labels.add(Label(value, label.again + part.cost.again, part, label))
    return labels.best(lambda label: (label.value, label.again))


def _from(costs: Costs, start: int, floor: int, labels: _Labels, longest: int) -> Iterator[Part]:
    """Stages from `start` that could lower what is known of where they end."""
    one_by_one = floor
    for stop in range(start + 1, min(start + longest, len(costs.graph.ops)) + 1):
        alone = costs.whole(stop - 1)
        one_by_one = max(one_by_one, FAR if alone is None else alone.peak)
        if stop == start + 1 and alone is not None:
            yield Part(start, stop, Way(), alone)
        families = costs.families(start, stop)
        if not families and not _may_grow(costs, start, stop):
            return
        for family in families:
            limit = min(one_by_one, labels.worst(stop))
            if max(floor, costs.least(start, stop, family)) < limit:
                yield from _ways(costs, start, stop, family, limit)


def _may_grow(costs: Costs, start: int, stop: int) -> bool:
    """Whether a longer stage from here may have a band though this one has none."""
    return all(costs.graph.ops[k] not in costs.reasons for k in range(start, stop))


def _ways(
    costs: Costs,
    start: int,
    stop: int,
    family: Sequence[Way],
    limit: int,
    most_work: int = FAR,
) -> Iterator[Part]:
    """Ops [start, stop) in every way that needs less than `limit` bytes, least memory first."""
    for way in family:
        if costs.least_work(start, stop, way) >= most_work:
            continue
        cost = costs.of(start, stop, way)
        if cost is not None and cost.peak < limit:
            yield Part(start, stop, way, cost)
        elif cost is None or not cost.exact:
            return  # a plan may need a little less for more rows at a time, but not an estimate


def _least_work(costs: Costs, budget: int, scope: _Scope, limit: int) -> Path | None:
    """By the prices known so far, of all paths in a scope with less work than `limit`."""
    count = len(costs.graph.ops)
    labels = _Labels(count, costs.most_again, limit)
    for start in range(count):
        known = labels.at[start]
        if not known:
            continue
        floor = min(label.value for label in known)
        for part in _within(costs, start, floor, labels, budget, scope):
            for label in known:
                value = label.value + part.cost.work
                labels.add(Label(value, label.again + part.cost.again, part, label))
    return labels.best(lambda label: (label.again, label.value))


def _within(
    costs: Costs, start: int, floor: int, labels: _Labels, budget: int, scope: _Scope
) -> Iterator[Part]:
    """Stages from `start` that fit a budget and aren't better run one by one."""
    count = len(costs.graph.ops)
    needed = False
    for stop in range(start + 1, min(start + scope.longest, count) + 1):
        alone = costs.whole(stop - 1)
        fits = alone is not None and alone.peak <= budget
        needed = needed or not fits
        if stop == start + 1 and fits and alone is not None:
            yield Part(start, stop, Way(), alone)
        families = costs.families(start, stop)
        if not families and not _may_grow(costs, start, stop):
            return
        for family in families[: None if scope.columns else 1] if needed else ():
            if costs.least(start, stop, family) <= budget:
                most = labels.worst(stop) - floor
                yield from _ways(costs, start, stop, family, budget + 1, most)
