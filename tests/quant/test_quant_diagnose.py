"""Float against int8, layer by layer: what is measured, who is blamed, and bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

import tflm_opt
from tflm_opt import graph as graphs
from tflm_opt.errors import MissingTool
from tflm_opt.intervals import mcnemar, paired, wilson
from tflm_opt.quant import quantize
from tflm_opt.quant.diagnose import diagnose, label
from tflm_opt.quant.diagnose_match import match
from tflm_opt.quant.diagnose_run import Runner
from tflm_opt.quant.float_twin import float_tflite
from tflm_opt.quant.options import PLAIN

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.filterwarnings("ignore"),
]


def test_wilson_and_mcnemar() -> None:
    """Against scipy's figures."""
    one = wilson(0.9, 100)
    assert (one.low, one.high) == pytest.approx((0.8256343384950865, 0.9447708629393249))
    assert wilson(1.0, 10).high == pytest.approx(1.0)
    assert mcnemar(1, 5) == 0.21875
    assert mcnemar(0, 0) == 1.0


def test_paired() -> None:
    """36 samples right in both models, 12 only in the first, 2 only in the second."""
    first = np.array([True] * 36 + [True] * 12 + [False] * 2)
    second = np.array([True] * 36 + [False] * 12 + [True] * 2)
    found = paired(first, second)
    assert (found.lost, found.won) == (12, 2)
    assert found.difference == pytest.approx(-0.2)
    assert found.interval.low < -0.2 < found.interval.high < 0
    same = paired(first, first)
    assert (same.difference, same.p) == (0, 1)
    assert same.interval.low <= 0 <= same.interval.high


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("net_1/re_lu_1/Relu6;net_1/conv2d_1/convolution", "conv2d_1"),
        (
            "a/inner/b_1/batchnorm/add_1;a/inner/conv_1/convolution2;a/inner/b_1/batchnorm/sub",
            "conv_1",
        ),
        ("net/dense/MatMul2", "dense"),
        ("net/bn/batchnorm/mul_1", "bn"),
        ("Identity", "Identity"),
    ],
)
def test_labels(name: str, short: str) -> None:
    assert label(name) == short


SHAPE = (8, 8, 3)


@pytest.fixture(scope="module")
def data() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(48, *SHAPE)).astype(np.float32)


