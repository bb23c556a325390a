"""A schedule for a budget of SRAM, with everything that counts in it measured.

The search plans arenas; the budget counts stack and the engine's own state too, and those are
known only of compiled code. So the arena gets what the budget leaves beside a typical rest; if that
turns out too much, or the rest much smaller, it gets what is left beside the rest as last measured.
Another schedule has a slightly different rest, so this is done a few times at most, and then the
smallest schedule is taken.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from . import codegen
from .boards import Board
from .furnish import Furnishing, by_time
from .graph import Graph, Op
from .kernels import table
from .patch_split.search import Point, pareto
from .progress import Progress
from .runtime.footprint import Footprint, footprint

# Bytes of stack and state that most models need, and how far from it is worth another try.
REST = 1_000
CLOSE = 256
# Measured schedules before the smallest is taken.
ROUNDS = 3


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A schedule as C, and what it costs.

    Attributes:
        point: the schedule and its plan.
        front: all planned schedules that no other beats, the fastest first.
        bound: bytes of arena that no schedule searched goes below, with this input and limit of
            what is computed again.
        whole: why ops can't run on rows, for those that can't.
        sources: the C.
        measured: flash, stack and state beside the arena.
    """

    point: Point
    front: tuple[Point, ...]
    bound: int
    whole: Mapping[Op, str]
    sources: codegen.Sources
    measured: Footprint

    @property
    def rest(self) -> int:
        """Bytes of SRAM beside the arena."""
        return self.measured.data + self.measured.stack

    @property
    def total(self) -> int:
        """Bytes of SRAM, without a reserve."""
        return self.sources.arena + self.rest


def fit(
    graph: Graph,
    budget: int | None,
    *,
    name: str,
    target: Board,
    input: str = "resident",
    max_extra_macs: float = 0.0,
    slowdown: float = math.inf,
    progress: Progress,
    seed: int = 0,
) -> Fitted:
    """The fastest schedule whose total fits, or else the smallest.

    Args:
        graph: after all passes.
        budget: bytes of SRAM for arena, stack and state; None asks for the smallest.
        name: of the generated code.
        target: whose core is compiled for.
        input: "resident" or "streamed".
        max_extra_macs: how much may be computed again, as a fraction of the graph's MACs.
        slowdown: without a budget, how many times the work of the fastest schedule the smallest
            one may take.

    Raises:
        UnsupportedModel: an op that the engine can't run, or an input that can't be streamed.
    """
    progress.step("Searching for a schedule")
    runs = Furnishing(
        graph,
        table.pace_of(target.core),
        input=input,
        max_extra_macs=max_extra_macs,
        slowdown=slowdown,
        progress=progress,
        seed=seed,
    )
    tried: dict[int, Fitted] = {}

    def measured(point: Point) -> Fitted:
        if id(point) not in tried:
            tried[id(point)] = _measured(point, runs, name, target, progress)
        return tried[id(point)]

    if budget is None:
        return measured(runs.found().chosen)
    return _within(budget, runs, measured) or measured(runs.found(0).chosen)


def _within(budget: int, runs: Furnishing, measured: Callable[[Point], Fitted]) -> Fitted | None:
    """The fastest whose total fits; None if none is found."""
    best, rest = None, REST
    for _ in range(ROUNDS):
        now = measured(runs.found(max(budget - rest, 0)).chosen)
        if now.total <= budget:
            if best is None or by_time(now.point) < by_time(best.point):
                best = now
            if now.rest > rest - CLOSE:
                break
        rest = now.rest
    return best


def _measured(
    point: Point, runs: Furnishing, name: str, target: Board, progress: Progress
) -> Fitted:
    progress.step("Generating C")
    sources = codegen.generate(point.graph, point.plan, name=name)
    progress.step(f"Measuring for {target.core}")
    measured = footprint(sources, target, len(point.graph.ops))
    found = runs.found()
    front = pareto([*found.front, point])
    return Fitted(point, front, found.bound, found.whole, sources, measured)
