"""Scratch for a planned schedule: the fastest kernels that the arena's free bytes allow.

The search plans with kernels that make do without scratch, so that its plans are the smallest. Most
steps of such a plan leave bytes free, below its own peak or a budget above it, and a kernel's
scratch is needed in its op's step only. Two ways of using them are tried, and the better one stays:

**In the gaps.** Tensors stay where they are; each op gets the largest room that fits a gap of its
step and whose kernel writes its output no nearer to what it still reads than the plan has put it.

**Anew.** Each op gets the room that its step could hold beside all that is alive then, by the
planner's bound, and everything is planned again; ops in steps that turn out too high get less.

Work is the estimate of `codegen.forms`: it ranks, and is never shown as a measurement.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from . import arena, codegen
from .arena.lifetimes import SCRATCH
from .arena.plan import ALIGNMENT, Plan, Spacing, spacing
from .arena.problem import Buffer, Problem, align_up
from .codegen.rooms import Kernels, key
from .codegen.uses import uses
from .graph.ir import Graph, Op, Tensor
from .patch_split.cost import BYTE_WORK
from .patch_split.orders import Orders
from .patch_split.search import Found, Point, pareto
from .progress import Progress

# More than any arena.
_ANY = 1 << 40
# Bytes to which the least memory of a schedule that is fast enough is found.
_STEP = 32
# Steps of the front from the smallest to the fastest.
_PARTS = 7
# Of the schedules that fit, how many are planned anew, best first.
_BEST = 3
# How much more memory is tried where a plan is slower than its bound, and how near is good enough.
_MORE = 1.04
_CLOSE = 1.02
# Times that a plan which came out too high is tried with less.
_RETRIES = 4


@dataclass(frozen=True, slots=True, eq=False)
class Furnished:
    """A schedule whose kernels have scratch.

    Attributes:
        point: the schedule, with its new plan; its work is that of all its kernels.
        sizes: bytes of scratch, by op; ops without are left out.
    """

    point: Point
    sizes: Mapping[Op, int] = field(default_factory=dict)

    @property
    def plan(self) -> Plan:
        return self.point.plan


def furnish(point: Point, limit: int, tier: str, *, again: bool = True, seed: int = 0) -> Furnished:
    """Give the ops of a schedule scratch, as long as its arena stays within `limit` bytes.

    Example:
        >>> furnish(found.chosen, found.peak, "dsp").plan.peak == found.peak
        True

    Args:
        point: planned without optional scratch. If its arena is above the limit, none is given.
        limit: bytes of arena.
        tier: of the core, `kernels.table.pace_of`: whose work counts.
        seed: of the planner.
    """
    return _Job(point, tier, seed).furnished(limit)


class Furnishing:
    """A graph's schedules for several budgets, with scratch for their kernels.

    Example:
        >>> runs = Furnishing(graph, "dsp")
        >>> runs.found(64_000).peak, runs.found().peak
        (63872, 20234)

    Args:
        graph: after all passes.
        tier: of the core whose instructions count.
        input, max_extra_macs, progress, seed: as `patch_split.search.search`.
        slowdown: without a budget, how many times the work of the fastest schedule the smallest
            one may take.
    """

    def __init__(
        self,
        graph: Graph,
        tier: str,
        *,
        input: str = "resident",
        max_extra_macs: float = 0.0,
        progress: Progress | None = None,
        slowdown: float = math.inf,
        seed: int = 0,
    ) -> None:
        self._tier = tier
        self._slowdown = slowdown
        self._seed = seed
        self._runs = Orders(
            graph,
            input=input,
            scratch=codegen.scratch,
            access=codegen.access,
            max_extra_macs=max_extra_macs,
            progress=progress,
            seed=seed,
        )
        self._points: dict[tuple[int, int], Point] = {}
        self._jobs: dict[int, _Job] = {}  # by id of their points, which they keep

    def found(self, budget: int | None = None) -> Found:
        """The fastest schedule within a budget of arena, or the smallest; and the front.

        With a budget, all schedules that fit it are furnished up to it. Without, the one that needs
        least memory to be fast enough gets just that.

        Raises: as `patch_split.search.search`.
        """
        found = self._runs.found(budget)
        if budget is None:
            chosen = self._smallest(found)
        else:
            chosen = self._fastest(found, budget) or self._point(found.chosen, found.chosen.peak)
        return replace(found, chosen=chosen, front=pareto([*self._front(found), chosen]))

    def _front(self, found: Found) -> list[Point]:
        """Schedules at their own peaks, and some between the smallest and the fastest of all."""
        full = self._full(found)
        every = [self._point(p, p.peak) for p in found.front]
        least = min(p.peak for p in every)
        for part in range(1, _PARTS):
            limit = round(least * (full.peak / max(least, 1)) ** (part / _PARTS))
            between = self._fastest(found, limit, best=1)
            every += [] if between is None else [between]
        return [*every, full]

    def _fastest(self, found: Found, budget: int, *, best: int = _BEST) -> Point | None:
        """The fastest within a budget; None if nothing fits it. The `best` ones are planned."""
        fitting = [p for p in (*found.front, found.chosen) if p.peak <= budget]
        ranked = sorted(fitting, key=lambda p: (p.extra_macs, self._job(p).bound(budget)))
        return min((self._point(p, budget) for p in ranked[:best]), key=by_time, default=None)

    def _smallest(self, found: Found) -> Point:
        """The least memory that is not too slow."""
        allowed = self._slowdown * self._full(found).work
        best = self._point(found.chosen, found.chosen.peak)
        if best.work <= allowed:
            return best
        tried = []
        for point in found.front:
            least = self._job(point).least(allowed)
            if least is not None:
                tried.append((least, point))
        fit: Point | None = None
        for least, point in sorted(tried, key=lambda one: one[0])[:_BEST]:
            limit = least
            while fit is None or limit < fit.peak:
                made = self._point(point, limit)
                if made.work <= allowed:
                    fit = made
                    break
                limit = int(limit * _MORE) + 1
                if limit > 2 * least:
                    break
        return fit or self._full(found)

    def _full(self, found: Found) -> Point:
        """The fastest of all."""
        return self._point(found.front[0], _ANY)

    def _job(self, point: Point) -> _Job:
        if id(point) not in self._jobs:
            self._jobs[id(point)] = _Job(point, self._tier, self._seed)
        return self._jobs[id(point)]

    def _point(self, point: Point, limit: int) -> Point:
        key = id(point), limit
        if key not in self._points:
            self._points[key] = self._job(point).furnished(limit).point
        return self._points[key]


def by_time(point: Point) -> tuple[float, int, int]:
    """The fastest first: what computes least again, then what takes least work."""
    return point.extra_macs, point.work, point.peak


class _Job:
    """One schedule to be furnished."""

    def __init__(self, point: Point, tier: str, seed: int) -> None:
        self.point = point
        self.tier = tier
        self.seed = seed
        self.used = uses(point.graph, point.schedule)
        self.graph: Graph = point.graph
        self.sizes = {use.op: use.sizes(tier) for use in self.used}
        self.useful = {use.op: use.least for use in self.used}
        self.spacings = [self._spacing(sizes) for sizes in self._levels()]
        self.needs = [spacing.needs() for spacing in self.spacings]

    def furnished(self, limit: int) -> Furnished:
        """See `furnish`."""
        found = [self.plain()]
        if self.point.peak <= limit and len(self.spacings) > 1:
            found.append(self.in_gaps(limit))
            if found[-1].point.work > self.bound(limit) * _CLOSE:
                anew = self.anew(limit)
                found += [] if anew is None else [anew]
        return min(found, key=lambda one: one.point.work)

    def bound(self, limit: int) -> float:
        """The work with what every step could hold by itself: hardly less can be had."""
        return self._work(self._by_bound(limit)) if limit >= self.point.peak else math.inf

    def least(self, allowed: float) -> int | None:
        """Bytes with which the bound on the work is as low as allowed; None: never."""
        low = self.point.peak - 1
        high = max((need for needs in self.needs for need in needs.values()), default=low)
        high = max(high, low + 1)
        if self.bound(high) > allowed:
            return None
        while high - low > _STEP:
            middle = (low + high) // 2
            if self.bound(middle) <= allowed:
                high = middle
            else:
                low = middle
        return high

    def plain(self) -> Furnished:
        """Without optional scratch."""
        return self._furnished(self.point.plan, {})

    def _work(self, sizes: Mapping[Op, int]) -> float:
        work = self.point.moved * BYTE_WORK
        return work + sum(use.work(sizes.get(use.op, 0), self.tier) for use in self.used)

    def _furnished(self, plan: Plan, sizes: Mapping[Op, int]) -> Furnished:
        work = self._work(sizes)
        given = {op: size for op, size in sizes.items() if size}
        plan = replace(plan, spare=_spare(plan, given))
        return Furnished(replace(self.point, plan=plan, work=round(work)), given)

    def _kernels(self, sizes: Mapping[Op, int]) -> Kernels:
        """Two ops of the same weights are one in the kernels' eyes: they get the lesser size.

        None, where that is too little for one of them: images of other widths, or other strides.
        """
        least: dict[Tensor, int] = {}
        for op in self.graph.ops:
            weights = key(op)
            if weights is not None:
                size = sizes.get(op, 0)
                least[weights] = min(least.get(weights, size), size)
        for op, needed in self.useful.items():
            weights = key(op)
            if weights is not None and least.get(weights, 0) < needed:
                least[weights] = 0
        return Kernels(least)

    def _spacing(self, sizes: Mapping[Op, int]) -> Spacing:
        kernels = self._kernels(sizes)
        return spacing(
            self.graph, self.point.schedule, scratch=kernels.scratch, access=kernels.access
        )

    # ---- planned again ----

    def anew(self, limit: int) -> Furnished | None:
        """What every step could hold, planned again; None if that ends above the limit."""
        sizes = self._by_bound(limit)
        for _ in range(_RETRIES):
            if not any(sizes.values()):
                return None
            kernels = self._kernels(sizes)
            plan = arena.plan(
                self.graph,
                self.point.schedule,
                scratch=kernels.scratch,
                access=kernels.access,
                seed=self.seed,
            )
            if plan.peak <= limit:
                return self._furnished(plan, {op: kernels.size(op) for op in sizes})
            sizes = self._less(sizes, plan, limit)
        return None

    def _by_bound(self, limit: int) -> dict[Op, int]:
        """For every op the largest size that its step can hold beside what is alive then."""
        found = dict.fromkeys(self.sizes, 0)
        for level, tried in enumerate(self._levels()):
            bounds = self.needs[level]
            for step, op in enumerate(self.point.schedule.ops, start=1):
                if bounds.get(step, 0) <= limit:
                    found[op] = max(found[op], tried[op])
        return found

    def _less(self, sizes: Mapping[Op, int], plan: Plan, limit: int) -> dict[Op, int]:
        """One size less for the ops in whose steps the plan is too high."""
        problem, places = plan.problem, plan.places
        high = [
            buffer
            for buffer, at in zip(problem.buffers, places, strict=True)
            if at + buffer.size > limit
        ]
        found = dict(sizes)
        for step, op in enumerate(self.point.schedule.ops, start=1):
            if sizes[op] and any(b.start <= step < b.stop for b in high):
                smaller = [n for n in self.sizes[op] if n < sizes[op]]
                found[op] = smaller[-1]
        return found

    # ---- in the gaps ----

    def in_gaps(self, limit: int) -> Furnished:
        """Rooms in the bytes that the plan leaves free, step by step; nothing else moves."""
        plan = self.point.plan
        pairs = self.spacings[0].problem.overlaps
        given: dict[Op, tuple[int, int]] = {}
        for step, op, offsets in _steps(plan):
            sizes = self.sizes[op]
            for level in range(len(sizes) - 1, 0, -1):
                at = _gap(plan, step, sizes[level], limit)
                if at is not None and self.spacings[level].keeps(step, offsets, pairs):
                    given[op] = at, sizes[level]
                    break
        kernels = self._kernels({op: size for op, (_, size) in given.items()})
        given = {op: (at, kernels.size(op)) for op, (at, _) in given.items() if kernels.size(op)}
        return self._furnished(_with(plan, given), {op: size for op, (_, size) in given.items()})

    def _levels(self) -> Iterator[dict[Op, int]]:
        """Sizes by op: none for all, then the next for all that have one."""
        for level in range(max((len(sizes) for sizes in self.sizes.values()), default=1)):
            yield {op: s[min(level, len(s) - 1)] for op, s in self.sizes.items()}


def _spare(plan: Plan, given: Mapping[Op, int]) -> frozenset[int]:
    """Positions of the buffers of scratch that was given."""
    steps = {step for step, op in enumerate(plan.schedule.ops, start=1) if op in given}
    return frozenset(
        index
        for index, buffer in enumerate(plan.problem.buffers)
        if buffer.name.startswith(SCRATCH) and buffer.start in steps
    )


def _gap(plan: Plan, step: int, size: int, limit: int) -> int | None:
    """Where `size` bytes are free in a step, lowest first; None if nowhere below the limit."""
    taken = sorted(
        (at, at + buffer.size)
        for buffer, at in zip(plan.problem.buffers, plan.places, strict=True)
        if buffer.start <= step < buffer.stop
    )
    end = 0
    for start, stop in taken:
        if align_up(end, ALIGNMENT) + size <= start:
            break
        end = max(end, stop)
    at = align_up(end, ALIGNMENT)
    return at if at + size <= limit else None


def _steps(plan: Plan) -> Iterator[tuple[int, Op, Mapping[Tensor, int]]]:
    """Each op with its step, and where tensors lie when it runs."""
    offsets = dict(plan.offsets)
    for step, op in enumerate(plan.schedule.ops, start=1):
        for move in plan.moves.get(op, ()):
            offsets.update(dict.fromkeys(move.tensors, move.target))
        yield step, op, offsets


def _with(plan: Plan, given: Mapping[Op, tuple[int, int]]) -> Plan:
    """The plan with more scratch."""
    steps = {op: step for step, op in enumerate(plan.schedule.ops, start=1)}
    names = dict(zip(plan.schedule.ops, plan.steps[1:], strict=False))
    more = tuple(
        Buffer(SCRATCH + names[op], size, steps[op], steps[op] + 1)
        for op, (_, size) in given.items()
    )
    problem = Problem(plan.problem.buffers + more, plan.problem.alignment, plan.problem.overlaps)
    places = plan.places + tuple(at for at, _ in given.values())
    peak = max((plan.peak, *(at + size for at, size in given.values())))
    return replace(
        plan, problem=problem, places=places, peak=peak, scratch={**plan.scratch, **given}
    )
