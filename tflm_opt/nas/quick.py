"""The schedule that `optimize` would choose, and what it needs, from prices of single stages.

`furnish` plans whole graphs, several for each schedule on the front, since only a plan says for
sure how buffers fit together. Here a schedule needs what its worst step needs, each op has the most
scratch that its step can hold, and the front is walked until it is clear which schedule wins. All
of it are sums and maxima over stages whose prices are known (`shared`). Only a schedule that needs
nearly all of a budget is planned, since there the worst step may promise what no plan can keep.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from .. import arena, codegen
from ..errors import UnsupportedModel
from ..fit import CLOSE
from ..graph.ir import Graph, Op
from ..patch_split import cuts
from ..patch_split.cuts import FAR, Path
from ..patch_split.orders import orders
from ..patch_split.schedule import Schedule
from ..patch_split.search import APART, FRONT, not_streamable
from .paths import Paths
from .shared import Detail, Shared, SharedCosts

# Of a budget: worst steps of more are planned. Plans without optional scratch need up to a
# fifteenth more than their worst step, for schedules of little memory.
_NEAR = 15 / 16
# Of the work that is allowed: where the path of least work needs more even with all scratch, no
# other one will do. Of 274 searches within tight memory none found one that needed less than that.
_TOO_MUCH = 1.05


@dataclass(frozen=True, slots=True, eq=False)
class Quick:
    """What a schedule needs.

    Attributes:
        arena: bytes.
        work: estimated instructions of ops with weights, and of moves.
        graph, schedule: what runs.
        scratch: ops that get scratch.
    """

    arena: int
    work: float
    graph: Graph
    schedule: Schedule
    scratch: frozenset[Op]

    @property
    def rows(self) -> bool:
        """Whether any stage runs on rows."""
        return any(stage.band is not None for stage in self.schedule.stages)


class Choice:
    """A path with what its ops gain from scratch, as `furnish` sees it."""

    def __init__(self, costs: SharedCosts, path: Path) -> None:
        self.path = path
        self.peak = cuts.peak(path)
        self._costs = costs

    @cached_property
    def _details(self) -> list[tuple[int, Detail]]:
        found = []
        for part in self.path:
            detail = self._costs.detail(part.start, part.stop, part.way)
            assert detail is not None
            found.append((self._costs.around(part.start, part.stop), detail))
        return found

    @cached_property
    def _falls(self) -> list[tuple[int, float, int]]:
        """(bytes, work saved, op) of scratch that helps, by rising bytes."""
        falls, op = [], 0
        for around, detail in self._details:
            for room in detail.rooms:
                for k, need in enumerate(room.needs[1:]):
                    falls.append((need + around, room.works[k] - room.works[k + 1], op))
                op += 1
        return sorted(falls)

    @cached_property
    def plain(self) -> float:
        """Instructions without scratch."""
        return sum(d.moved + sum(r.works[0] for r in d.rooms) for _, d in self._details)

    @cached_property
    def fastest(self) -> float:
        """Instructions with all the scratch that helps."""
        return self.plain - sum(fall[1] for fall in self._falls)

    @cached_property
    def planned(self) -> int:
        """Bytes of a plan without optional scratch."""
        return self._planned(0)

    def _planned(self, enough: int) -> int:
        return arena.plan_peak(
            self._costs.graph,
            cuts.schedule(self._costs, self.path),
            scratch=codegen.scratch,
            access=codegen.access,
            enough=enough,
        )

    def fits(self, room: int) -> bool:
        """Whether a plan does."""
        return self.peak <= _NEAR * room or (self.peak <= room and self._planned(room) <= room)

    def at(self, limit: int) -> Quick:
        """With as much scratch as fits a limit."""
        work, high, given = self.plain, self.peak, set[int]()
        for need, saved, op in self._falls:
            if need > limit:
                break
            work, high = work - saved, max(high, need)
            given.add(op)
        graph = self._costs.graph
        ops = frozenset(graph.ops[k] for k in given)
        return Quick(high, work, graph, cuts.schedule(self._costs, self.path), ops)

    def least(self, allowed: float) -> int | None:
        """Bytes with which the work is as low as allowed; None: never."""
        work, high = self.plain, self.peak
        for need, saved, _ in self._falls:
            if work <= allowed and need > self.peak:
                break
            work, high = work - saved, max(high, need)
        return high if work <= allowed else None


class Chooser:
    """One graph's choices for several budgets."""

    def __init__(self, costs: SharedCosts, slowdown: float) -> None:
        self.costs = costs
        self._paths = Paths(costs)
        self._slowdown = slowdown

    @cached_property
    def least(self) -> int | None:
        """Bytes of the schedule of least memory; None where the input can't be streamed."""
        return self._paths.least()

    @cached_property
    def smallest(self) -> Choice:
        """The schedule of least memory."""
        assert self.least is not None
        found = self._cheapest(self.least)
        assert found is not None
        return found

    def front(self) -> Iterator[Choice]:
        """From the fastest to nearly the smallest, apart as `patch_split.search` has them."""
        assert self.least is not None
        choice = self._cheapest(FAR)
        assert choice is not None
        apart = min((self.least / max(choice.peak, 1)) ** (1 / (FRONT - 1)), APART)
        for _ in range(1, FRONT):
            yield choice
            limit = int(choice.peak * apart)
            further = self._cheapest(limit) if limit >= self.least else None
            if further is None:
                return
            choice = further

    def _cheapest(self, limit: int) -> Choice | None:
        path = self._paths.cheapest(limit)
        return None if path is None else Choice(self.costs, path)

    def unlimited(self) -> Quick:
        """The least memory that isn't too slow."""
        assert self.least is not None
        front = self.front()
        first = next(front)
        allowed = self._slowdown * first.fastest
        best = first.at(FAR)
        for choice in (first, *front):
            least = choice.least(allowed)
            if least is not None and choice.at(least).arena < best.arena:
                best = choice.at(least)
        if best.arena > self.least:
            least = self.smallest.least(allowed)
            if least is not None and self.smallest.at(least).arena < best.arena:
                best = self.smallest.at(least)
        return best

    @cached_property
    def fastest(self) -> Quick:
        """The fastest of all, whatever memory it needs."""
        return next(self.front()).at(FAR)

    def within(self, room: int, allowed: float = math.inf) -> Quick:
        """The fastest within bytes of arena; the smallest if nothing fits.

        Args:
            allowed: work; what is above it isn't planned, and if that is far above it, no other
                schedule is looked at.
        """
        cheapest = self._cheapest(room)
        if cheapest is None:
            return self._smallest(room)
        if cheapest.fastest > _TOO_MUCH * allowed:
            return cheapest.at(room)
        # Those of less memory have more calls and moves to do, but more room for scratch.
        choices = [cheapest, *(choice for choice in self.front() if choice.peak <= room)]
        if choices[-1].peak > (self.least or 0):
            choices.append(self.smallest)
        for choice, quick in sorted(
            ((choice, choice.at(room)) for choice in choices), key=lambda one: one[1].work
        ):
            if quick.work > allowed or choice.fits(room):
                return quick
        return self._smallest(room)

    def _smallest(self, room: int) -> Quick:
        """The schedule of least memory, which is planned unless it is far from fitting."""
        least = self.smallest.at(self.smallest.peak)
        # Who asks may find more room, once the stack is known.
        near = _NEAR * least.arena <= room + CLOSE
        return replace(least, arena=max(least.arena, self.smallest.planned)) if near else least


