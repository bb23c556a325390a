"""Plans in real TFLM: it reports the planned head, and computes the same bytes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from models.cache import NAMES
from small_models import MODELS, model

from tflm_opt import arena, graph, passes
from tflm_opt.arena import offline
from tflm_opt.errors import InvalidModel, UnsupportedModel
from tflm_opt.graph import Graph
from tflm_opt.patch_split.schedule import layer_by_layer
from tflm_opt.runtime import tflm

pytestmark = pytest.mark.skipif(not tflm.available(), reason="needs the wheel tflite-micro")


def samples(g: Graph) -> list[list[np.ndarray]]:
    rng = np.random.default_rng(5)

    def draw(shape: tuple[int, ...], dtype: str) -> np.ndarray:
        if dtype == "float32":
            return rng.uniform(-1, 1, shape).astype(np.float32)
        limits = np.iinfo(dtype)
        return rng.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)

    return [[draw(t.shape, t.dtype) for t in g.inputs]]


def planned(g: Graph) -> tuple[bytes, arena.Plan]:
    plan = arena.plan(g, layer_by_layer(g), target="tflm")
    assert arena.validate(plan.problem, plan.places, plan.peak) == ()
    return graph.write(offline.attach(g, plan)), plan


@pytest.mark.parametrize("name", MODELS)
def test_tflm_reports_the_planned_head_and_computes_the_same(name: str) -> None:
    """As read, after all passes, and with inner tensors as outputs, which changes lifetimes."""
    g = graph.read(model(name))
    legal = passes.run(passes.run(g, passes.default_pipeline()), (passes.Legalize(),))
    shown = graph.edit.with_outputs(g, [*g.outputs, *graph.edit.inner_tensors(g)[1::3]])
    files, plans, data = [], [], []
    for variant in (g, legal, shown):
        file, plan = planned(variant)
        files += [file, graph.write(offline.detach(variant))]
        plans.append(plan)
        data += [samples(variant)] * 2
    heads = [a.head for a in tflm.allocations_many(files)]
    outputs = tflm.run_many(list(zip(files, data, strict=True)))
    for number, plan in enumerate(plans):
        head, own = heads[2 * number : 2 * number + 2]
        assert head == plan.peak == plan.bound
        assert head <= own
        for a, b in zip(*(outputs[2 * number + i][0] for i in (0, 1)), strict=True):
            np.testing.assert_array_equal(a, b)


def test_unused_tensors_are_counted() -> None:
    """TFLM allocates every tensor of a file, used or not."""
    g = graph.read(model(NAMES[0]))
    stray = graph.Tensor("stray", (1, 999, 77), "int8")
    small = graph.Tensor("small", (1, 20), "int8")
    file, plan = planned(replace(g, tensors=(stray, *g.tensors, small)))
    assert plan.peak == tflm.allocations(file).head
    assert plan.peak >= stray.nbytes


def test_encode_and_decode_are_inverses() -> None:
    data = offline.encode([0, -1, 48], subgraphs=2)
    assert np.frombuffer(data, "<i4").tolist() == [1, 2, 3, 0, -1, 48]
    assert offline.decode(data) == offline.OfflinePlan((0, -1, 48), 2)


@pytest.mark.parametrize(
    "data", [b"", b"123", b"\0" * 11, offline.encode([1, 2])[:-4], b"\xff" * 16]
)
def test_damaged_metadata_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidModel, match="OfflineMemoryAllocation"):
        offline.decode(data)


def test_a_second_plan_replaces_the_first_and_detach_removes_it() -> None:
    g = graph.read(model(NAMES[0]))
    plan = arena.plan(g, layer_by_layer(g), target="tflm")
    once = offline.attach(g, plan)
    assert [name for name, _ in offline.attach(once, plan).model.metadata].count(offline.NAME) == 1
    found = offline.read(graph.read(graph.write(once)))
    assert found is not None
    order = graph.tensor_order(g)
    assert {t: o for t, o in zip(order, found.offsets, strict=True) if o >= 0} == plan.offsets
    assert offline.read(offline.detach(once)) is None


def test_plans_for_something_else_are_refused() -> None:
    g = graph.read(model(NAMES[0]))
    other = graph.read(model(NAMES[1]))
    schedule = layer_by_layer(g)
    with pytest.raises(UnsupportedModel, match='Plan with target="tflm"'):
        offline.attach(g, arena.plan(g, schedule))
    with pytest.raises(UnsupportedModel, match="another graph"):
        offline.attach(other, arena.plan(g, schedule, target="tflm"))
