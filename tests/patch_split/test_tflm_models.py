"""Real models in bands, in stock TFLM: totals, and bits at every stage's boundary."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from small_models import PRESENT, model
from tflm_nets import with_output

from tflm_opt import graph as tflite
from tflm_opt import passes
from tflm_opt.graph import Graph
from tflm_opt.patch_split.rewrite import Stock, for_tflm
from tflm_opt.patch_split.tflm_check import violations
from tflm_opt.patch_split.tflm_stages import up_to
from tflm_opt.runtime import tflm

# Model, most extra MACs, most bytes of head and tail together.
TOTALS = [
    ("mcunet_vww1", 0.10, 104_000),
    ("mcunet_vww1", 1.0, 98_000),
    ("mlperf_tiny_vww", 0.10, 57_000),
    ("mlperf_tiny_ic", 0.10, 42_000),
    ("mlperf_tiny_kws", 0.0, 24_272),
    ("mlperf_tiny_ad", 0.0, 5_000),
    ("mcunet_vww1", 0.0, 112_000),
    ("mcunet_vww1", 0.02, 105_000),
    ("mlperf_tiny_vww", 0.0, 58_000),
]


@cache
def optimized(name: str) -> Graph:
    return passes.run(tflite.read(model(name)), passes.default_pipeline())


@cache
def stock(name: str, limit: float) -> Stock:
    return for_tflm(optimized(name), model(name), max_extra_macs=limit)


def pictures(g: Graph) -> list[list[np.ndarray]]:
    """Shapes with edges and slopes, and noise, a list of samples."""
    rng = np.random.default_rng(2)
    samples = []
    for kind in range(3):
        inputs = []
        for tensor in g.inputs:
            noise = rng.integers(-128, 128, tensor.shape)
            spread = (256, 8, 64)[kind]
            slope = np.indices(tensor.shape)[1:3].sum(0) * 3 * kind
            blobs = np.where(np.indices(tensor.shape)[1] // 7 % 2, 40 * kind, -30 * kind)
            inputs.append(np.clip(noise % spread - spread // 2 + slope % 120 + blobs, -128, 127))
        samples.append([x.astype(np.int8) for x in inputs])
    return samples


def boundary_jobs(g: Graph, made: Stock) -> list[tuple[bytes, list[list[np.ndarray]]]]:
    """Pairs of jobs whose outputs must be equal: each stage's result, and the outputs."""
    samples, legal = pictures(g), passes.Legalize()
    jobs = []
    for stage in made.banded.stages if made.banded else ():
        jobs.append((tflite.write(legal(with_output(g, stage.result))), samples))
        jobs.append((up_to(made.banded, stage.result), samples))  # type: ignore[arg-type]
    return [*jobs, (tflite.write(legal(g)), samples), (made.tflite, samples)]


def assert_equal_pairs(jobs: list[tuple[bytes, list[list[np.ndarray]]]]) -> None:
    runs = tflm.run_many(jobs, timeout=600)
    for want, got in zip(runs[::2], runs[1::2], strict=True):
        for a, b in zip(want, got, strict=True):
            for x, y in zip(a, b, strict=True):
                np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize(("name", "limit", "most"), TOTALS)
def test_totals(name: str, limit: float, most: int) -> None:
    made = stock(name, limit)
    assert made.memory is not None
    assert made.memory.after.total <= min(most, made.memory.before.total)
    assert made.extra_macs <= limit
    if made.banded is not None:
        assert made.memory.after.head == made.banded.layout.peak
        assert violations(tflite.read(made.tflite)) == ()


@pytest.mark.parametrize(
    ("kernels", "most"), [("cmsis_nn_dsp", 103_000), ("cmsis_nn_mve", 114_000)]
)
def test_totals_with_the_scratch_of_cmsis_nn(kernels: str, most: int) -> None:
    """On an emulated Cortex-M4 TFLM with CMSIS-NN reported these heads, to the byte."""
    made = for_tflm(
        optimized("mcunet_vww1"), model("mcunet_vww1"), max_extra_macs=0.1, kernels=kernels
    )
    assert made.memory is not None
    assert made.banded is not None
    assert made.memory.kernels == kernels
    assert made.memory.after.head <= made.banded.layout.peak
    assert made.memory.after.total <= most < made.memory.before.total


def _cases(keep: Callable[[str, float], bool]) -> list[tuple[str, float]]:
    return [(name, limit) for name, limit, _ in TOTALS if name in PRESENT and keep(name, limit)]


@pytest.mark.parametrize(("name", "limit"), _cases(lambda name, limit: limit < 1 or "ml" in name))
def test_stage_boundaries_and_outputs_are_bit_exact(name: str, limit: float) -> None:
    assert_equal_pairs(boundary_jobs(optimized(name), stock(name, limit)))


@pytest.mark.parametrize("name", ["mobilenet_v2_035_96", "resnet_8", "two_eyes", "unet"])
def test_nets_from_keras(name: str) -> None:
    made = stock(name, 0.1)
    assert made.memory is not None
    assert made.memory.after.total <= made.memory.before.total
    assert_equal_pairs(boundary_jobs(optimized(name), made))


def test_mobilenet_v2_needs_little_more_than_half() -> None:
    memory = stock("mobilenet_v2_035_96", 0.1).memory
    assert memory is not None
    assert memory.after.total <= 0.57 * memory.before.total


def test_litert_opens_a_real_model_in_bands() -> None:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    made = stock("mcunet_vww1", 0.10)
    sample = pictures(optimized("mcunet_vww1"))[1]
    (want,) = tflm.run(made.tflite, [sample])
    run = Interpreter(
        model_content=made.tflite, experimental_op_resolver_type=OpResolverType.BUILTIN_REF
    )
    run.allocate_tensors()
    run.set_tensor(run.get_input_details()[0]["index"], sample[0])
    run.invoke()
    got = run.get_tensor(run.get_output_details()[0]["index"])
    np.testing.assert_array_equal(got, want[0])
