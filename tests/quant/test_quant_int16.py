"""Layers of int8 models on int16, and what `optimize` makes of them; one Keras model in 16x8."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_models import residual_tflite

import tflm_opt
from tflm_opt import graph
from tflm_opt.errors import TflmOptError, UnsupportedModel
from tflm_opt.quant.int16 import int8_borders, widen
from tflm_opt.runtime import tflm
from tflm_opt.runtime.vectors import seeded


@pytest.fixture(scope="module")
def model() -> bytes:
    return residual_tflite()


class TestWiden:
    def test_inputs_and_outputs_stay(self, model: bytes) -> None:
        g = graph.read(model)
        wide = widen(g, ("*",))
        graph.check(wide)
        for before, after in zip(
            (*g.inputs, *g.outputs), (*wide.inputs, *wide.outputs), strict=True
        ):
            assert (after.name, after.dtype) == (before.name, before.dtype)
        inner = [op for op in wide.ops if op.kind != "QUANTIZE"]
        assert len(inner) == len(g.ops)
        assert {op.outputs[0].dtype for op in inner} == {"int16"}

    def test_only_what_is_named(self, model: bytes) -> None:
        g = graph.read(model)
        chosen = g.ops[1].outputs[0].name
        wide = widen(g, (chosen,))
        kinds = [op.kind for op in wide.ops]
        assert kinds.count("QUANTIZE") == 2
        assert sum(op.outputs[0].dtype == "int16" for op in wide.ops) == 2

    def test_outputs_are_nearly_those_of_int8(self, model: bytes) -> None:
        """It is the same function with finer steps between layers."""
        g = graph.read(model)
        data = seeded(g.inputs, 4)
        narrow, wide = (tflm.run(m, data) for m in (model, graph.write(widen(g, ("*",)))))
        for a, b in zip(narrow, wide, strict=True):
            for x, y in zip(a, b, strict=True):
                assert np.abs(x.astype(int) - y).max() <= 6

    def test_a_part_of_a_name(self, model: bytes) -> None:
        g = graph.read(model)
        name = g.ops[0].outputs[0].name
        part = name.replace(";", "/").split("/")[-1]
        assert any(op.outputs[0].name == f"{name}_int16" for op in widen(g, (part,)).ops)

    def test_no_such_layer(self, model: bytes) -> None:
        with pytest.raises(TflmOptError, match="no op's output has that name"):
            widen(graph.read(model), ("dense_99",))

    def test_an_op_that_has_no_int16_form(self) -> None:
        a, b = (
            graph.ir.Tensor(n, (1, 4), "int8", graph.ir.Quantization.per_tensor(0.1)) for n in "ab"
        )
        op = graph.ir.Op("ELU", (a,), (b,))
        with pytest.raises(UnsupportedModel, match="can't be widened") as caught:
            widen(graph.ir.Graph((op,), (a,), (b,)), ("b",))
        assert caught.value.tensor == "b"


def test_int8_borders_of_an_int16_model() -> None:
    a, b = (
        graph.ir.Tensor(n, (1, 4), "int16", graph.ir.Quantization.per_tensor(s))
        for n, s in (("a", 0.001), ("b", 0.002))
    )
    op = graph.ir.Op("RELU", (a,), (b,))
    g = graph.read(graph.write(int8_borders(graph.ir.Graph((op,), (a,), (b,)))))
    graph.check(g)
    assert [op.kind for op in g.ops] == ["QUANTIZE", "RELU", "QUANTIZE"]
    assert {t.dtype for t in (*g.inputs, *g.outputs)} == {"int8"}
    assert g.inputs[0].name == "a"
    assert g.inputs[0].scale == pytest.approx(0.256)


class TestOptimize:
    def test_all_layers(self, model: bytes, tmp_path: Path) -> None:
        result = tflm_opt.optimize(model, int16="*", input="streamed", verbose=0, vectors=4)
        assert result.bit_exact
        assert result.request is not None
        assert result.request["int16"] == ["*"]
        inner = [t.dtype for op in result.graph.ops for t in op.outputs]
        assert inner.count("int16") > len(inner) // 2
        result.export("c", tmp_path / "c")
        header = next((tmp_path / "c").rglob("model.h")).read_text("utf-8")
        assert "int8_t" in header

    def test_a_tflite_keeps_its_types(self, model: bytes) -> None:
        with pytest.raises(TflmOptError, match="has its types already"):
            tflm_opt.optimize(model, activations="int16", verbose=0)


def test_a_keras_model_in_16x8(tmp_path: Path) -> None:
    """int16 inputs and outputs in the generated code's interface and in `predict`."""
    keras = pytest.importorskip("keras")
    keras.utils.set_random_seed(0)
    layers = keras.layers
    net = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(6, 3, padding="same", activation="relu"),
            layers.DepthwiseConv2D(3),
            layers.Activation("tanh"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(4, activation="softmax"),
        ]
    )
    images = np.random.default_rng(0).uniform(-1, 1, (20, 8, 8, 3)).astype(np.float32)
    result = tflm_opt.optimize(
        net, calibration=images, activations="int16", io="int16", verbose=0, vectors=4
    )
    assert result.bit_exact
    assert [t.dtype for t in (*result.graph.inputs, *result.graph.outputs)] == ["int16"] * 2
    wanted = np.asarray(net(images))
    given = result.predict(images)
    assert given.dtype == np.float32
    assert np.abs(given - wanted).max() < 0.002
    codes = np.clip(np.rint(images / result.graph.inputs[0].scale), -32768, 32767)
    assert result.predict(codes.astype(np.int16)).dtype == np.int16
    result.export("platformio", tmp_path / "p")
    header = next((tmp_path / "p").rglob("model.h"), None)
    text = (header or next((tmp_path / "p").rglob("sequential*.h"))).read_text("utf-8")
    assert "int16_t" in text


def test_types_that_do_not_go_together() -> None:
    from tflm_opt.quant.convert import require_types

    require_types("int16", "int16")
    with pytest.raises(TflmOptError, match="choose 'int8' or 'float32'"):
        require_types("int16", "int8")
    with pytest.raises(TflmOptError, match="activations='int4'"):
        require_types("int8", "int4")
