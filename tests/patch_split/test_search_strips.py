"""Memory for what is computed again: what the search finds, and that it runs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from row_nets import RowNet, row_net

from tflm_opt import arena, codegen, graph
from tflm_opt.graph.geometry import op_macs
from tflm_opt.graph.ir import Graph, Op
from tflm_opt.graph.options import ConvOptions, Padding, SplitOptions
from tflm_opt.passes.legalize import Legalize
from tflm_opt.patch_split import cuts
from tflm_opt.patch_split.cost import Cost, Costs
from tflm_opt.patch_split.search import Found, search
from tflm_opt.runtime import host, tflm, vectors


def wide_net() -> Graph:
    """Expand, 7x3 depthwise, project, on an image of 8 rows of 96: rows are all there is."""
    net = RowNet(np.random.default_rng(3))
    net.input = x = net.tensor((1, 8, 96, 4), 0.02)
    wide = (1, 8, 96, 24)
    inputs = net.weighted(x, (24, 1, 1, 4), 0, 4)
    y = net.add("CONV_2D", inputs, net.tensor(wide, net.out_scale), ConvOptions())
    inputs = net.weighted(y, (1, 7, 3, 24), 3, 21)
    same = ConvOptions(padding=Padding(3, 3, 1, 1))
    y = net.add("DEPTHWISE_CONV_2D", inputs, net.tensor(wide, net.out_scale), same)
    inputs = net.weighted(y, (4, 1, 1, 24), 0, 24)
    out = net.add("CONV_2D", inputs, net.tensor((1, 8, 96, 4), net.out_scale), ConvOptions())
    return Graph(tuple(net.ops), (net.input,), (out,))


def searched(g: Graph, limit: float, budget: int | None = None) -> Found:
    return search(
        g, budget=budget, scratch=codegen.scratch, access=codegen.access, max_extra_macs=limit
    )


def computed_again(g: Graph, found: Found) -> float:
    """By columns: strips of 16 of 96 columns read one more on either side, where there is one."""
    (stage,) = found.schedule.stages
    assert stage.columns is not None
    width = stage.columns.width
    ends = [(a, min(a + width, 96)) for a in range(0, 96, width)]
    columns = sum(min(b + 1, 96) - max(a - 1, 0) for a, b in ends) - 96
    return op_macs(g.ops[0]) * columns / 96 / sum(map(op_macs, g.ops))


def test_strips_where_whole_rows_need_too_much() -> None:
    g = wide_net()
    rows, strips = searched(g, 0.0), searched(g, 0.1)
    assert rows.chosen.extra_macs == 0
    assert strips.peak < 0.6 * rows.peak
    assert [s.columns.kept for s in strips.schedule.stages if s.columns] == [False]
    assert 0 < strips.chosen.extra_macs <= 0.1
    assert strips.chosen.extra_macs == pytest.approx(computed_again(g, strips))
    for tight, loose in itertools.pairwise(strips.front):
        assert loose.peak < tight.peak
    assert strips.front[0].extra_macs == 0


def test_a_budget_takes_no_more_than_it_needs() -> None:
    g = wide_net()
    rows, strips = searched(g, 0.0), searched(g, 0.1)
    assert searched(g, 0.1, rows.peak).chosen.extra_macs == 0
    middle = (rows.peak + strips.peak) // 2
    found = searched(g, 0.1, middle)
    assert found.peak <= middle
    assert 0 < found.chosen.extra_macs < strips.chosen.extra_macs


def striding_net() -> Graph:
    """Its least plan within a tenth has neighbours of less memory that compute more again."""
    net = RowNet(np.random.default_rng(3))
    net.input = x = net.tensor((1, 24, 24, 2), 0.02)
    same, wide = Padding(1, 1, 1, 1), (1, 24, 24, 8)
    inputs = net.weighted(x, (8, 3, 3, 2), 0, 18)
    y = net.add("CONV_2D", inputs, net.tensor(wide, net.out_scale), ConvOptions(padding=same))
    inputs = net.weighted(y, (1, 3, 3, 8), 3, 9)
    options = ConvOptions(padding=same)
    y = net.add("DEPTHWISE_CONV_2D", inputs, net.tensor(wide, net.out_scale), options)
    inputs = net.weighted(y, (2, 3, 3, 8), 0, 72)
    y = net.tensor((1, 12, 12, 2), net.out_scale)
    net.add("CONV_2D", inputs, y, ConvOptions((2, 2), Padding(0, 1, 0, 1)))
    halves = tuple(net.like(y, (1, 12, 12, 1)) for _ in range(2))
    net.ops.append(Op("SPLIT", (net.constant(3), y), halves, SplitOptions(2)))
    return Graph(tuple(net.ops), (net.input,), halves)


@pytest.mark.parametrize("limit", [0.0, 0.05, 0.1, 0.3])
def test_no_point_computes_more_again_than_is_allowed(limit: float) -> None:
    for g in (striding_net(), wide_net()):
        found = searched(g, limit)
        assert max(point.extra_macs for point in (*found.front, found.chosen)) <= limit
        assert found.bound <= found.peak


def test_strips_give_tflms_bits(tmp_path: Path) -> None:
    g = wide_net()
    samples = vectors.seeded(g.inputs, 3, seed=4)
    truth = tflm.run(graph.write(Legalize()(g)), samples)
    for number, point in enumerate(searched(g, 0.1).front):
        assert arena.validate(point.plan.problem, point.plan.places) == ()
        folder = tmp_path / str(number)
        codegen.write(codegen.generate(g, point.plan), folder)
        for have, want in zip(host.Engine(folder).run(samples), truth, strict=True):
            np.testing.assert_array_equal(have[0], want[0])


def ways(costs: Costs, start: int) -> Iterator[tuple[int, Cost]]:
    whole = costs.whole(start)
    if whole is not None:
        yield start + 1, whole
    for stop in range(start + 1, len(costs.graph.ops) + 1):
        for way in itertools.chain(*costs.families(start, stop)):
            cost = costs.exact(start, stop, way)
            if cost is not None:
                yield stop, cost


def every_path(costs: Costs) -> set[tuple[int, int, int]]:
    """(peak, work, again) of every schedule that is allowed."""
    count = len(costs.graph.ops)
    ends: list[set[tuple[int, int, int]]] = [set() for _ in range(count)] + [{(0, 0, 0)}]
    for start in reversed(range(count)):
        for stop, cost in ways(costs, start):
            for peak, work, again in ends[stop]:
                if again + cost.again <= costs.most_again:
                    value = max(peak, cost.peak), work + cost.work, again + cost.again
                    ends[start].add(value)
    return ends[0]


@pytest.mark.parametrize("seed", range(8))
def test_paths_within_a_limit_equal_brute_force(seed: int) -> None:
    rng = np.random.default_rng([seed, 4])
    g = row_net(rng, steps=int(rng.integers(2, 5)), wide=True)
    limit = float(rng.choice([0.05, 0.2, 1.0]))

    def prices() -> Costs:
        return Costs(g, scratch=codegen.scratch, access=codegen.access, max_extra_macs=limit)

    every = every_path(prices())
    costs = prices()
    best = cuts.least(costs)
    assert best is not None
    least = min(peak for peak, _, _ in every)
    assert cuts.peak(best) == least
    for budget in sorted({peak for peak, _, _ in every})[:: max(1, len(every) // 6)]:
        path = cuts.cheapest(costs, budget)
        assert path is not None
        assert cuts.peak(path) <= budget
        fastest = min((again, work) for peak, work, again in every if peak <= budget)
        assert (cuts.again(path), cuts.work(path)) == fastest
