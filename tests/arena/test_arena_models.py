"""Plans of real models: within the figures asked for, at the bound, and quick."""

from __future__ import annotations

import time
from functools import cache

import pytest
from models.cache import NAMES
from small_models import MODELS, PRESENT, model

from tflm_opt import arena, codegen, graph, passes
from tflm_opt.errors import UnsupportedModel
from tflm_opt.graph import Op
from tflm_opt.patch_split.schedule import layer_by_layer

# Bytes of arena of the engine, layer by layer, the input resident.
MOST = {
    "mcunet_vww1": 92_000,
    "mlperf_tiny_vww": 40_000,
    "mlperf_tiny_ic": 34_000,
    "mlperf_tiny_kws": 9_500,
}


def access(op: Op) -> int | None:
    try:
        return codegen.access(op)
    except UnsupportedModel:
        return None


@cache
def plans(name: str) -> tuple[tuple[arena.Plan, float], ...]:
    """The plans for engine and TFLM, with the processor time that each took."""
    optimized = passes.run(graph.read(model(name)), passes.default_pipeline())
    legal = passes.run(optimized, (passes.Legalize(),))
    found = []
    for target, g in (("engine", optimized), ("tflm", legal)):
        start = time.process_time()
        plan = arena.plan(g, layer_by_layer(g), target=target, access=access)
        found.append((plan, time.process_time() - start))
    return tuple(found)


@pytest.mark.parametrize("name", MODELS)
def test_real_plans_are_sound_and_quick(name: str) -> None:
    for plan, seconds in plans(name):
        assert arena.validate(plan.problem, plan.places, plan.peak) == ()
        assert plan.peak <= 1.01 * plan.bound
        assert seconds < 1
        assert plan.peak <= MOST.get(name, 10**9) or plan.target == "tflm"


def test_nearly_all_real_plans_are_proved_optimal() -> None:
    found = [plan for name in (*PRESENT, *NAMES) for plan, _ in plans(name)]
    optimal = sum(plan.peak == plan.bound for plan in found)
    assert optimal >= 0.95 * len(found)


def test_the_same_input_gives_the_same_plan() -> None:
    (first, _), _ = plans("ds_cnn")
    plans.cache_clear()
    (again, _), _ = plans("ds_cnn")
    assert first is not again
    assert first.places == again.places
    assert list(first.offsets.values()) == list(again.offsets.values())
