"""The search for a schedule: least memory, or the fastest within a budget.

Cuts and bands are chosen on the prices of single stages, exactly (`cuts`). What a price can't know
is how the stages fit together in one arena: a chain of outputs over inputs drifts, and a gap may
be of no use. So every schedule that leaves this module was planned as a whole, and where its peak
is above that of its worst stage, neighbouring schedules (two stages joined, a stage cut, another
band) are planned as well and the best one stays.

The *front* holds schedules from the fastest, which runs layer by layer where the input is
resident, to the one of least memory; each needs less memory and more work than the one before.
Bands, and columns within a step, cost no MACs: what is needed again stays in memory. Strips compute
again what two of them share, and are searched where `max_extra_macs` allows it.

The front as the result of a search is the idea of msf-CNN (NeurIPS 2025), which trades memory for
recomputation; here it trades memory for calls and moved rows first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from tflm_opt.arena.plan import ALIGNMENT, Access, Plan, plan
from tflm_opt.arena.problem import align_up
from tflm_opt.errors import UnsupportedModel
from tflm_opt.graph.ir import Graph, Op
from tflm_opt.patch_split import cuts
from tflm_opt.patch_split.cost import Costs, Way
from tflm_opt.patch_split.cuts import FAR, Part, Path
from tflm_opt.patch_split.schedule import Schedule
from tflm_opt.progress import Progress, Silent

# Schedules on the front, the ends included, and how much smaller each is at least.
FRONT = 12
APART = 0.97
# Whole plans that one improvement may make, and budgets tried for one asked for.
TRIALS = 8
# A plan this close to what its worst stage needs is left as it is.
CLOSE = 1.004
RETRIES = 8


@dataclass(frozen=True, slots=True, eq=False)
class Point:
    """A schedule that was planned.

    Attributes:
        schedule: what runs.
        plan: where everything lies; `peak` is the plan's.
        calls: kernel calls beyond one an op.
        moved: bytes of rows that move to stay in memory, in one inference.
        work: the estimate of both in instructions; it ranks, and was not measured.
        extra_macs: multiply-accumulates that are computed again, as a fraction of the graph's.
        graph: whose ops the schedule runs.
    """

    schedule: Schedule
    plan: Plan
    calls: int
    moved: int
    work: int
    extra_macs: float
    graph: Graph

    @property
    def peak(self) -> int:
        """Bytes of arena."""
        return self.plan.peak


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What a search found.

    Attributes:
        chosen: the fastest point within the budget; without one, or if none fits, the smallest.
        front: by falling peak and rising work; the fastest first, the smallest last.
        bound: bytes that the worst stage needs alone, at least, in the best choice of cuts and
            ways: with these ops in this order, these bands and widths, and no more computed again
            than is allowed.
        whole: why ops can't run on rows, for those that can't.
    """

    chosen: Point
    front: tuple[Point, ...]
    bound: int
    whole: dict[Op, str]

    @property
    def schedule(self) -> Schedule:
        """That of the chosen point."""
        return self.chosen.schedule

    @property
    def peak(self) -> int:
        """Bytes of arena of the chosen point."""
        return self.chosen.peak


def search(
    graph: Graph,
    *,
    budget: int | None = None,
    input: str = "resident",
    scratch: Callable[[Op], int] | None = None,
    access: Access | None = None,
    max_extra_macs: float = 0.0,
    progress: Progress | None = None,
    seed: int = 0,
) -> Found:
    """Choose stages and bands.

    Example:
        >>> found = search(graph, scratch=codegen.scratch, access=codegen.access)
        >>> found.peak, found.front[0].peak
        (21440, 96000)

    Args:
        graph: after all passes; its ops run in its order.
        budget: bytes of arena. The result is the fastest that fits: layer by layer if that does.
            None asks for the least memory.
        input: "resident" or "streamed" (see `Schedule`).
        scratch, access: as `arena.plan`.
        max_extra_macs: how much may be computed again to save memory, as a fraction of the
            graph's multiply-accumulates.
        progress: told how far it is.
        seed: of the planner.

    Raises:
        UnsupportedModel: the input can't be streamed: names the op that needs all of it, and why;
            or there are several.
        ValueError: an input that is neither.
    """
    return Search(
        graph,
        input=input,
        scratch=scratch,
        access=access,
        max_extra_macs=max_extra_macs,
        progress=progress,
        seed=seed,
    ).found(budget)


