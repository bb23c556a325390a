"""What a search gives back: fronts, budgets, streamed input, ops that can't run on rows."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from row_nets import row_net
from small_models import residual_net, shared

from tflm_opt import arena, codegen, graph, passes
from tflm_opt.errors import UnsupportedModel
from tflm_opt.graph import Graph
from tflm_opt.patch_split.regions import NotStreamable
from tflm_opt.patch_split.schedule import Stage, layer_by_layer
from tflm_opt.patch_split.search import Found, Search, search
from tflm_opt.patch_split.walk import walk


def optimized(name: str) -> Graph:
    return passes.run(graph.read(shared(name)), passes.default_pipeline())


def searched(model: Graph, budget: int | None = None, input: str = "resident") -> Found:
    return search(model, budget=budget, input=input, scratch=codegen.scratch, access=codegen.access)


def plain_peak(model: Graph) -> int:
    return arena.plan(
        model, layer_by_layer(model), scratch=codegen.scratch, access=codegen.access
    ).peak


def streamable(model: Graph) -> bool:
    """Whether all ops from the first to the last reader of the input run on rows together."""
    source = model.inputs[0]
    readers = [i for i, op in enumerate(model.ops) if source in op.inputs]
    stage = Stage(model.ops[readers[0] : readers[-1] + 1], 1)
    try:
        walk(model, stage, streamed=True)
    except (NotStreamable, ValueError):
        return False
    return True


def check_front(found: Found) -> None:
    peaks = [point.peak for point in found.front]
    works = [point.work for point in found.front]
    assert peaks == sorted(peaks, reverse=True)
    assert len(set(peaks)) == len(peaks)
    assert works == sorted(works)
    for point in found.front:
        plan = point.plan
        assert plan.schedule is point.schedule
        assert arena.validate(plan.problem, plan.places, plan.peak) == ()
        assert point.peak >= found.bound
        assert point.extra_macs == 0.0


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("input", ["resident", "streamed"])
def test_fronts_of_random_nets(seed: int, input: str) -> None:
    model = row_net(np.random.default_rng(seed), steps=6)
    if input == "streamed" and not streamable(model):
        with pytest.raises(UnsupportedModel, match="can't be streamed"):
            searched(model, input=input)
        return
    found = searched(model, input=input)
    check_front(found)
    assert found.schedule.input == input
    assert set(found.schedule.ops) == set(model.ops)
    assert found.peak == found.front[-1].peak
    if input == "resident":
        assert found.front[0].work == 0
        assert found.peak <= plain_peak(model)


@pytest.mark.parametrize("name", ["mlperf_tiny_vww", "mlperf_tiny_ic"])
@pytest.mark.parametrize("input", ["resident", "streamed"])
def test_twenty_budgets(name: str, input: str) -> None:
    model = optimized(name)
    runs = Search(model, input=input, scratch=codegen.scratch, access=codegen.access)
    found = runs.found()
    check_front(found)
    smallest, fastest = found.front[-1], found.front[0]
    work = None
    for budget in np.linspace(smallest.peak, fastest.peak, 20).astype(int).tolist():
        chosen = runs.found(budget).chosen
        assert chosen.peak <= budget
        cheapest = min(p.work for p in found.front if p.peak <= budget)
        assert chosen.work <= cheapest
        assert work is None or chosen.work <= work
        work = chosen.work


def test_layer_by_layer_wins_where_it_fits() -> None:
    model = optimized("mlperf_tiny_vww")
    found = searched(model, budget=plain_peak(model))
    assert all(stage.band is None for stage in found.schedule.stages)
    assert found.chosen.work == 0


def test_a_budget_that_nothing_meets_gives_the_smallest() -> None:
    model = residual_net()
    assert searched(model, budget=16).peak == searched(model).peak


def test_the_same_call_gives_the_same_schedule() -> None:
    model = optimized("mlperf_tiny_vww")
    shapes = [
        [(stage.ops, stage.band) for stage in searched(model).schedule.stages] for _ in range(2)
    ]
    assert shapes[0] == shapes[1]


def test_ops_that_cannot_run_on_rows_are_named() -> None:
    model = optimized("mlperf_tiny_kws")
    found = searched(model)
    assert {op.kind for op in found.whole} == {"RESHAPE", "FULLY_CONNECTED", "SOFTMAX"}
    assert all(found.whole.values())


def test_an_input_that_cannot_be_streamed_says_why() -> None:
    with pytest.raises(UnsupportedModel, match="can't be streamed") as caught:
        searched(optimized("mlperf_tiny_ad"), input="streamed")
    assert caught.value.op == "0:FULLY_CONNECTED"
    assert caught.value.remedy is not None


def test_several_inputs_cannot_be_streamed() -> None:
    model = residual_net()
    second = dataclasses.replace(model.inputs[0], name="second")
    two = dataclasses.replace(model, inputs=(*model.inputs, second))
    with pytest.raises(UnsupportedModel, match="2 inputs"):
        searched(two, input="streamed")


def test_unknown_kinds_of_input() -> None:
    with pytest.raises(ValueError, match="drawn"):
        searched(residual_net(), input="drawn")
