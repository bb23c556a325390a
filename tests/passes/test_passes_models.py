"""The whole pipeline on real models: same bytes in TFLM, inside too, less work, less memory."""

from __future__ import annotations

import dataclasses
import random
from functools import cache

import numpy as np
import pytest
from pass_nets import macs, run_all, same_inside, samples_for
from small_models import MODELS, model

from tflm_opt import graph as tg
from tflm_opt.errors import UnsupportedModel
from tflm_opt.passes import Legalize, default_pipeline, run
from tflm_opt.runtime import tflm


@cache
def _optimized(name: str, io: str = "float32") -> tuple[tg.Graph, tg.Graph]:
    before = tg.read(model(name))
    return before, run(before, default_pipeline(io))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", MODELS)
def test_every_tensor_that_is_left_holds_the_same_values(name: str) -> None:
    before, after = _optimized(name)
    compared = same_inside(before, Legalize()(after), count=1 if name == "mcunet_in4" else 2)
    assert compared >= len(after.ops) - 4


@pytest.mark.parametrize("name", MODELS)
def test_outputs_are_the_same_and_memory_never_grows(name: str) -> None:
    before, after = _optimized(name)
    samples = samples_for(before, 1 if name == "mcunet_in4" else 6)
    data = tg.write(Legalize()(after))
    old, new = tflm.measure(model(name), samples), tflm.measure(data, samples)
    for a, b in zip(old.outputs, new.outputs, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)
    assert macs(after) <= macs(before)
    assert new.allocations.head <= old.allocations.head
    assert new.allocations.total <= old.allocations.total


@pytest.mark.parametrize("name", MODELS)
def test_the_pipeline_is_idempotent_in_any_order(name: str) -> None:
    before, after = _optimized(name)
    passes = list(default_pipeline("float32"))
    assert run(after, passes) is after
    random.Random(name).shuffle(passes)
    other = run(before, passes)
    assert run(other, default_pipeline("float32")) is other
    assert macs(other) == macs(after)
    assert len(other.ops) == len(after.ops)


@pytest.mark.parametrize("name", MODELS)
def test_optimizing_the_written_file_again_changes_nothing(name: str) -> None:
    _, after = _optimized(name)
    data = tg.write(Legalize()(after))
    again = run(tg.read(data), default_pipeline("float32"))
    assert macs(again) == macs(after)
    assert len(again.ops) == len(after.ops)


@pytest.mark.parametrize(
    ("name", "most"), [("mlperf_tiny_vww", 4_200_000), ("mcunet_vww1", 11_000_000)]
)
def test_dead_channels_of_real_models(name: str, most: int) -> None:
    _, after = _optimized(name)
    assert macs(after) <= most


def test_int8_borders_of_a_real_model() -> None:
    """mcunet_vww1: float in and out; the codes behind must be the same."""
    before, after = _optimized("mcunet_vww1", "int8")
    source, target = after.inputs[0], after.outputs[0]
    assert (source.dtype, target.dtype) == ("int8", "int8")
    assert [t.name for t in after.inputs] == [t.name for t in before.inputs]
    first = next(op for op in before.ops if op.kind == "QUANTIZE")
    floats = samples_for(before, 2)
    codes = run_all([tg.edit.with_outputs(before, [first.output])], [floats])[0]
    old, new = run_all([before, Legalize()(after)], [floats, codes])
    for a, b in zip(old, new, strict=True):
        real = target.scale * (b[0].astype(np.float64) - target.zero_point)
        np.testing.assert_array_equal(a[0], real.astype(np.float32))


def test_compressed_weights_are_refused() -> None:
    before = tg.read(model("ds_cnn"))
    changed = dataclasses.replace(before.model, metadata=(("COMPRESSION_METADATA", b""),))
    with pytest.raises(UnsupportedModel, match="compressed"):
        run(dataclasses.replace(before, model=changed), default_pipeline())


def test_passes_that_never_settle_are_reported() -> None:
    @dataclasses.dataclass(frozen=True)
    class Restless:
        name: str = "restless"

        def __call__(self, graph: tg.Graph) -> tg.Graph:
            return dataclasses.replace(graph)

    with pytest.raises(RuntimeError, match="restless"):
        run(tg.read(model("ds_cnn")), [Restless()])  # type: ignore[list-item]