class Search:
    """One graph searched for several budgets; what was priced and planned is kept.

    Example:
        >>> runs = Search(graph, scratch=codegen.scratch, access=codegen.access)
        >>> runs.found(64_000).peak, runs.found(48_000).peak
        (63920, 43240)

    Arguments and errors are those of `search`.
    """

    def __init__(
        self,
        graph: Graph,
        *,
        input: str = "resident",
        scratch: Callable[[Op], int] | None = None,
        access: Access | None = None,
        max_extra_macs: float = 0.0,
        progress: Progress | None = None,
        seed: int = 0,
    ) -> None:
        Schedule((), input)  # refuses other words
        self.costs = Costs(
            graph,
            streamed=input == "streamed",
            scratch=scratch,
            access=access,
            max_extra_macs=max_extra_macs,
        )
        self.scratch = scratch
        self.access = access
        self.progress = progress or Silent()
        self.seed = seed
        self.planned: dict[Schedule, Point] = {}
        self.points: list[Point] = []
        self.bound = 0

    def found(self, budget: int | None = None) -> Found:
        """See `search`."""
        if not self.points:
            self.points = self._scanned()
        if budget is not None:
            self.points += self._within(budget)
        fitting = [p for p in self.points if budget is not None and p.peak <= budget]
        chosen = min(fitting, key=_by_time) if fitting else min(self.points, key=_by_peak)
        ends = {s.ops[-1] for s in chosen.schedule.stages if s.band is not None}
        reasons = self.costs.reasons.items()
        whole = {op: error.reason for op, error in reasons if op not in ends}
        # Prices are rounded up to the alignment, and the topmost buffer need not be.
        bound = max(self.bound - (ALIGNMENT - 1), 0)
        return Found(chosen, pareto(self.points), bound, whole)

    def _scanned(self) -> list[Point]:
        self.progress.detail(0, FRONT)
        path = cuts.least(self.costs)
        if path is None:
            raise not_streamable(self.costs)
        self.bound = cuts.peak(path)
        least = self._improved(path)
        return [*self._between(least), least]

    def _between(self, least: Point) -> Iterator[Point]:
        """Points from the fastest on, evenly apart on a scale of factors."""
        path = cuts.cheapest(self.costs, FAR)
        assert path is not None
        point = self._point(path)
        apart = min((least.peak / max(point.peak, 1)) ** (1 / (FRONT - 1)), APART)
        for count in range(1, FRONT):
            self.progress.detail(count, FRONT)
            yield point
            limit = int(min(point.peak, cuts.peak(path)) * apart)
            path = cuts.cheapest(self.costs, limit)
            if path is None or limit < least.peak:
                return
            point = self._point(path)

    def _within(self, budget: int) -> Iterator[Point]:
        """The fastest schedules whose stages fit a budget, until one fits as a whole."""
        limit = align_up(budget, ALIGNMENT)
        if self.points[0].peak <= budget:
            return
        for _ in range(RETRIES):
            path = cuts.cheapest(self.costs, limit)
            if path is None:
                return
            point = self._point(path)
            yield point
            if point.peak <= budget:
                return
            limit = min(limit, cuts.peak(path)) - max(16, (point.peak - budget) // 2)

    def _point(self, path: Path) -> Point:
        """The path, planned as a whole."""
        schedule = cuts.schedule(self.costs, path)
        if schedule not in self.planned:
            found = plan(
                self.costs.graph,
                schedule,
                scratch=self.scratch,
                access=self.access,
                seed=self.seed,
            )
            calls = sum(part.cost.calls for part in path)
            moved = sum(part.cost.moved for part in path)
            again = cuts.again(path) / max(self.costs.macs, 1)
            self.planned[schedule] = Point(
                schedule, found, calls, moved, cuts.work(path), again, self.costs.graph
            )
        return self.planned[schedule]

    def _improved(self, path: Path) -> Point:
        """The best plan of a path and its neighbours; stops near what the worst stage needs."""
        best, floor = self._point(path), int(cuts.peak(path) * CLOSE)
        seen, left = {self._key(path)}, TRIALS
        better = True
        while better and left and best.peak > floor:
            better = False
            for other in self._neighbours(path, best.peak):
                if left and self._key(other) not in seen:
                    seen.add(self._key(other))
                    left -= 1
                    point = self._point(other)
                    if point.peak < best.peak:
                        best, path, better = point, other, True
                        break
        return best

    @staticmethod
    def _key(path: Path) -> tuple[tuple[int, int, object], ...]:
        return tuple((part.start, part.stop, part.way) for part in path)

    def _neighbours(self, path: Path, limit: int) -> Iterator[Path]:
        """Paths that differ in one or two stages, none of which needs `limit` bytes or more.

        None of them computes more again than is allowed.
        """
        return (p for p in self._changed(path, limit) if cuts.again(p) <= self.costs.most_again)

    def _changed(self, path: Path, limit: int) -> Iterator[Path]:
        for index, part in enumerate(path):
            before, after = path[:index], path[index + 1 :]
            for other in self._same_ops(part, limit):
                yield (*before, other, *after)
            for first, second in self._halves(part, limit):
                yield (*before, first, second, *after)
            if after:
                for joined in self._parts(part.start, after[0].stop, limit):
                    yield (*before, joined, *after[1:])

    def _same_ops(self, part: Part, limit: int) -> Iterator[Part]:
        for other in self._parts(part.start, part.stop, limit):
            if other.way != part.way:
                yield other

    def _halves(self, part: Part, limit: int) -> Iterator[tuple[Part, Part]]:
        for cut in range(part.start + 1, part.stop):
            first = next(self._parts(part.start, cut, limit), None)
            second = next(self._parts(cut, part.stop, limit), None)
            if first is not None and second is not None:
                yield first, second

    def _parts(self, start: int, stop: int, limit: int) -> Iterator[Part]:
        """Ops [start, stop) as one stage, whole if they are one, then at all bands that fit."""
        whole = self.costs.whole(start) if stop == start + 1 else None
        if whole is not None and whole.peak < limit:
            yield Part(start, stop, Way(), whole)
        for family in self.costs.families(start, stop):
            if self.costs.least(start, stop, family) >= limit:
                continue
            for way in family:
                cost = self.costs.of(start, stop, way)
                if cost is None or cost.peak >= limit:
                    break
                yield Part(start, stop, way, cost)


def _by_work(point: Point) -> tuple[int, int]:
    return point.work, point.peak


def _by_time(point: Point) -> tuple[float, int, int]:
    """The fastest first: what computes least again, then what adds least work."""
    return point.extra_macs, point.work, point.peak


def _by_peak(point: Point) -> tuple[int, int]:
    return point.peak, point.work


def best_found(runs: Iterable[Callable[[int | None], Found]], budget: int | None) -> Found:
    """What several searches of one model found, as one: the best choice, and one front.

    Raises:
        UnsupportedModel: that of the first, if all of them refuse.
    """
    results, refused = [], []
    for run in runs:
        try:
            results.append(run(budget))
        except UnsupportedModel as error:
            refused.append(error)
    if not results:
        raise refused[0]
    if len(results) == 1:
        return results[0]
    fitting = [f for f in results if budget is not None and f.peak <= budget]
    best = (
        min(fitting, key=lambda f: _by_time(f.chosen))
        if fitting
        else min(results, key=lambda f: _by_peak(f.chosen))
    )
    front = pareto([point for found in results for point in found.front])
    return replace(best, front=front, bound=min(found.bound for found in results))


def pareto(points: list[Point]) -> tuple[Point, ...]:
    """The points that no other beats in both peak and work, the fastest first."""
    front: list[Point] = []
    for point in sorted(points, key=_by_work):
        if not front or point.peak < front[-1].peak:
            front.append(point)
    return tuple(front)


def not_streamable(costs: Costs) -> UnsupportedModel:
    """Why there is no schedule with a streamed input."""
    (tensor,) = costs.graph.inputs
    for op in costs.graph.ops:
        if op in costs.reasons and tensor in op.inputs:
            return UnsupportedModel(
                f"the input {tensor.name!r} can't be streamed: {costs.reasons[op].reason}",
                op=f"{costs.graph.ops.index(op)}:{op.kind}",
                remedy="Keep the input resident (input='resident')",
            )
    return UnsupportedModel(
        f"the input {tensor.name!r} can't be streamed: the ops that read it can't share a stage",
        remedy="Keep the input resident (input='resident')",
    )
