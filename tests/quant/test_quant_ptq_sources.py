"""PTQ's options on models that are not Keras 3's: tf_keras objects and SavedModel folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("tf_keras")

import tf_keras

from tflm_opt import graph
from tflm_opt.quant import PTQ, quantize
from tflm_opt.quant.diagnose_run import Runner

pytestmark = [pytest.mark.tensorflow, pytest.mark.filterwarnings("ignore")]

X = np.random.default_rng(0).normal(size=(40, 8, 8, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def net() -> Any:
    """Depthwise behind channels of very unequal range, by batch norms with statistics."""
    layers = tf_keras.layers
    rng = np.random.default_rng(1)
    tf_keras.utils.set_random_seed(1)
    inputs = tf_keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(8, 3, padding="same", use_bias=False, name="stem")(inputs)
    x = layers.ReLU()(layers.BatchNormalization(name="norm")(x))
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="deep")(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(6, 1, name="point")(x))
    model: Any = tf_keras.Model(inputs, layers.Dense(4, name="scores")(x))
    for norm in filter(lambda one: isinstance(one, layers.BatchNormalization), model.layers):
        norm.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in norm.get_weights()])
    uneven = np.float32(4.0) ** np.arange(-4, 4)
    gamma, beta, *rest = model.get_layer("norm").get_weights()
    model.get_layer("norm").set_weights([gamma * uneven, beta * uneven, *rest])
    kernel = model.get_layer("deep").get_weights()[0]
    model.get_layer("deep").set_weights([kernel / uneven[:, None]])
    return model


@pytest.fixture(scope="module")
def models(net: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("saved") / "net"
    net.export(str(folder))
    return {"tf_keras": net, "SavedModel": Path(folder)}


def outputs(tflite: bytes) -> np.ndarray:
    runner = Runner(tflite)
    (given,), (last,) = runner.graph.inputs, runner.graph.outputs
    codes = np.clip(np.rint(X / given.scale) + given.zero_point, -128, 127).astype(np.int8)
    found = [np.array(runner.run([one[None]])[last], np.float32) for one in codes]
    return (np.concatenate(found) - last.zero_point) * last.scale


@pytest.mark.parametrize("source", ["tf_keras", "SavedModel"])
def test_each_option_does_its_part(source: str, net: Any, models: dict[str, Any]) -> None:
    expected = net(X).numpy()

    def made(**chosen: Any) -> tuple[float, Any]:
        tflite = quantize(models[source], X, options=PTQ(**chosen)).tflite
        read = graph.read(tflite)
        kinds = [op.kind for op in read.ops]
        # Batch norm is folded: nothing multiplies or adds but the layers.
        assert kinds[:3] == ["CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D"]
        assert not {"MUL", "ADD", "SUB"} & set(kinds)
        return float(np.square(outputs(tflite) - expected).mean()), read

    def span(read: Any, place: int = 0) -> float:
        return 255 * read.ops[place].outputs[0].scale

    plain, minmax = made(equalize=None)
    assert made()[0] < 0.5 * plain  # equalized, by default
    assert made(equalize="data-free")[0] < plain
    for method, share in (("percentile", 0.9), ("mse", 0.99)):
        clipped = made(equalize=None, method=method, percentile=98.0)[1]
        assert span(clipped) < share * span(minmax)
    given = made(equalize=None, layers={"*point*": (-3.0, 3.0)})[1]
    assert span(given, 2) == pytest.approx(6.0, rel=1e-3)
    assert span(given) == span(minmax)
    corrected, read = made(equalize=None, correct_bias=True)
    assert corrected < plain
    assert read.ops[0].inputs[2] != minmax.ops[0].inputs[2]