class Choosers:
    """One graph's choices for several budgets, in every order of its ops that may be the best.

    Raises:
        UnsupportedModel: an input that can't be streamed, or an op that the engine can't run.
    """

    def __init__(self, graph: Graph, shared: Shared, *, streamed: bool, slowdown: float) -> None:
        self._runs: list[Chooser] = []
        refused: list[UnsupportedModel] = []
        for ordered in reversed(orders(graph, scratch=codegen.scratch, access=codegen.access)):
            try:
                run = Chooser(SharedCosts(ordered, shared, streamed=streamed), slowdown)
                if run.least is None:
                    raise not_streamable(run.costs)
                self._runs.append(run)
            except UnsupportedModel as error:
                refused.append(error)
        if not self._runs:
            raise refused[0]

    @property
    def least(self) -> int:
        """Bytes of the schedule of least memory."""
        return min(run.least for run in self._runs if run.least is not None)

    @property
    def fastest(self) -> Quick:
        """The fastest of all, whatever memory it needs."""
        return min((run.fastest for run in self._runs), key=lambda quick: quick.work)

    def chosen(self, room: int | None, allowed: float = math.inf) -> Quick:
        """What `furnish.Furnishing` would choose within bytes of arena; None for the smallest.

        Args:
            allowed: work; see `Chooser.within`.
        """
        if room is None:
            return min((run.unlimited() for run in self._runs), key=lambda q: (q.arena, q.work))
        found = [run.within(room, allowed) for run in self._runs]
        fitting = [quick for quick in found if quick.arena <= room]
        if fitting:
            return min(fitting, key=lambda quick: (quick.work, quick.arena))
        return min(found, key=lambda quick: (quick.arena, quick.work))
