"""A schedule for a budget of SRAM, with everything that counts in it measured.

The search plans arenas; the budget counts stack and the engine's own state too, and those are
known only of compiled code. So the fastest schedule is compiled first; if it does not fit, the
arena may take what the budget leaves beside the rest as last measured. Another schedule has a
slightly different rest, so this is done twice at most, and then the smallest schedule is taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from . import codegen
from .boards import Board
from .graph import Graph, Op
from .patch_split.orders import Orders
from .patch_split.search import Point
from .progress import Progress
from .runtime.footprint import Footprint, footprint

# Measured schedules between the fastest and the smallest.
ROUNDS = 2


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

    Raises:
        UnsupportedModel: an op that the engine can't run, or an input that can't be streamed.
    """
    progress.step("Searching for a schedule")
    runs = Orders(
        graph,
        input=input,
        scratch=codegen.scratch,
        access=codegen.access,
        max_extra_macs=max_extra_macs,
        progress=progress,
        seed=seed,
    )
    tried: dict[int, Fitted] = {}
    best: Fitted | None = None
    for point in _candidates(runs, budget, tried):
        if id(point) not in tried:
            tried[id(point)] = _measured(point, runs, name, target, progress)
        best = tried[id(point)]
        if budget is None or best.total <= budget:
            break
    assert best is not None
    return best


def _candidates(runs: Orders, budget: int | None, tried: dict[int, Fitted]) -> Iterator[Point]:
    """The fastest, then the fastest that should fit by what was measured, then the smallest."""
    if budget is not None:
        yield runs.found().front[0]
        for _ in range(ROUNDS):
            rest = list(tried.values())[-1].rest
            yield runs.found(max(budget - rest, 0)).chosen
    yield runs.found().chosen


def _measured(point: Point, runs: Orders, name: str, target: Board, progress: Progress) -> Fitted:
    progress.step("Generating C")
    sources = codegen.generate(point.graph, point.plan, name=name)
    progress.step(f"Measuring for {target.core}")
    measured = footprint(sources, target, len(point.graph.ops))
    found = runs.found()
    return Fitted(point, found.front, found.bound, found.whole, sources, measured)
