"""Cuts against brute force: every way to cut small nets into stages, every band, same prices."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from row_nets import RowNet, row_net
from small_models import residual_net

from tflm_opt import arena, codegen
from tflm_opt.arena.problem import align_up
from tflm_opt.graph.ir import Graph, Op
from tflm_opt.graph.options import ConcatenationOptions, SplitOptions
from tflm_opt.patch_split import cuts
from tflm_opt.patch_split.cost import Cost, Costs, Way
from tflm_opt.patch_split.row_cost import candidate_bands
from tflm_opt.patch_split.schedule import Schedule, Stage

SEEDS = range(30)


def prices(graph: Graph, *, streamed: bool = False) -> Costs:
    return Costs(graph, streamed=streamed, scratch=codegen.scratch, access=codegen.access)


def stages_from(costs: Costs, start: int) -> Iterator[tuple[int, Cost]]:
    """Every stage that begins here, planned."""
    count = len(costs.graph.ops)
    whole = costs.whole(start)
    if whole is not None:
        yield start + 1, whole
    for stop in range(start + 1, count + 1):
        for way in itertools.chain(*costs.families(start, stop)):
            cost = costs.exact(start, stop, way)
            if cost is not None:
                yield stop, cost


def all_schedules(costs: Costs) -> set[tuple[int, int]]:
    """(peak, work) of every schedule; of equal ones from a cut on, only what can matter."""
    count = len(costs.graph.ops)
    ends: list[set[tuple[int, int]]] = [set() for _ in range(count)] + [{(0, 0)}]
    for start in reversed(range(count)):
        for stop, cost in stages_from(costs, start):
            for peak, work in ends[stop]:
                ends[start].add((max(peak, cost.peak), work + cost.work))
    return ends[0]


def nets(seed: int) -> Graph:
    rng = np.random.default_rng(seed)
    return row_net(rng, steps=int(rng.integers(2, 6)))


@pytest.mark.parametrize("seed", SEEDS)
def test_least_peak_and_least_work_equal_brute_force(seed: int) -> None:
    graph = nets(seed)
    every = all_schedules(prices(graph))
    costs = prices(graph)
    best = cuts.least(costs)
    assert best is not None
    least = min(peak for peak, _ in every)
    assert cuts.peak(best) == least
    assert cuts.work(best) == min(work for peak, work in every if peak == least)
    for budget in sorted({peak for peak, _ in every})[:: max(1, len(every) // 8)]:
        path = cuts.cheapest(costs, budget)
        assert path is not None
        assert cuts.peak(path) <= budget
        assert cuts.work(path) == min(work for peak, work in every if peak <= budget)
    assert cuts.cheapest(costs, least - 1) is None


@pytest.mark.parametrize("seed", SEEDS[::3])
def test_no_plan_needs_less_than_a_price(seed: int) -> None:
    """All prices of a stage against plans of the whole graph in which it is the only one."""
    graph = nets(seed)
    ops = graph.ops
    rough, exact = prices(graph), prices(graph)
    for start in range(len(ops)):
        for stop in range(start + 1, len(ops) + 1):
            for way in itertools.chain(*(f[:3] for f in rough.families(start, stop))):
                guess, planned = rough.of(start, stop, way), exact.exact(start, stop, way)
                if guess is None:
                    assert way.columns is not None
                    continue
                assert planned is not None
                stages = (
                    *(Stage((op,)) for op in ops[:start]),
                    Stage(ops[start:stop], way.band, way.columns),
                    *(Stage((op,)) for op in ops[stop:]),
                )
                whole = arena.plan(
                    graph,
                    Schedule(stages),
                    scratch=codegen.scratch,
                    access=codegen.access,
                    moves=False,
                    seconds=0,
                )
                peak = align_up(whole.peak, 16)
                assert rough.least(start, stop, (way,)) <= peak, (start, stop, way)
                assert rough.least_work(start, stop, way) <= planned.work, (start, stop, way)
                assert guess.peak <= planned.peak <= peak, (start, stop, way)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_stage_alone_needs_no_more_than_in_the_whole_plan(seed: int) -> None:
    graph = nets(seed)
    costs = prices(graph)
    path = cuts.least(costs)
    assert path is not None
    whole = arena.plan(
        graph, cuts.schedule(costs, path), scratch=codegen.scratch, access=codegen.access
    )
    assert align_up(whole.peak, 16) >= cuts.peak(path)


def test_stages_lie_end_to_end() -> None:
    costs = prices(residual_net())
    path = cuts.least(costs)
    assert path is not None
    assert [p.stop for p in path[:-1]] == [p.start for p in path[1:]]
    assert (path[0].start, path[-1].stop) == (0, len(costs.graph.ops))
    assert cuts.schedule(costs, path).ops == costs.graph.ops


def test_a_streamed_input_is_read_by_one_stage_with_a_band() -> None:
    costs = prices(residual_net(), streamed=True)
    assert costs.whole(0) is None
    path = cuts.least(costs)
    assert path is not None
    schedule = cuts.schedule(costs, path)
    assert schedule.input == "streamed"
    assert schedule.stages[0].band is not None


def test_what_is_made_first_may_lie_over_a_streamed_row() -> None:
    """The concatenation of a row with itself begins where the row was: 24 bytes of 48."""
    net = RowNet(np.random.default_rng(1))
    x = net.tensor((1, 16, 6, 4), 0.02)
    wide = net.like(x, (1, 16, 6, 8))
    net.add("CONCATENATION", [x, x], wide, ConcatenationOptions(3))
    halves = tuple(net.like(x, x.shape) for _ in range(2))
    net.ops.append(Op("SPLIT", (net.constant(3), wide), halves, SplitOptions(2)))
    g = Graph(tuple(net.ops), (x,), halves)
    costs = prices(g, streamed=True)
    price, exact = costs.of(0, 2, Way(1)), costs.exact(0, 2, Way(1))
    whole = arena.plan(
        g,
        Schedule((Stage(g.ops, 1),), "streamed"),
        scratch=codegen.scratch,
        access=codegen.access,
    )
    assert price is not None
    assert exact is not None
    assert price.peak <= exact.peak <= align_up(whole.peak, 16)


@pytest.mark.parametrize(
    ("rows", "tallest", "bands"),
    [
        (1, 1, (1,)),
        (10, 10, (1, 2, 3, 4, 6, 8)),
        (5, 10, ("1/2", 1, 2, 3, 4)),
        (1, 3, ("1/3", "1/2", 1)),
    ],
)
def test_bands(rows: int, tallest: int, bands: tuple[object, ...]) -> None:
    assert [str(band) for band in candidate_bands(rows, tallest)] == [str(b) for b in bands]
