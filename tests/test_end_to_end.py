"""The promise, on real models: what ships equals TFLM byte for byte, and never takes more memory.

Real files of several exporters, and nets of all usual kinds made with Keras. Each is optimized
twice: for the least memory, in streamed stages, and layer by layer. Both run 100 seeded samples;
and because a softmax at the end hides errors, every inner tensor is compared once, in the
engine's real arena with all its overlaps.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
from small_models import MODELS, model

import tflm_opt
from tflm_opt import arena, boards, codegen, graph, passes, proof
from tflm_opt.graph import edit
from tflm_opt.patch_split.schedule import layer_by_layer
from tflm_opt.runtime import firmware, qemu, tflm, vectors
from tflm_opt.runtime.host import Engine

# Grouped by model, so that one worker optimizes it once and runs all its tests.
by_model = pytest.mark.parametrize("name", MODELS, scope="module")

# Layer by layer, input resident, all kernel scratch included; bytes.
ARENA_LIMITS = {
    "mcunet_vww1": 92_000,
    "mlperf_tiny_vww": 40_000,
    "mlperf_tiny_ic": 34_000,
    "mlperf_tiny_kws": 9_500,
}


@functools.cache
def optimized(name: str) -> tflm_opt.Result:
    """For the least memory."""
    return tflm_opt.optimize(model(name), name=name, vectors=100, verbose=0)


@functools.cache
def layered(name: str) -> tuple[arena.Plan, codegen.Sources]:
    """The same graph, layer by layer."""
    g = optimized(name).graph
    plan = arena.plan(g, layer_by_layer(g), scratch=codegen.scratch, access=codegen.access)
    return plan, codegen.generate(g, plan, name=name)


@pytest.mark.slow
@by_model
def test_outputs_equal_tflm(name: str) -> None:
    result = optimized(name)
    assert result.bit_exact is True
    assert result.vectors == 100
    layers = proof.run_engine(layered(name)[1], result.samples)
    assert vectors.compare(result.expected, layers).equal
    spread = np.unique(np.concatenate([row[0].ravel() for row in result.expected]))
    assert spread.size > 1, "all outputs alike: the comparison would prove nothing"


@pytest.mark.slow
@by_model
def test_never_more_tflm_memory_than_the_file_that_came_in(name: str) -> None:
    result = optimized(name)
    assert result.tflm is not None
    assert result.tflm.after.total <= result.tflm.before.total


@pytest.mark.slow
@by_model
def test_every_inner_tensor_equals_tflm(name: str, tmp_path: Path) -> None:
    """The engine's trace against TFLM on the *original* file's inner tensors, found by name."""
    result = optimized(name)
    original = graph.read(model(name))
    codegen.write(layered(name)[1], tmp_path)
    sample = vectors.seeded(result.graph.inputs, 3, seed=5)[2]
    trace = Engine(tmp_path).trace(sample)
    ours = {
        tensor.name: (tensor, trace[index, number])
        for index, op in enumerate(result.graph.ops)
        for number, tensor in enumerate(op.outputs)
    }
    shown = [t for t in edit.inner_tensors(original) if _comparable(t, ours)]
    probe = graph.write(edit.with_outputs(original, shown))
    asked = vectors.recode(sample, result.graph.inputs, original.inputs)
    (expected,) = tflm.run(probe, [asked])
    for tensor, wanted in zip(shown, expected, strict=True):
        assert ours[tensor.name][1] == wanted.tobytes(), tensor
    if name != "mlperf_tiny_vww":  # most of its tensors lost dead channels
        assert len(shown) >= 0.6 * len(result.graph.ops)


@pytest.mark.slow
@by_model
def test_every_tensor_of_the_rewritten_graph_equals_tflm(name: str, tmp_path: Path) -> None:
    """The engine's trace against TFLM on the rewritten graph: no tensor is left out."""
    result = optimized(name)
    codegen.write(layered(name)[1], tmp_path / "layers")
    codegen.write(result.sources, tmp_path / "stages")
    samples = vectors.seeded(result.graph.inputs, 2, seed=6)
    layers, stages = Engine(tmp_path / "layers"), Engine(tmp_path / "stages")
    legal = passes.Legalize()(result.graph)
    inner = edit.inner_tensors(result.graph)
    expected = tflm.run(graph.write(edit.with_outputs(legal, inner)), samples)
    keys = [(i, n) for i, op in enumerate(result.graph.ops) for n in range(len(op.outputs))]
    for sample, row in zip(samples, expected, strict=True):
        whole, some = layers.trace(sample), stages.trace(sample)
        for tensor, wanted, key in zip(inner, row, keys, strict=True):
            assert whole[key] == wanted.tobytes(), tensor
            # Of a stage, only what leaves it is ever whole in memory.
            assert some.get(key, wanted.tobytes()) == wanted.tobytes(), tensor
        assert keys[-1] in some


def _comparable(tensor: graph.Tensor, ours: dict) -> bool:  # type: ignore[type-arg]
    found = ours.get(tensor.name)
    return found is not None and found[0].shape == tensor.shape and found[0].dtype == tensor.dtype


@pytest.mark.slow
@pytest.mark.qemu
@by_model
def test_emulated_cortex_m4_equals_tflm(name: str, tmp_path: Path) -> None:
    result = optimized(name)
    codegen.write(result.sources, tmp_path / "model")
    board = boards.get("qemu_m4")
    built = firmware.build(tmp_path / "model", board, tmp_path / "build")
    run = qemu.run(built, board, result.samples[:2])
    assert vectors.compare(result.expected[:2], run.outputs).equal
    assert built.stack.size is not None
    assert 0 < run.stack <= built.stack.size == result.sram.stack
    assert built.sizes.flash == result.flash.total


@pytest.mark.slow
@pytest.mark.parametrize("name", ARENA_LIMITS)
def test_arena_limits(name: str) -> None:
    plan, sources = layered(name)
    assert plan.bound <= plan.peak == sources.arena <= ARENA_LIMITS[name]
    assert optimized(name).front[-1].peak <= plan.peak


@pytest.mark.slow
def test_dead_channels_are_gone() -> None:
    result = optimized("mlperf_tiny_vww")
    assert result.macs <= 4_200_000 < result.macs_before


@pytest.mark.slow
@by_model
def test_round_trip(name: str) -> None:
    """Reading and writing changes neither outputs nor metadata."""
    data = model(name)
    first = graph.read(data)
    written = graph.write(first)
    second = graph.read(written)
    assert second.model.metadata == first.model.metadata
    assert [s.key for s in second.model.signatures] == [s.key for s in first.model.signatures]
    samples = vectors.seeded(first.inputs, 4, seed=9)
    before, after = tflm.run_many([(data, samples), (written, samples)])
    assert vectors.compare(before, after).equal
