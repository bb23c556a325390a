"""The arena of exports for stock TFLM: its sum against TFLM's own allocator, on this host."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from graph.one_op_cases import all_cases
from patch_split.tflm_nets import random_net
from small_models import residual_tflite

from tflm_opt import arena, graph
from tflm_opt.arena.tflm_scratch import REFERENCE, tflm_scratch
from tflm_opt.export import tflm_structs as structs
from tflm_opt.export.tflm_arena import LIBRARIES, needs
from tflm_opt.export.tflm_arena import arena as arena_of
from tflm_opt.export.tflm_structs import ARM, OTHER_32, WHEEL, Target
from tflm_opt.graph.ir import Graph, Op, Quantization, Tensor
from tflm_opt.graph.optable import OPS
from tflm_opt.patch_split.schedule import layer_by_layer
from tflm_opt.patch_split.tflm_stages import candidates
from tflm_opt.runtime import tflm


def banded() -> list[bytes]:
    """Files with subgraphs that are called, slices, joins and a plan inside."""
    found = [c.tflite for seed in range(3) for c in candidates(random_net(seed), 0.3)]
    assert any(graph.read(file).model.subgraphs for file in found)
    return found[:6]


def planned() -> bytes:
    g = graph.read(residual_tflite())
    plan = arena.plan(g, layer_by_layer(g), target="tflm", scratch=tflm_scratch)
    return graph.write(arena.offline.attach(g, plan))


def test_the_sum_is_the_allocator_s_to_the_byte() -> None:
    """Every op of the table and its variants, subgraphs, plans: the tail on this 64-bit host."""
    every = all_cases().graph()
    assert {op.kind for op in every.ops} == set(OPS)
    models = [graph.write(every), residual_tflite(), planned(), *banded()]
    for data, found in zip(models, tflm.allocations_many(models), strict=True):
        assert needs(graph.read(data), REFERENCE, found.head, WHEEL).tail == found.tail


def test_every_op_of_the_table_is_known() -> None:
    assert set(OPS) <= structs.KNOWN
    assert set(structs.OPTIONS) | set(structs.LATER) <= structs.KNOWN | {"DIV", "L2_NORMALIZATION"}


@pytest.mark.parametrize("data", [residual_tflite(), planned()])
def test_a_target_needs_less_than_this_host_and_more_than_its_tensors(data: bytes) -> None:
    found = arena_of(graph.read(data))
    measured = tflm.allocations(data)
    assert found.unknown == ()
    assert measured.total <= found.host.total
    for (instructions, library), row in found.needs.items():
        assert row.head >= measured.head
        assert row.head + row.tail <= row.total
        assert row.total % 16 == 0
        assert row.total <= found.total(instructions)
        assert found.total(instructions, library) == row.total
        if library == "reference":
            assert row.head == measured.head
            assert row.tail < measured.tail
            assert row.total < found.host.total
    assert len(found.needs) == 3 * len(LIBRARIES)
    # Kernels for faster instructions take scratch, and say so.
    assert found.needs["dsp", "tflm_opt"].head > found.needs["c", "tflm_opt"].head
    assert found.needs["mve", "cmsis_nn"].head > found.needs["c", "cmsis_nn"].head


def test_many_small_tensors_need_more_while_the_plan_is_made() -> None:
    """`arena_used_bytes()` doesn't show it."""
    quant = Quantization(np.array([0.1], np.float32), np.array([0]))
    tensors = [Tensor(f"t{i}", (1, 4), "int8", quant) for i in range(40)]
    ops = [Op("RELU", (a,), (b,)) for a, b in itertools.pairwise(tensors)]
    g = Graph(tuple(ops), (tensors[0],), (tensors[-1],))
    row = needs(g, REFERENCE, 32, ARM)
    assert row.planning > 40 * (24 + 40)
    assert row.total >= row.planning + row.before > row.head + row.tail


def test_an_op_without_a_listed_size_takes_the_host_s_tail() -> None:
    x, y = (Tensor(name, (1, 8), "float32") for name in "xy")
    g = Graph((Op("SIN", (x,), (y,)),), (x,), (y,))
    found = arena_of(g)
    assert found.unknown == ("SIN",)
    tail = tflm.allocations(graph.write(g)).tail
    assert all(row.tail >= tail for row in found.needs.values())


@pytest.mark.parametrize(
    ("target", "fields", "layout"),
    [
        (ARM, "eb", (2, 1)),
        (OTHER_32, "eb", (8, 4)),
        (ARM, structs.TENSOR, (32, 4)),
        (OTHER_32, structs.TENSOR, (40, 4)),
        (ARM, structs.NODE, (32, 4)),
        (WHEEL, structs.NODE, (64, 8)),
        (WHEEL, structs.TENSOR, (64, 8)),
        (ARM, "", (0, 1)),
    ],
)
def test_layouts(target: Target, fields: str, layout: tuple[int, int]) -> None:
    assert target.layout(fields) == layout
