"""The paths of `patch_split.cuts`, found with few prices.

All stages begin with a lower bound, from sizes alone; a shortest path is found among those, the
stages on it are priced, and so on until all stages of a shortest path are priced exactly (LazySP,
Dellin and Srinivasa, 2016). Single ops, which are free where they fit, are never in doubt, so few
stages are ever asked for.

A family of ways is sorted by memory. So the first way of a family is all that the least peak asks
for, and for the least work under a limit the last way that fits is looked for by halving. Stages
are no longer than `LONGEST` ops: longer ones are all but never best.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..patch_split.cost import BYTE_WORK, CALL_WORK, PIXELS_WORK, Way
from ..patch_split.cuts import FAR, Part, Path
from .shared import SharedCosts

# Ops of the longest stage that is looked at.
LONGEST = 16
# And of stages that are looked at first.
SHORT = 5


@dataclass(frozen=True, slots=True)
class _Fitting:
    """A stage under a limit: its best way so far, its work at least, and whether that is sure."""

    part: Part | None
    work: int
    sure: bool


class Paths:
    """Shortest paths of one graph."""

    def __init__(self, costs: SharedCosts) -> None:
        self._costs = costs
        self._count = len(costs.graph.ops)
        self._longest = min(LONGEST, self._count)
        found = (costs.whole(k) for k in range(self._count))
        self._alone = [FAR if cost is None else cost.peak for cost in found]
        self._surely = max(self._alone)
        self._bounds = costs.bounds(self._longest)  # [start, length - 1]
        self._least = self._bounds.copy()
        self._shape = costs.shape(self._longest)
        self._inside = np.tri(self._longest, dtype=bool)[None]
        self._by_columns = costs.column_calls(self._longest) * PIXELS_WORK
        self._floors = np.zeros_like(self._bounds)
        self._seen_at = 0
        self._settled: dict[tuple[int, int], Part | None] = {}
        self._least_peak: int | None = None

    def least(self) -> int | None:
        """The least peak of all paths; None if there is no path."""
        if self._least_peak is None:
            # The best path nearly always has short stages only. Long ones that need as much are
            # told from their last ops.
            long = self._least[:, SHORT:].copy()
            self._least[:, SHORT:] = FAR
            self._surely = min(self._surely, self._found_least())
            self._least[:, SHORT:] = long
            self._least_peak = self._found_least()
        return None if self._least_peak >= FAR else self._least_peak

    def _found_least(self) -> int:
        while True:
            peak = self._bottleneck()
            if peak >= self._surely:
                return self._surely
            cover = self._cover(peak)
            doubtful = [key for key in cover if key not in self._settled]
            for start, stop in doubtful or cover:
                self._settle(start, stop, exact=not doubtful)
            if not doubtful and all(self._least[a, b - a - 1] <= peak for a, b in cover):
                return peak

    def cheapest(self, limit: int) -> Path | None:
        """The path of least work whose stages need `limit` bytes or less; None if there is none."""
        if limit > self._seen_at:
            self._floors[:] = 0
        self._seen_at = limit
        works = self._least_works(limit)
        fits = [peak <= limit and peak < FAR for peak in self._alone]
        known: dict[tuple[int, int], _Fitting] = {}
        while True:
            path = self._shortest(works, fits)
            if path is None:
                return None
            stages = [key for key in path if not self._free(key, fits)]
            doubtful = [key for key in stages if key not in known or not known[key].sure]
            if not doubtful:
                parts = [self._single(k) if self._free(k, fits) else known[k].part for k in path]
                doubtful = [
                    k for k, part in zip(path, parts, strict=True) if self._settled_now(part)
                ]
                if not doubtful:
                    return tuple(_sure(part) for part in parts)
                for key in doubtful:
                    del known[key]
            for key in doubtful:
                known[key] = self._fitting(*key, limit, known.get(key))
                at = key[0], key[1] - key[0] - 1
                works[at] = known[key].work
                # With less memory, it is no less.
                self._floors[at] = works[at]

    def _settled_now(self, part: Part | None) -> bool:
        """Whether a part's price was an estimate, and is exact now."""
        found = _sure(part)
        self._costs.exact(found.start, found.stop, found.way)
        return not found.cost.exact

    # ---- least peak ----

    def _bottleneck(self) -> int:
        """The least peak by the prices known so far."""
        best = [FAR] * (self._count + 1)
        best[0] = 0
        rows = self._least.tolist()
        for start in range(self._count):
            floor = best[start]
            if floor >= FAR:
                continue
            alone = max(floor, self._alone[start])
            if alone < best[start + 1]:
                best[start + 1] = alone
            for stop, price in enumerate(rows[start], start + 1):
                if stop > self._count:
                    break
                high = price if price > floor else floor
                if high < best[stop]:
                    best[stop] = high
        return best[-1]

    def _cover(self, peak: int) -> list[tuple[int, int]]:
        """Stages of several ops of a path that needs no more than that, by what is known."""
        fits = [alone <= peak for alone in self._alone]
        works = np.where(self._least <= peak, 1000, FAR)
        for start, stop in self._settled:
            if works[start, stop - start - 1] < FAR:
                works[start, stop - start - 1] = 1
        path = self._shortest(works, fits)
        assert path is not None
        return [key for key in path if not self._free(key, fits)]

    def _settle(self, start: int, stop: int, *, exact: bool) -> None:
        """The least price of a stage: the best estimate, or if that is known, exactly."""
        best = self._least_of(start, stop)
        while exact and best is not None and not best.cost.exact:
            self._costs.exact(start, stop, best.way)
            best = self._least_of(start, stop)  # of another family, if this turned out to be more
        self._settled[start, stop] = best
        # More than what is needed without any stage is of no interest.
        self._least[start, stop - start - 1] = self._surely if best is None else best.cost.peak

    def _least_of(self, start: int, stop: int) -> Part | None:
        """The stage in the way of least memory, by the prices known so far."""
        best: Part | None = None
        for family in self._costs.families(start, stop):
            high = self._surely if best is None else best.cost.peak
            if self._costs.least(start, stop, family) < high:
                cost = self._costs.within(start, stop, family[0], high - 1)
                if cost is not None:
                    best = Part(start, stop, family[0], cost)
        return best

    # ---- least work ----

    def _least_works(self, limit: int) -> np.ndarray:
        """Estimated instructions that stages add at least, within a limit: of calls and moves.

        A stage makes its largest tensor in as many steps as that is larger than the room for it.
        """
        shape = self._shape
        steps = np.maximum(shape.inner / np.maximum(limit - shape.ends, 1), 2)
        every = np.minimum(steps[:, :, None], shape.rows[:, None, :]) - 1
        calls = np.maximum((every * self._inside).sum(axis=2), 0)
        of_rows = calls * CALL_WORK + shape.between * (steps - 1) * BYTE_WORK
        works = np.minimum(of_rows, self._by_columns).astype(np.int64)
        works = np.maximum(works, self._floors)
        return np.where((self._bounds <= limit) & (self._least <= limit), works, FAR)

    def _fitting(self, start: int, stop: int, limit: int, before: _Fitting | None) -> _Fitting:
        """The way of least work that fits a limit, by the prices known so far.

        First of whole rows. Columns are much more work, and are looked at if the stage is still on
        a shortest path with the least that they would be.
        """
        rows, *others = self._costs.families(start, stop) or ((),)
        if before is None:
            part = self._of_family(start, stop, rows, limit, None)
            work = FAR if part is None else part.cost.work
            least = int(self._by_columns[start, stop - start - 1])
            return _Fitting(part, min(work, least) if others else work, not others or work <= least)
        best = before.part
        for family in others:
            best = self._of_family(start, stop, family, limit, best)
        return _Fitting(best, FAR if best is None else best.cost.work, True)

    def _of_family(
        self, start: int, stop: int, family: Sequence[Way], limit: int, best: Part | None
    ) -> Part | None:
        """The best of a family, or the best so far if that is less work."""
        if not family or self._costs.least(start, stop, family) > limit:
            return best
        most = FAR if best is None else best.cost.work
        if most <= self._costs.least_work(start, stop, family[-1]):
            return best
        part = self._last_that_fits(start, stop, family, limit)
        return part if part is not None and part.cost.work < most else best

    def _last_that_fits(
        self, start: int, stop: int, family: Sequence[Way], limit: int
    ) -> Part | None:
        low, high = 0, len(family)
        found: Part | None = None
        while low < high:
            middle = (low + high) // 2 if found else low
            cost = self._costs.within(start, stop, family[middle], limit)
            if cost is not None:
                found, low = Part(start, stop, family[middle], cost), middle + 1
            else:
                high = middle
        return found

    def _shortest(self, works: np.ndarray, fits: Sequence[bool]) -> list[tuple[int, int]] | None:
        """A path of least sum, as (start, stop); single ops that fit are free."""
        count = self._count
        best = [FAR] * (count + 1)
        back = [0] * (count + 1)
        best[0] = 0
        last = max((k for k in range(count) if not fits[k]), default=-1)
        rows = works[: last + 1].tolist()
        for start in range(last + 1):
            floor = best[start]
            if floor >= FAR:
                continue
            if fits[start] and floor < best[start + 1]:
                best[start + 1], back[start + 1] = floor, start
            for stop, work in enumerate(rows[start], start + 1):
                if stop > count:
                    break
                if floor + work < best[stop]:
                    best[stop], back[stop] = floor + work, start
        ends = [k for k in range(last + 1, count + 1) if best[k] < FAR]
        if not ends:
            return None
        end = min(ends, key=best.__getitem__)
        path = [(k, k + 1) for k in range(end, count)]
        while end:
            path.append((back[end], end))
            end = back[end]
        return sorted(path)

    @staticmethod
    def _free(key: tuple[int, int], fits: Sequence[bool]) -> bool:
        return key[1] == key[0] + 1 and fits[key[0]]

    def _single(self, key: tuple[int, int]) -> Part:
        cost = self._costs.whole(key[0])
        assert cost is not None
        return Part(*key, Way(), cost)


def _sure(part: Part | None) -> Part:
    assert part is not None
    return part
