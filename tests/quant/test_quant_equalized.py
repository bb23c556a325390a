"""Equalized nets: across a ReLU6, with ranges from one pass, and as the diagnosis sees them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import keras
from keras import layers

import tflm_opt
from tflm_opt import graph as graphs
from tflm_opt.quant import convert, equalize, options, quantize
from tflm_opt.quant.diagnose import diagnose
from tflm_opt.quant.float_graph import FloatGraph, watch
from tflm_opt.quant.float_twin import float_tflite

pytestmark = [pytest.mark.tensorflow, pytest.mark.filterwarnings("ignore")]

X = np.random.default_rng(0).normal(size=(32, 8, 8, 3)).astype(np.float32)
SAMPLES = [(one,) for one in X]


def bounded() -> Any:
    """ReLU6 in front of a depthwise and of a pointwise layer; some channels reach 6, most don't."""
    keras.utils.set_random_seed(2)
    uneven = np.float32(2.0) ** np.arange(-5, 3)
    inputs = keras.Input((8, 8, 3), name="image")
    first = layers.Conv2D(8, 3, padding="same", name="first")
    deep = layers.DepthwiseConv2D(3, padding="same", name="deep")
    x = layers.MaxPooling2D(2)(layers.ReLU(6.0)(first(inputs)))
    x = layers.Conv2D(4, 1, name="point")(layers.ReLU(6.0)(deep(x)))
    for layer, axis in ((first, 3), (deep, 2)):
        kernel, bias = layer.get_weights()
        shape = [8 if place == axis else 1 for place in range(4)]
        layer.set_weights([kernel * (2 * uneven).reshape(shape), bias + 0.1])
    return keras.Model(inputs, x)


@pytest.fixture(scope="module")
def calibrated() -> bytes:
    seen: list[bytes] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convert, "edited", lambda tflite, *_: seen.append(tflite) or tflite)
        quantize(bounded(), X)
    return seen[0]


def values(tflite: bytes) -> list[dict[str, np.ndarray]]:
    found: list[dict[str, np.ndarray]] = []
    watch(tflite, SAMPLES, lambda tensors: found.append(dict(tensors)))
    return found


def test_relu6_is_equalized_within_its_clip(calibrated: bytes) -> None:
    graph = FloatGraph(calibrated)
    joints = equalize.pairs(graph)
    assert [pair.cap for pair in joints] == [6.0, 6.0]
    assert equalize.equalize(graph, "data", SAMPLES) == 2
    before, after = values(calibrated), values(graph.pack())
    last = graph.name(graph.outputs(len(graph.kinds) - 1)[0])
    for old, new in zip(before, after, strict=True):  # the same function, on the data
        np.testing.assert_allclose(new[last], old[last], rtol=1e-3, atol=1e-4)

    def peaks(runs: list[dict[str, np.ndarray]], pair: equalize.Pair) -> np.ndarray:
        name = graph.name(pair.tensor)
        return np.max([run[name].reshape(-1, 8).max(axis=0) for run in runs], axis=0)

    for pair in joints:
        old, new = peaks(before, pair), peaks(after, pair)
        cut = old >= 6
        assert cut.any()
        assert not cut.all()
        np.testing.assert_array_equal(new[cut], old[cut])
        assert (new[~cut] < 6).all()
    old, new = peaks(before, joints[0]), peaks(after, joints[0])
    assert old.min() < 0.5
    np.testing.assert_allclose(new, 6, rtol=1e-3)  # before a depthwise layer all are alike
    assert equalize.equalize(FloatGraph(calibrated), "data-free", SAMPLES) == 0


def test_ranges_after_equalizing_are_those_of_a_run(calibrated: bytes) -> None:
    graph = FloatGraph(calibrated)
    equalize.equalize(graph, "data", SAMPLES)
    runs = values(graph.pack())
    for tensor in graph.activations():
        name, found = graph.name(tensor), graph.range(tensor)
        low, high = min(run[name].min() for run in runs), max(run[name].max() for run in runs)
        assert found == pytest.approx((low, high), rel=1e-3, abs=1e-4), name


def test_samples_are_run_once(calibrated: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[int] = []

    def counted(tflite: bytes, samples: Any, see: Any) -> None:
        runs.append(len(samples))
        watch(tflite, samples, see)

    for module in (equalize, options.ranges, options.bias_correction):
        monkeypatch.setattr(module, "watch", counted)
    seen: list[float] = []
    options.edited(calibrated, options.PTQ(), SAMPLES, lambda tflite: tflite, seen.append)
    assert runs == [32]
    assert seen == [pytest.approx((i + 1) / 32) for i in range(32)]


def test_a_relu6_net_is_bit_exact_and_its_diagnosis_blames_no_channels() -> None:
    result = tflm_opt.optimize(bounded(), calibration=X, vectors=4, verbose=0)
    assert result.bit_exact
    assert result.float_model is not None
    found = diagnose(result.original, float_tflite(result.float_model), [[one] for one in X])
    assert found.compared == len(found.layers)
    assert not [one for one in found.findings if "unequal" in one.reason]
    own = [one.own for one in found.layers if one.own is not None]
    assert len(own) == len(found.layers)
    assert all((one.sqnr_db or 0.0) > 25 for one in own)


@pytest.mark.parametrize("shift", [0.0, 3.0])
def test_a_sum_is_what_tflm_makes_of_it(shift: float) -> None:
    """LiteRT's reference kernel never rescales an int8 SUM: more than 100 steps from float."""
    inputs = keras.Input((8, 8, 3), name="image")
    total = keras.ops.sum(layers.ReLU(name="bend")(inputs), axis=(1, 2))
    model = keras.Model(inputs, total)
    data = X + np.float32(shift)
    made = quantize(model, data)
    read = graphs.read(made.tflite)
    assert "SUM" in [op.kind for op in read.ops]
    result = tflm_opt.optimize(made.tflite, vectors=4, verbose=0)
    assert result.bit_exact
    off = np.asarray(result.predict(data)).reshape(-1, 3) - np.asarray(model(data))
    assert np.abs(off).max() < 3 * read.outputs[0].scale
    found = diagnose(made.tflite, float_tflite(made.float_model), [[one] for one in data])
    (row,) = [one for one in found.layers if one.kind == "SUM"]
    assert row.own is not None
    assert row.accumulated is not None
    assert max(row.own.steps, row.accumulated.steps) < 3
