"""Ranges, equalization and bias correction, between calibration and rounding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import keras
from keras import layers

import tflm_opt
from tflm_opt.errors import TflmOptError
from tflm_opt.quant import PTQ, bias_correction, convert, equalize, options, quantize, ranges
from tflm_opt.quant.float_graph import FloatGraph, watch
from tflm_opt.quant.floatmodel import FloatModel, view
from tflm_opt.quant.sources import Source

pytestmark = [pytest.mark.tensorflow, pytest.mark.filterwarnings("ignore")]

PLAIN = PTQ(equalize=None)
SHAPE = (10, 9, 3)


def separable() -> Any:
    """Convolutions that join in each way, channels of unequal range, a concat and a ReLU6."""
    inputs = keras.Input(SHAPE, name="image")

    def normed(x: Any, **relu: Any) -> Any:
        return layers.ReLU(**relu)(layers.BatchNormalization()(x))

    x = normed(layers.Conv2D(8, 3, padding="same", use_bias=False, name="stem")(inputs))
    x = normed(layers.DepthwiseConv2D(3, strides=2, depth_multiplier=2, name="deep")(x))
    x = normed(layers.Conv2D(6, 1, use_bias=False, name="point")(x))
    y = normed(layers.Conv2D(6, 1, name="side")(x), max_value=6.0)
    x = layers.MaxPooling2D(2)(layers.Concatenate(name="both")([x, y]))
    x = layers.Conv2D(8, 1, name="last")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(4, activation="softmax", name="scores")(x))


@pytest.fixture(scope="module")
def data() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(40, *SHAPE)).astype(np.float32)


@pytest.fixture(scope="module")
def net(data: np.ndarray) -> Any:
    from models.builders import calibrate_batchnorm, randomize_offsets

    keras.utils.set_random_seed(3)
    rng = np.random.default_rng(3)
    model = separable()
    randomize_offsets(model, rng)
    calibrate_batchnorm(model, [data])
    norms: list[Any] = [one for one in model.layers if isinstance(one, layers.BatchNormalization)]
    for norm in norms:
        norm.gamma.assign(np.exp2(rng.normal(0, 2, norm.gamma.shape)))
    norms[0].gamma.assign(norms[0].gamma.numpy() * ([0.0] + [1.0] * 7))  # a dead channel
    norms[1].moving_variance.assign(norms[1].moving_variance.numpy() * ([1e-12] + [1.0] * 15))
    return model


@pytest.fixture(scope="module")
def viewed(net: Any) -> FloatModel:
    return view(net, Source.KERAS)


@pytest.fixture(scope="module")
def samples(data: np.ndarray) -> list[tuple[np.ndarray, ...]]:
    return [(one,) for one in data]


@pytest.fixture(scope="module")
def calibrated(viewed: FloatModel, samples: list[Any]) -> bytes:
    """The float file that the converter rounds."""
    seen: list[bytes] = []

    def keep(tflite: bytes, *_: Any) -> bytes:
        seen.append(tflite)
        return tflite

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convert, "edited", keep)
        convert.to_tflite(viewed, samples, options=PTQ())
    return seen[0]


def results(tflite: bytes, samples: list[Any]) -> np.ndarray:
    graph = FloatGraph(tflite)
    last = graph.name(graph.outputs(len(graph.kinds) - 1)[0])
    found: list[np.ndarray] = []
    watch(tflite, samples, lambda tensors: found.append(tensors[last].ravel()))
    return np.stack(found)


def peaks(graph: FloatGraph, pair: equalize.Pair, samples: list[Any]) -> np.ndarray:
    found = equalize._spans(graph, [pair], samples, lambda done: None)
    return np.abs(found[pair.tensor]).max(axis=0)


def spans(graph: FloatGraph) -> dict[str, Any]:
    return {graph.name(tensor): graph.range(tensor) for tensor in graph.activations()}


def test_min_max_without_steps_is_plain_conversion(
    viewed: FloatModel, samples: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Through the file's parts and back, with nothing changed: the same bytes.
    monkeypatch.setattr(options.equalize, "equalize", lambda *_: 0)
    for io in ("int8", "float32"):
        with monkeypatch.context() as patch:
            patch.setattr(convert, "_step_between", lambda *_: None)  # the converter alone
            plain = convert.to_tflite(viewed, samples, io=io)
        assert convert.to_tflite(viewed, samples, io=io) == plain
        again = convert.to_tflite(viewed, samples, io=io, options=PTQ())
        assert again == plain


def test_batch_norm_is_folded_into_the_layers(
    net: Any, calibrated: bytes, data: np.ndarray, samples: list[Any]
) -> None:
    """Also behind a depthwise layer, with a gamma of zero and a variance of almost zero."""
    graph = FloatGraph(calibrated)
    assert {"MUL", "ADD", "SUB"}.isdisjoint(graph.kinds)
    expected = net.predict(data, verbose=0)
    np.testing.assert_allclose(results(calibrated, samples), expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("rule", ["data", "data-free"])
def test_equalization_keeps_the_float_function(
    rule: str, calibrated: bytes, samples: list[Any]
) -> None:
    graph = FloatGraph(calibrated)
    before = graph.values(graph.inputs(0)[1])
    # stem-deep, deep-point, last-scores; not point, read twice, nor side, into a ReLU6.
    assert equalize.equalize(graph, rule, samples) == 3
    assert not np.allclose(graph.values(graph.inputs(0)[1]), before, rtol=0.1)
    expected = results(calibrated, samples)
    np.testing.assert_allclose(results(graph.pack(), samples), expected, rtol=1e-3, atol=1e-5)


def test_channels_before_a_depthwise_layer_get_one_range(
    calibrated: bytes, samples: list[Any]
) -> None:
    graph = FloatGraph(calibrated)
    pair = equalize.pairs(graph)[0]
    before = peaks(graph, pair, samples)
    equalize.equalize(graph, "data", samples)
    after = peaks(graph, pair, samples)
    alive = before > 0
    assert before[alive].max() > 4 * before[alive].min()
    np.testing.assert_allclose(after[alive], after[alive].max(), rtol=1e-3)


def test_bias_correction_brings_the_means_back(viewed: FloatModel, samples: list[Any]) -> None:
    seen: list[bytes] = []

    def kept(tflite: bytes, *_: Any) -> bytes:
        seen.append(tflite)
        return options.edited(tflite, *_)

    files = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convert, "edited", kept)
        for chosen in (PTQ(method="mse", equalize=None, correct_bias=on) for on in (False, True)):
            files.append(convert.to_tflite(viewed, samples, options=chosen))
    graph = FloatGraph(seen[0])
    names = [graph.name(graph.outputs(i)[0]) for i, _ in enumerate(graph.kinds)]
    names = [name for i, name in enumerate(names) if graph.has_weights(i)]
    expected = bias_correction.means(seen[0], samples)
    plain, corrected = (bias_correction.means(file, samples) for file in files)

    def error(found: dict[str, np.ndarray]) -> float:
        return sum(float(np.abs(found[n] - expected[n]).sum()) for n in names if n in found)

    assert error(corrected) < 0.7 * error(plain)


def test_percentile_leaves_out_both_tails() -> None:
    counts = np.array([1, 98, 1, 0])
    assert ranges.percentile_range(counts, (0.0, 4.0), 98) == (1.0, 2.0)
    assert ranges.percentile_range(counts, (-1.0, 3.0), 100) == (-1.0, 3.0)


def test_mse_clips_an_outlier_and_keeps_what_is_even() -> None:
    counts = np.full(2048, 1000)
    assert ranges.mse_range(counts, (0.0, 1.0)) == (0.0, 1.0)
    counts = np.concatenate([np.full(128, 100_000), np.zeros(1919, int), [1]])
    low, high = ranges.mse_range(counts, (0.0, 1.0))
    assert low == 0.0
    assert high < 0.5


@pytest.mark.parametrize("method", ["percentile", "mse"])
def test_methods_narrow_ranges_and_ties_share_them(
    method: str, calibrated: bytes, samples: list[Any]
) -> None:
    graph = FloatGraph(calibrated)
    before = spans(graph)
    ranges.choose(graph, samples, method=method, percentile=98.0, layers={})
    after = spans(graph)
    assert any(after[n] != before[n] for n in before)
    for name, (low, high) in after.items():
        assert high - low <= max(before[n][1] for n in before) - min(b[0] for b in before.values())
        assert low < high, name
    op = graph.kinds.index("CONCATENATION")
    ends = {graph.range(t) for t in graph.inputs(op) + graph.outputs(op)}
    assert len(ends) == 1


def test_a_layer_has_a_range_of_its_own(calibrated: bytes, samples: list[Any]) -> None:
    graph = FloatGraph(calibrated)
    before = spans(graph)
    ranges.choose(
        graph, samples, method="minmax", percentile=99.0, layers={"last": (-2.0, 3.0), "l*": "mse"}
    )
    after = spans(graph)
    changed = [name for name in before if after[name] != before[name]]
    assert changed
    assert all("last" in name for name in changed)
    assert {after[name] for name in changed} == {(-2.0, 3.0)}


@pytest.mark.parametrize(
    "chosen",
    [
        PTQ(),
        PTQ(method="percentile", percentile=99.0, equalize=None),
        PTQ(method="mse", correct_bias=True, equalize="data-free", layers={"scores": "minmax"}),
    ],
    ids=["default", "percentile", "mse"],
)
def test_every_method_is_bit_exact_and_repeatable(chosen: PTQ, net: Any, data: np.ndarray) -> None:
    result = tflm_opt.optimize(
        net, 1_000_000, calibration=data, quantize=chosen, vectors=4, verbose=0
    )
    assert result.bit_exact
    assert quantize(net, data, options=chosen).tflite == result.original


def test_options_that_would_be_ignored_are_refused(net: Any, data: np.ndarray) -> None:
    tflite = quantize(net, data).tflite
    with pytest.raises(TflmOptError, match="rounded already"):
        tflm_opt.optimize(tflite, quantize=PTQ(), verbose=0)
    with pytest.raises(TflmOptError, match=r"quantize True is not one of ptq, qat, tfmot, a .*PTQ"):
        tflm_opt.optimize(net, quantize=True, verbose=0)  # type: ignore[arg-type]


def test_samples_of_a_generator_stay_with_the_result(net: Any, data: np.ndarray) -> None:
    made = quantize(net, (one for one in data[:20]))
    assert len(made.examples) == 16
    for (kept,), given in zip(made.examples, data, strict=False):
        np.testing.assert_array_equal(kept, given)


def test_few_samples_are_remarked_on_where_values_are_clipped(net: Any, data: np.ndarray) -> None:
    said = quantize(net, data[:12], options=PTQ(method="mse", equalize=None))
    assert any("mse ranges from 12 calibration samples" in one for one in said.warnings)
    assert not PLAIN.remarks(12)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"method": "entropy"}, "choose one of minmax, percentile, mse"),
        ({"equalize": True}, "choose 'data', 'data-free' or None"),
        ({"percentile": 101}, "not in .50, 100."),
        ({"percentile": float("nan")}, "not in .50, 100."),
        ({"layers": {"a": "kl"}}, r"layers\['a'\]"),
        ({"layers": {"a": (0.5, 1.0)}}, "0 inside"),
        ({"layers": {"a": (float("nan"), 1.0)}}, "0 inside"),
        ({"layers": {"a": (-1.0, float("inf"))}}, "0 inside"),
    ],
)
def test_wrong_options_are_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(TflmOptError, match=words):
        PTQ(**wrong)


def test_an_unknown_layer_is_refused_with_those_there_are(net: Any, data: np.ndarray) -> None:
    with pytest.raises(TflmOptError, match=r"'stam', which no tensor .* has\. They are: .*image"):
        quantize(net, data, options=PTQ(layers={"stam": "mse"}))


def test_ranges_at_odds_on_one_scale_are_refused(calibrated: bytes, samples: list[Any]) -> None:
    graph = FloatGraph(calibrated)
    op = graph.kinds.index("CONCATENATION")
    first, second = (graph.name(tensor) for tensor in graph.inputs(op))
    at_odds: dict[str, Any] = {first: (-1.0, 1.0), second: (-2.0, 2.0)}
    with pytest.raises(TflmOptError, match="share one scale"):
        ranges.choose(graph, samples, method="minmax", percentile=99.0, layers=at_odds)
