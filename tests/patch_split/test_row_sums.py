"""Nets that end in a global average or mean, folded row by row as running sums, against TFLM."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from row_nets import pooled_net, pooled_schedules
from small_models import model

from tflm_opt import arena, codegen, graph, passes
from tflm_opt.errors import UnsupportedModel
from tflm_opt.graph.ir import Graph, Op, Quantization, Tensor
from tflm_opt.graph.options import Padding, PoolOptions, ReducerOptions
from tflm_opt.passes.legalize import Legalize
from tflm_opt.patch_split.regions import FOLD_BYTES, NotStreamable, sum_reaches
from tflm_opt.patch_split.schedule import Schedule, Stage
from tflm_opt.patch_split.search import search
from tflm_opt.patch_split.walk import walk
from tflm_opt.runtime import host, tflm, vectors


@pytest.mark.parametrize("chunk", range(2))
def test_running_sums_give_tflms_bits(chunk: int, tmp_path: Path) -> None:
    """Every net runs on a sample, another one and the first again: no sum is left over."""
    nets = [pooled_net(np.random.default_rng([chunk, seed, 31])) for seed in range(24)]
    data = [vectors.seeded(g.inputs, 2, seed=i) for i, g in enumerate(nets)]
    data = [[*rows, rows[0]] for rows in data]
    truth = tflm.run_many(
        [(graph.write(Legalize()(g)), rows) for g, rows in zip(nets, data, strict=True)]
    )
    kinds, summed = set(), 0
    for number, (g, rows, want) in enumerate(zip(nets, data, truth, strict=True)):
        rng = np.random.default_rng([chunk, number, 32])
        for turn, schedule in enumerate(pooled_schedules(g, rng)):
            if sum_reaches(g.ops[-1]) is None and not g.ops[-1].kind.endswith("POOL_2D"):
                continue
            plan = arena.plan(
                g, schedule, scratch=codegen.scratch, access=codegen.access, seconds=0.05
            )
            assert arena.validate(plan.problem, plan.places) == ()
            codegen.write(codegen.generate(g, plan), tmp_path / f"{number}_{turn}")
            have = host.Engine(tmp_path / f"{number}_{turn}").run(rows)
            for have_row, want_row in zip(have, want, strict=True):
                for a, b in zip(have_row, want_row, strict=True):
                    assert a.tobytes() == b.tobytes(), (chunk, number, schedule)
            kinds.add((g.ops[-1].kind, len(g.outputs[0].shape)))
            summed += walk(g, schedule.stages[-1]).summed is not None
    assert {axes for kind, axes in kinds if not kind.endswith("POOL_2D")} == {2, 4}
    assert {kind for kind, _ in kinds} == set(FOLD_BYTES)
    assert summed > 30


def image(height: int, width: int, channels: int = 3, dtype: str = "int8") -> Tensor:
    quant = Quantization.per_tensor(0.1, 3)
    return Tensor("x", (1, height, width, channels), dtype, quant)


def mean(source: Tensor, axes: list[int]) -> Op:
    listed = Tensor("axes", (len(axes),), "int32", data=np.array(axes, np.int32))
    made = tuple(1 if i in axes else n for i, n in enumerate(source.shape))
    out = Tensor("y", made, source.dtype, source.quant)
    return Op("MEAN", (source, listed), (out,), ReducerOptions(True))


def average(source: Tensor, kernel: tuple[int, int], top: int = 0) -> Op:
    out = Tensor("y", (1, 1, 1, source.shape[3]), source.dtype, source.quant)
    options = PoolOptions(kernel, kernel, Padding(top=top))
    return Op("AVERAGE_POOL_2D", (source,), (out,), options)


REFUSED = {
    "a mean over columns only": mean(image(9, 9), [2]),
    "a mean over rows and channels": mean(image(9, 9), [1, 3]),
    "a window that is not the image": average(image(9, 9), (9, 8)),
    "a padded window": average(image(9, 9), (9, 9), top=1),
    "other types": mean(image(9, 9, dtype="int16"), [1, 2]),
    "sums no smaller than the image": mean(image(2, 4), [1, 2]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_running_sum(name: str) -> None:
    assert sum_reaches(REFUSED[name]) is None


def test_sums_begin_where_they_save_memory() -> None:
    assert sum_reaches(mean(image(2, 5), [1, 2])) is not None
    assert sum_reaches(average(image(6, 1), (6, 1))) is not None
    assert sum_reaches(average(image(5, 1), (5, 1))) is None


def test_only_the_last_op_of_a_stage_sums() -> None:
    source = image(9, 9)
    fold = mean(source, [1, 2])
    after = Op("TANH", fold.outputs, (Tensor("z", (1, 1, 1, 3), "int8", source.quant),))
    g = Graph((fold, after), (source,), after.outputs)
    with pytest.raises(NotStreamable, match="all rows"):
        walk(g, Stage(g.ops, 1))
    found = walk(g, Stage(g.ops[:1], 2), streamed=True)
    assert found.summed is fold
    assert found.steps == 5
    assert found.windows[source].capacity == 2


def test_what_sums_cannot_do_is_an_error() -> None:
    """A pool that would have to requantize is refused as it is for the whole image."""
    source = image(9, 9)
    fold = average(source, (9, 9))
    out = Tensor("y", (1, 1, 1, 3), "int8", Quantization.per_tensor(0.2, 3))
    fold = Op(fold.kind, fold.inputs, (out,), fold.options)
    g = Graph((fold,), (source,), fold.outputs)
    with pytest.raises(UnsupportedModel, match="requantize"):
        arena.plan(g, Schedule((Stage(g.ops, 1),)), scratch=codegen.scratch, access=codegen.access)


def test_a_search_streams_an_image_into_a_mean() -> None:
    """A row, and 4 bytes a channel, where the image has 4608 bytes; then nothing runs whole."""
    source = image(24, 24, 8)
    middle = Tensor("z", source.shape, "int8", Quantization.per_tensor(1 / 128, 0))
    fold = mean(middle, [1, 2])
    g = Graph((Op("TANH", (source,), (middle,)), fold), (source,), fold.outputs)
    found = search(g, input="streamed", scratch=codegen.scratch, access=codegen.access)
    (stage,) = found.schedule.stages
    assert walk(g, stage, streamed=True).summed is fold
    assert found.peak <= 24 * 8 + 4 * 8 + 2 * 16
    assert found.whole == {}


# Bytes of arena at most: what the same search needed without running sums, or less; of the U-Net,
# where resizes and transposed convolutions ended stages, 36_864.
MODELS = {
    ("unet", "streamed"): 24_192,
    ("mlperf_tiny_ic", "resident"): 14_080,
    ("mlperf_tiny_ic", "streamed"): 11_296,
    ("mlperf_tiny_vww", "resident"): 28_160,
    ("mlperf_tiny_vww", "streamed"): 13_584,
    ("mcunet_vww1", "resident"): 20_896,
    ("mcunet_vww1", "streamed"): 14_768,
    ("mlperf_tiny_kws", "resident"): 5_000,
    ("mlperf_tiny_kws", "streamed"): 5_000,
}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "given"), MODELS, ids=lambda word: word)
def test_real_models(name: str, given: str, tmp_path: Path) -> None:
    g = passes.run(graph.read(model(name)), passes.default_pipeline("int8"))
    found = search(g, input=given, scratch=codegen.scratch, access=codegen.access)
    assert found.peak <= MODELS[name, given]
    codegen.write(codegen.generate(g, found.chosen.plan), tmp_path)
    samples = vectors.seeded(g.inputs, 2, seed=9)
    want = tflm.run(graph.write(Legalize()(g)), samples)
    for have_row, want_row in zip(host.Engine(tmp_path).run(samples), want, strict=True):
        for a, b in zip(have_row, want_row, strict=True):
            assert a.tobytes() == b.tobytes()
