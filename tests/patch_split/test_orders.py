"""Schedules in another order of the ops: less memory, the same bits, on both runtimes."""

from __future__ import annotations

import tempfile
from functools import cache

import numpy as np
import pytest
from row_nets import row_net
from small_models import branches_net, cell_net, residual_net

from tflm_opt import arena, codegen, nas, passes
from tflm_opt import graph as tflite
from tflm_opt.errors import UnsupportedModel
from tflm_opt.graph import Graph
from tflm_opt.patch_split.orders import Orders, orders, search
from tflm_opt.patch_split.rewrite import for_tflm
from tflm_opt.patch_split.schedule import layer_by_layer
from tflm_opt.patch_split.search import Found, Search
from tflm_opt.runtime import host, tflm, vectors

KERNELS = {"scratch": codegen.scratch, "access": codegen.access}
NETS = {"branches": branches_net, "cell": cell_net}


@cache
def optimized(name: str) -> Graph:
    return passes.run(NETS[name](), passes.default_pipeline())


@cache
def runs(name: str) -> tuple[Search, Orders]:
    """Over the file's order only, and over both."""
    return Search(optimized(name), **KERNELS), Orders(optimized(name), **KERNELS)


def searched(name: str) -> tuple[Found, Found]:
    one, both = runs(name)
    return one.found(), both.found()


def assert_same_bits(g: Graph, plans: list[arena.Plan]) -> None:
    samples = vectors.seeded(g.inputs, 3, seed=4)
    want = tflm.run(tflite.write(passes.Legalize()(g)), samples)
    for plan in plans:
        with tempfile.TemporaryDirectory() as folder:
            codegen.write(codegen.generate(g, plan), folder)
            got = host.Engine(folder).run(samples)
        for a, b in zip(want, got, strict=True):
            for x, y in zip(a, b, strict=True):
                np.testing.assert_array_equal(x, y)


# Net, most bytes of the better order as a share of the file's: layer by layer, and in the end.
GAINS = [("branches", 0.45, 0.45), ("cell", 0.60, 1.0)]


@pytest.mark.parametrize(("name", "layers", "least"), GAINS)
def test_less_memory_and_the_same_bits(name: str, layers: float, least: float) -> None:
    before, after = searched(name)
    assert after.front[0].peak <= layers * before.front[0].peak
    assert after.peak <= least * before.peak
    assert after.front[0].schedule.ops != optimized(name).ops
    assert after.bound <= before.bound
    for point in after.front:
        assert arena.validate(point.plan.problem, point.plan.places, point.peak) == ()
    assert_same_bits(optimized(name), [after.front[0].plan, after.chosen.plan])


@pytest.mark.parametrize("name", NETS)
def test_the_front_is_that_of_both_orders(name: str) -> None:
    before, after = searched(name)
    peaks = [point.peak for point in after.front]
    assert peaks == sorted(set(peaks), reverse=True)
    for point in before.front:
        assert any(p.peak <= point.peak and p.work <= point.work for p in after.front)


def test_a_budget_takes_the_fastest_of_both_orders() -> None:
    one, both = runs("cell")
    layers, least = both.found().front[0].peak, both.found().peak
    for budget in (one.found().front[0].peak, layers, (least + layers) // 2):
        found, fastest = both.found(budget), one.found(budget).chosen
        assert found.peak <= budget
        assert fastest.peak > budget or found.chosen.work <= fastest.work
    assert both.found(layers).chosen.work == 0
    assert both.found(16).peak == least


def test_a_chain_is_searched_once() -> None:
    g = passes.run(residual_net(), passes.default_pipeline())
    assert orders(g, **KERNELS) == (g,)
    assert len(Orders(g, **KERNELS)._runs) == 1


def test_an_input_that_cannot_be_streamed_is_refused_in_both_orders() -> None:
    with pytest.raises(UnsupportedModel, match="can't be streamed"):
        search(optimized("branches"), input="streamed", **KERNELS)
    with pytest.raises(ValueError, match="sideways"):
        search(optimized("branches"), input="sideways", **KERNELS)


def test_nas_costs_a_net_in_its_best_order() -> None:
    assert nas.exact_cost(NETS["branches"]()).arena == searched("branches")[1].peak


@pytest.mark.parametrize(("name", "most"), [("branches", 0.8), ("cell", 0.75)])
def test_stock_tflm_runs_the_better_order(name: str, most: float) -> None:
    original = tflite.write(NETS[name]())
    made = for_tflm(optimized(name), original)
    assert made.memory is not None
    assert made.memory.after.head <= most * made.memory.before.head
    assert made.memory.after.total < made.memory.before.total
    samples = vectors.seeded(optimized(name).inputs, 3, seed=5)
    for a, b in zip(tflm.run(original, samples), tflm.run(made.tflite, samples), strict=True):
        np.testing.assert_array_equal(a[0], b[0])


def test_random_nets_in_their_best_order() -> None:
    """Nets with branches, several consumers and views: the engine gives TFLM's bits."""
    moved = []
    for seed in range(12):
        g = passes.run(row_net(np.random.default_rng(seed), 12), passes.default_pipeline())
        both = orders(g, **KERNELS)
        if len(both) == 1:
            continue
        plans = [arena.plan(g, layer_by_layer(h), moves=False, **KERNELS) for h in both]
        if len(moved) < 4:
            assert_same_bits(g, plans[1:])
        moved.append([plan.peak for plan in plans])
    assert len(moved) >= 4
    assert sum(after < before for before, after in moved) >= 3
