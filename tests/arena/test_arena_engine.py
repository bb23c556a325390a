"""The engine's kernels under the closest overlap that the planner allows, op by op.

Every op of every model is taken out of it, with inputs and outputs of its own. One engine has each
output at the exact safe distance below its input, not rounded up to the alignment; the other has
them apart. Equal bytes show that the kernel keeps the access order that the kernel table claims.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from small_models import model

from tflm_opt import codegen, graph, passes
from tflm_opt.arena.overlap import safe_distance
from tflm_opt.arena.plan import engine_distance
from tflm_opt.errors import UnsupportedModel
from tflm_opt.graph import Graph, Op, Tensor
from tflm_opt.patch_split.schedule import Schedule, layer_by_layer
from tflm_opt.runtime.host import Engine

# Together these have every kind of op that the engine may overlap, in real geometries; random
# ones are the business of the kernels' own tests.
NAMES = ("mcunet_vww1", "mlperf_tiny_kws", "se_net", "unet", "op_zoo")


@dataclass
class Layout:
    """A plan made by hand."""

    schedule: Schedule
    offsets: dict[Tensor, int]
    scratch: dict[Op, tuple[int, int]]
    peak: int
    moves: dict[Op, tuple[()]]
    fronts: dict[Tensor, int] = field(default_factory=dict)


def alone(op: Op, number: int) -> Op:
    """The op with computed inputs and outputs of its own; a tensor read twice stays one."""
    copies = {t: replace(t, name=f"op{number}_{t.name}") for t in op.inputs if t and not t.constant}
    inputs = tuple(copies.get(t, t) if t else None for t in op.inputs)
    outputs = tuple(replace(t, name=f"op{number}_out{i}") for i, t in enumerate(op.outputs))
    return replace(op, inputs=inputs, outputs=outputs)


def computed(op: Op) -> list[Tensor]:
    return list(dict.fromkeys(t for t in op.inputs if t is not None and not t.constant))


def runs(op: Op) -> bool:
    try:
        codegen.scratch(op)
    except UnsupportedModel:
        return False
    return bool(computed(op))


def place(ops: list[Op], overlapped: dict[Op, tuple[Tensor, int]]) -> Layout:
    """Every op in a stretch of the arena of its own."""
    offsets: dict[Tensor, int] = {}
    scratch: dict[Op, tuple[int, int]] = {}
    top = 0

    def put(tensor: Tensor, offset: int) -> None:
        nonlocal top
        offsets[tensor] = offset
        top = max(top, -(-(offset + tensor.nbytes) // 16) * 16)

    for op in ops:
        base = top
        for tensor in op.outputs:
            put(tensor, top)
        for tensor in computed(op):
            chosen, distance = overlapped.get(op, (None, 0))
            put(tensor, base + distance if tensor is chosen else top)
        scratch[op] = top, codegen.scratch(op)
        top += -(-codegen.scratch(op) // 16) * 16
    schedule = layer_by_layer(Graph(tuple(ops), (), ()))
    return Layout(schedule, offsets, scratch, top, {})


def distances(op: Op) -> list[tuple[Tensor, int]]:
    """Every input that may share memory with the output, with the least distance that may be."""
    found = []
    distance_of = engine_distance(codegen.access)
    for tensor in computed(op):
        places = [i for i, t in enumerate(op.inputs) if t is tensor]
        known = [distance_of(op, i) for i in places]
        if len(op.outputs) == 1 and None not in known:
            exact = max(d for d in known if d is not None)
            # Values wider than a byte stay aligned to their size.
            wide = max(tensor.itemsize, op.output.itemsize)
            exact = -(-exact // wide) * wide
            if exact < op.output.nbytes:
                found.append((tensor, exact))
    return found


def run(ops: list[Op], layout: Layout, folder: Path) -> list[np.ndarray]:
    inputs = tuple(t for op in ops for t in computed(op))
    outputs = tuple(t for op in ops for t in op.outputs)
    g = Graph(tuple(ops), inputs, outputs)
    codegen.write(codegen.generate(g, layout, name="ops"), folder)
    rng = np.random.default_rng(11)
    sample = []
    for tensor in inputs:
        if tensor.dtype == "float32":
            sample.append(rng.uniform(-2, 2, tensor.shape).astype(np.float32))
        else:
            limits = np.iinfo(tensor.dtype)
            drawn = rng.integers(limits.min, limits.max, tensor.shape, tensor.dtype, endpoint=True)
            sample.append(drawn)
    return Engine(folder).run([sample])[0]


@pytest.mark.parametrize("name", NAMES)
def test_kernels_keep_the_access_order_they_claim(name: str, tmp_path: Path) -> None:
    original = graph.read(model(name))
    taken = [*original.ops, *passes.run(original, passes.default_pipeline()).ops]
    ops: list[Op] = []
    overlapped: dict[Op, tuple[Tensor, int]] = {}
    for op in dict.fromkeys(taken):
        if not runs(op):
            continue
        for number in range(len(distances(op))):
            single = alone(op, len(ops))
            ops.append(single)
            overlapped[single] = distances(single)[number]
    assert ops
    apart = run(ops, place(ops, {}), tmp_path / "apart")
    shared = run(ops, place(ops, overlapped), tmp_path / "shared")
    wrong = [
        f"{op!r} {op.options} at {overlapped[op][1]}"
        for op, a, b in zip(ops, apart, shared, strict=True)
        if not np.array_equal(a, b)
    ]
    assert wrong == []


def test_half_the_distance_is_too_near(tmp_path: Path) -> None:
    """The harness sees overlaps that are not safe."""
    g = graph.read(model("ds_cnn"))
    convs = [op for op in g.ops if op.kind in ("CONV_2D", "DEPTHWISE_CONV_2D")]
    ops = [alone(op, i) for i, op in enumerate(convs)]
    near = {op: (computed(op)[0], (safe_distance(op, 0) or 0) // 2) for op in ops}
    assert len(ops) > 3
    apart = run(ops, place(ops, {}), tmp_path / "apart")
    shared = run(ops, place(ops, near), tmp_path / "shared")
    differ = [not np.array_equal(a, b) for a, b in zip(apart, shared, strict=True)]
    assert sum(differ) > len(differ) / 2