@pytest.fixture(scope="module")
def model() -> Any:
    """Its first convolution's channels have very unequal ranges, which the next one undoes."""
    keras = pytest.importorskip("keras")
    layers = keras.layers
    keras.utils.set_random_seed(0)
    inputs = keras.Input(SHAPE, name="image")
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="uneven")(inputs)
    x = layers.DepthwiseConv2D(3, padding="same", name="after")(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    y = layers.Conv2D(8, 1, name="branch")(x)
    x = layers.GlobalAveragePooling2D()(layers.Add()([x, y]))
    made = keras.Model(inputs, layers.Dense(4, activation="softmax", name="scores")(x))
    factors = np.array([30, 1, 1, 1, 1, 1, 1, 0], np.float32)
    kernel, bias = made.get_layer("uneven").get_weights()
    made.get_layer("uneven").set_weights([kernel * factors, bias])
    kernel, bias = made.get_layer("after").get_weights()
    undone = 1 / np.where(factors > 0, factors, 1)
    made.get_layer("after").set_weights([kernel * undone[:, None], bias])
    return made


@pytest.fixture(scope="module")
def result(model: Any, data: np.ndarray) -> tflm_opt.Result:
    """As where there is no compiler for Arm: none of the kernels' many files is compiled."""
    none = MissingTool("arm-none-eabi-gcc", needed_for="to build firmware", install="")
    with mock.patch("tflm_opt.runtime.machine.compiler", side_effect=none):
        return tflm_opt.optimize(model, calibration=data, quantize=PLAIN, verbose=0, verify=False)


def diagnosed(model: Any, calibration: Any, data: np.ndarray) -> Any:
    made = quantize(model, calibration)
    return diagnose(made.tflite, float_tflite(made.float_model), [[x] for x in data])


@pytest.fixture(scope="module")
def found(result: tflm_opt.Result, data: np.ndarray) -> Any:
    return result.diagnose(data)


class TestFigures:
    def test_every_layer_is_compared(self, found: Any) -> None:
        assert found.compared == len(found.layers) == 8
        assert found.samples == 48
        assert [one.label for one in found.layers[:3]] == ["image", "uneven", "after"]

    def test_int8_values_are_tflms(self, result: tflm_opt.Result, data: np.ndarray) -> None:
        from tflm_opt.quant.diagnose_tally import quantized
        from tflm_opt.runtime import tflm

        runner = Runner(result.original)
        (tensor,) = runner.graph.inputs
        codes = [quantized(x, tensor).reshape(tensor.shape) for x in data[:8]]
        wanted = tflm.run(result.original, [[x] for x in codes])
        for x, (scores,) in zip(codes, wanted, strict=True):
            given = runner.run([x])[runner.graph.outputs[0]]
            np.testing.assert_array_equal(given, scores)

    def test_errors_of_the_output(
        self, result: tflm_opt.Result, data: np.ndarray, found: Any
    ) -> None:
        """The last layer's accumulated error is what predict() differs by from the float model."""
        assert result.float_model is not None
        floats = np.array([row[0] for row in result.float_model.predict([[x] for x in data])])
        off = result.predict(data) - floats
        last = found.layers[-1].accumulated
        assert last.maximum == pytest.approx(np.abs(off).max(), rel=1e-3)
        assert last.mean == pytest.approx(off.mean(), abs=1e-6)
        wanted = 10 * np.log10(np.square(floats).sum() / np.square(off).sum())
        assert last.sqnr_db == pytest.approx(wanted, abs=0.01)
        assert last.steps == pytest.approx(last.maximum * 256, rel=1e-6)

    def test_own_errors(self, found: Any) -> None:
        """A first layer has none but its own; later ones add to what came before."""
        image, uneven = found.layers[:2]
        assert image.own == image.accumulated
        assert uneven.own.sqnr_db == pytest.approx(uneven.accumulated.sqnr_db, abs=0.01)
        mean = next(one for one in found.layers if one.kind == "MEAN")
        assert mean.own.sqnr_db > mean.accumulated.sqnr_db + 3

    def test_channels(self, result: tflm_opt.Result, found: Any) -> None:
        uneven = found.layers[1]
        assert uneven.channel_spread > 15
        assert uneven.channel_sqnr_db < uneven.own.sqnr_db - 10
        assert (uneven.dead_channels, uneven.channels) == (1, 8)
        tensors = {t.name: t for op in result.graph.ops for t in op.outputs}
        assert uneven.removed_channels == 8 - tensors[uneven.name].shape[-1]
        # What ReLU stops is explained; the one value left is the largest that calibration saw.
        assert uneven.saturated == pytest.approx(1 / (48 * 8 * 8 * 8))
        assert uneven.at_ends > 0.3
        assert 40 < uneven.weight_sqnr_db < 60
        assert uneven.per_channel

    def test_the_layer_to_blame_is_named(self, found: Any) -> None:
        named = [one for one in found.findings if one.layer is not None][:2]
        assert {"uneven", "after"} == {one.label for one in named}
        assert all("unequal" in one.reason for one in named)
        assert all("Equalize" in one.remedy for one in named)
        assert {found.layers[one.layer].label for one in named} == {"uneven", "after"}
        assert [one.label for one in found.worst(2)] == ["after", "uneven"]

    def test_clipping_is_blamed_on_calibration(self, model: Any, data: np.ndarray) -> None:
        told = diagnosed(model, data * 0.2, data)
        assert told.layers[0].clipped > 0.1
        assert told.layers[0].saturated > 0.1
        image = next(one for one in told.findings if one.label == "image")
        assert "beyond the range" in image.reason
        assert "Calibrate" in image.remedy

    def test_a_range_that_is_too_wide(self, model: Any, data: np.ndarray) -> None:
        told = diagnosed(model, data * 30, data)
        assert told.layers[0].range_use < 0.1
        assert any("codes are used" in one.reason for one in told.findings)


class TestMatching:
    def test_by_structure_where_names_differ(self, result: tflm_opt.Result) -> None:
        """The same pairs as by name, when all float names are changed."""
        import dataclasses

        assert result.float_model is not None
        int8 = graphs.read(result.original)
        twin = graphs.read(float_tflite(result.float_model))
        named = match(int8, twin)
        new = {
            tensor: dataclasses.replace(tensor, name=f"t{i}")
            for i, tensor in enumerate(twin.tensors)
        }
        other = match(int8, graphs.edit.replace(twin, new))
        mine = {a.name: new[b].name for a, b in named.items()}
        assert mine == {a.name: b.name for a, b in other.items()}
        assert len(mine) == len(int8.ops) + 1

    def test_trained_with_quantization(self, model: Any, data: np.ndarray) -> None:
        from tflm_opt.quant import qat

        found = diagnosed(qat.prepare(model, calibration=data), None, data)
        assert found.compared == len(found.layers)
        weights = [one.weight_sqnr_db for one in found.layers if one.per_channel is not None]
        assert all(db is not None and 30 < db < 70 for db in weights), "float ones, not rounded"


class TestWithoutFloat:
    def test_a_tflite_says_what_it_can(
        self, result: tflm_opt.Result, data: np.ndarray, found: Any
    ) -> None:
        alone = diagnose(result.original, None, [[x] for x in data])
        assert "no float model" in alone.notes[0]
        assert "no float model" in str(alone)
        for one, other in zip(alone.layers[1:], found.layers[1:], strict=True):
            assert one.own is None
            assert one.accumulated is None
            assert one.dead_channels == other.dead_channels
            assert one.saturated == other.saturated
            assert one.range_use == other.range_use


class TestReports:
    def test_text(self, found: Any) -> None:
        text = str(found)
        lines = text.splitlines()
        assert "worst first" in lines[0]
        assert "after" in lines[2]
        assert "Equalize" in text
        in_order = found.table().splitlines()
        assert "image" in in_order[2]
        assert len(in_order) == len(found.layers) + 2
        assert max(map(len, lines)) <= 110

    def test_data(self, result: tflm_opt.Result, found: Any) -> None:
        jsonschema = pytest.importorskip("jsonschema")
        made = json.loads(json.dumps(result.to_dict()))
        path = Path(tflm_opt.__file__).parent / "report" / "report.schema.json"
        jsonschema.validate(made, json.loads(path.read_text("utf-8")))
        assert made["diagnosis"]["layers"][1]["label"] == "uneven"
        assert result.quantization is not None
        assert "layer by layer" in result.to_html()


class TestEvaluate:
    def test_accuracy_with_intervals(self, result: tflm_opt.Result, data: np.ndarray) -> None:
        assert result.float_model is not None
        floats = np.array([row[0] for row in result.float_model.predict([[x] for x in data])])
        labels = floats.argmax(axis=1)
        judged = result.evaluate(data, labels)
        codes = result.predict(data).argmax(axis=1)
        assert judged.float == 1
        assert judged.int8 == judged.engine == np.mean(codes == labels)
        assert judged.change is not None
        assert judged.change.lost == np.count_nonzero(codes != labels)
        assert judged.change.difference == pytest.approx(judged.engine - 1)
        assert judged.interval("float") == wilson(1.0, 48)
        assert "95% interval" in str(judged)
        assert result.quantization is not None
        assert result.quantization.samples == 32
        batches = ((data[i : i + 20], labels[i : i + 20]) for i in range(0, 48, 20))
        assert result.evaluate(batches) == judged
        assert str(judged).splitlines()[0].split("  ")[-1] in str(result)

    @pytest.mark.parametrize(
        ("labels", "message"),
        [
            (np.zeros(3, int), "3 labels for 48 samples"),
            (np.zeros((48, 5)), "5 columns for a model of 4 classes"),
            (np.zeros((48, 4)), "not one-hot"),
            (np.zeros((48, 2, 2), int), "labels of shape"),
            (np.full(48, 4), "from 0 to 3"),
            (np.full(48, -1), "from 0 to 3"),
            (np.full(48, 0.5), "fractions"),
            (np.full(48, np.nan), "NaN"),
            (np.array(["cat"] * 48), "dtype"),
            (None, "no labels"),
        ],
    )
    def test_bad_labels(
        self, result: tflm_opt.Result, data: np.ndarray, labels: Any, message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            result.evaluate(data, labels)

    def test_bad_inputs(self, result: tflm_opt.Result, data: np.ndarray) -> None:
        spoilt = data.copy()
        spoilt[5, 0, 0, 0] = np.nan
        for call in (lambda x: result.evaluate(x, np.zeros(48, int)), result.diagnose):
            with pytest.raises(ValueError, match="1 values that are NaN or infinite, the first in"):
                call(spoilt)
            with pytest.raises(ValueError, match="empty"):
                call(data[:0])
            with pytest.raises(ValueError, match="ended before its first batch"):
                call(iter(()))
        with pytest.raises(ValueError, match="48 labels for 20 samples"):
            result.evaluate(iter([data[:20]]), np.zeros(48, int))
        with pytest.raises(ValueError, match="batches without labels"):
            result.evaluate(iter([data[:20]]))
        with pytest.raises(ValueError, match="don't fit together"):
            result.diagnose(iter([data[:20], data[:20, :4]]))
        with pytest.raises(ValueError, match="float inputs"):
            result.diagnose(data.astype(np.int8))
        with pytest.raises(ValueError, match="at least one"):
            result.diagnose(data, samples=0)
