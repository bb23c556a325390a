"""Whole models on the host: the output of every op, byte for byte TFLM's.

Outputs behind a softmax hide errors, so each model runs in TFLM with all its inner tensors as
outputs, and the engine hands out every op's result through its trace.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_models import MODELS, model

from tflm_opt import arena, codegen, graph, passes
from tflm_opt.graph.edit import with_outputs
from tflm_opt.graph.ir import NUMPY_DTYPES, Graph, Tensor
from tflm_opt.patch_split.schedule import layer_by_layer
from tflm_opt.runtime import host, tflm


def images(g: Graph, count: int, seed: int) -> list[list[np.ndarray]]:
    """Smooth images and noise: noise alone averages out in deep layers."""
    rng = np.random.default_rng(seed)

    def one(tensor: Tensor, smooth: bool) -> np.ndarray:
        values = rng.uniform(-1, 1, tensor.shape)
        if smooth:
            values = np.cumsum(values, axis=-1 if len(tensor.shape) < 3 else 2)
            values = values / max(np.abs(values).max(), 1e-6)
        dtype = NUMPY_DTYPES[tensor.dtype]
        return (values * 127).astype(dtype) if tensor.dtype == "int8" else values.astype(dtype)

    return [[one(t, i % 2 == 0) for t in g.inputs] for i in range(count)]


def compare(g: Graph, engine: host.Engine, samples: list[list[np.ndarray]]) -> None:
    keys = [(i, j) for i, op in enumerate(g.ops) for j in range(len(op.outputs))]
    inner = with_outputs(g, [g.ops[i].outputs[j] for i, j in keys])
    expected = tflm.run(graph.write(passes.Legalize()(inner)), samples)
    assert keys
    for sample, row in zip(samples, expected, strict=True):
        traced = engine.trace(sample)
        assert set(traced) == set(keys)
        for key, want in zip(keys, row, strict=True):
            assert traced[key] == want.tobytes(), (key, g.ops[key[0]])
    got = engine.run(samples)
    plain = tflm.run(graph.write(passes.Legalize()(g)), samples)
    for want_row, have_row in zip(plain, got, strict=True):
        for want, have in zip(want_row, have_row, strict=True):
            np.testing.assert_array_equal(have, want)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_every_layer_as_read(tmp_path: Path, name: str) -> None:
    """Before any pass; tests/test_end_to_end.py does the same with what the passes make of it."""
    g = graph.read(model(name))
    plan = arena.plan(
        g, layer_by_layer(g), scratch=codegen.scratch, access=codegen.access, seconds=2.0
    )
    codegen.write(codegen.generate(g, plan, name="real"), tmp_path)
    compare(g, host.Engine(tmp_path), images(g, 2 if name == "mcunet_in4" else 3, seed=1))
