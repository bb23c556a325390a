"""Training with quantization on Keras 3: what is trained is what ships."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import keras
from keras import layers

import tflm_opt
from tflm_opt import graph
from tflm_opt.errors import CalibrationError, TflmOptError, UnsupportedModel
from tflm_opt.quant import qat, quantize
from tflm_opt.quant.qat.folding import fold
from tflm_opt.quant.qat.layers import FakeQuant, Quantized

pytestmark = [
    pytest.mark.slow,
    pytest.mark.tensorflow,
    pytest.mark.filterwarnings("ignore"),
]


def small() -> Any:
    return keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            layers.Conv2D(8, 3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(6.0),
            layers.MaxPooling2D(2),
            layers.Dropout(0.1),
            layers.Conv2D(12, 3, strides=2, activation="relu"),
            layers.Flatten(),
            layers.Dense(5, activation="softmax"),
        ]
    )


def shared_and_nested() -> Any:
    inputs = keras.Input((12, 12, 3))
    x = layers.Conv2D(8, 3, padding="same", use_bias=False)(inputs)
    x = layers.Activation("relu")(layers.BatchNormalization()(x))
    block = keras.Sequential(
        [keras.Input((12, 12, 8)), layers.DepthwiseConv2D(3, padding="same"), layers.ReLU()]
    )
    y = block(block(x)) + x
    y = layers.Concatenate()([y, x])
    y = layers.SeparableConv2D(12, 3, strides=2, activation="relu")(y)
    y = layers.BatchNormalization()(y)  # behind an activation: nothing takes it in
    y = layers.GlobalAveragePooling2D()(y)
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(y))


def sound() -> Any:
    inputs = keras.Input((40, 4))
    x = layers.Conv1D(8, 5, padding="same")(inputs)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.MaxPooling1D(2)(x)
    x = layers.Conv1D(8, 3, activation="relu")(x)
    return keras.Model(inputs, layers.Dense(1, activation="sigmoid")(layers.Flatten()(x)))


def upwards() -> Any:
    inputs = keras.Input((6, 6, 4))
    x = layers.Rescaling(0.5, offset=-0.25)(inputs)
    x = layers.ZeroPadding2D(1)(x)
    x = layers.Conv2DTranspose(6, 3, strides=2, padding="same", activation="relu")(x)
    x = layers.UpSampling2D(2)(layers.Cropping2D(1)(x))
    x = layers.ReLU()(layers.AveragePooling2D(2)(layers.Conv2D(4, 1)(x)))
    return keras.Model(inputs, layers.Conv2D(2, 1, activation="tanh")(x))


def two_of_each() -> Any:
    a, b = keras.Input((8,), name="a"), keras.Input((8,), name="b")
    x = layers.Dense(8, activation="relu")(layers.BatchNormalization(scale=False)(a))
    y = layers.LeakyReLU(negative_slope=0.1)(layers.Dense(8)(b))
    both = layers.Multiply()([x, y])
    outputs = {"sum": layers.Dense(2)(layers.Add()([both, x, y])), "top": layers.Maximum()([x, y])}
    return keras.Model({"a": a, "b": b}, outputs)


def mobile() -> Any:
    """As MobileNetV3: swish, and a gate for each channel."""
    inputs = keras.Input((8, 8, 3))
    norm = layers.BatchNormalization
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(inputs)
    x = layers.Activation("hard_swish")(norm()(x))
    y = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
    y = layers.ReLU(6.0)(norm()(y))
    gate = layers.GlobalAveragePooling2D(keepdims=True)(y)
    gate = layers.Conv2D(8, 1)(layers.Conv2D(4, 1, activation="relu")(gate))
    y = layers.Multiply()([y, layers.ReLU(6.0)(gate + 3.0) * (1 / 6)])
    x = layers.Add()([x, norm()(layers.Conv2D(8, 1, use_bias=False)(y))])
    x = keras.ops.silu(norm()(x))
    return keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))


def joined() -> Any:
    """Ops on several tensors, and ops as they are written between tensors."""
    inputs = keras.Input((6, 6, 4))
    a = layers.Conv2D(4, 1, activation="relu")(inputs)
    b = layers.PReLU(shared_axes=(1, 2), alpha_initializer="ones")(
        layers.Conv2D(4, 3, padding="same")(a)
    )
    c = layers.Average()([a, b, inputs])
    d = keras.ops.square(a) / 3.0 - c * np.array([0.5, 1, 2, -1], np.float32)
    e = layers.Concatenate()([b, layers.ReLU(1.5)(d), -keras.ops.minimum(a, b)])
    e = layers.ReLU()(layers.MaxPooling2D(2)(layers.BatchNormalization()(e)))
    return keras.Model(inputs, layers.Dense(3)(keras.ops.sum(e, axis=(1, 2))))


def gated() -> Any:
    """A scale that is fixed beside one that is learned: the one place where int8 rounds again."""
    inputs = keras.Input((6, 6, 4))
    a = layers.Conv2D(4, 1, activation="sigmoid")(inputs)
    x = layers.Concatenate()([a, layers.Conv2D(4, 1, activation="hard_sigmoid")(inputs)])
    x = layers.SeparableConv2D(5, 3, activation="swish")(keras.ops.flip(x, 1))
    return keras.Model(inputs, layers.Softmax()(layers.Dense(3)(layers.Flatten()(x))))


NETS = (small, shared_and_nested, sound, upwards, two_of_each, mobile, joined, gated)
REQUANTIZED = {gated: 1}  # where a range that is fixed meets another
# How many outputs may be a step off: TFLite's MEAN of int8 rounds up more often than not.
OFF_BY_ONE = {mobile: 0.45, joined: 0.3, shared_and_nested: 0.3}


def settled(model: Any, seed: int = 0) -> Any:
    """With statistics as after training: fresh ones would hide a wrong fold."""
    rng = np.random.default_rng(seed)
    for layer in model._flatten_layers():
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
    return model


def data(model: Any, count: int = 24) -> Any:
    rng = np.random.default_rng(1)

    def drawn(tensor: Any) -> np.ndarray:
        return rng.normal(size=(count, *tensor.shape[1:])).astype(np.float32)

    return keras.tree.map_structure(drawn, model.input if model.inputs[1:] else model.inputs[0])


def flat(outputs: Any) -> list[np.ndarray]:
    return [np.asarray(one) for one in keras.tree.flatten(outputs)]


@pytest.mark.parametrize("make", NETS, ids=lambda make: make.__name__)
def test_what_is_prepared_is_what_ships(make: Callable[[], Any]) -> None:
    keras.utils.set_random_seed(0)
    model = settled(make())
    x = data(model)
    before = [np.array(w) for w in model.get_weights()]
    prepared = qat.prepare(model, calibration=x)
    float_outputs, prepared_outputs = flat(model(x)), flat(prepared(x))
    for given, have in zip(float_outputs, prepared_outputs, strict=True):
        assert given.shape == have.shape
        assert np.abs(given - have).max() < 0.2 * np.ptp(given)  # the same net, rounded
        assert np.abs(given - have).mean() < 0.03 * np.ptp(given)
        assert np.abs(given - have).max() > 0  # and it is rounded
    made = quantize(prepared)
    assert made.calibration == "trained"
    kinds = [op.kind for op in graph.read(made.tflite).ops]
    assert kinds.count("QUANTIZE") == REQUANTIZED.get(make, 0)
    result = tflm_opt.optimize(made.tflite, vectors=4, verbose=0)
    assert result.bit_exact
    steps = [t.scale for t in result.graph.outputs]
    ships = flat(result.predict(x))
    for have, ship, step in zip(prepared_outputs, ships, steps, strict=True):
        # Whole numbers against floats: a step at the edge of rounding, more in tables (tanh).
        assert np.abs(have - ship).max() <= 3.01 * step
        assert (np.abs(have - ship) > 0.5 * step).mean() < OFF_BY_ONE.get(make, 0.12)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_it_trains_as_any_model_and_is_saved_and_read(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    model = settled(shared_and_nested())
    x = rng.normal(size=(96, 12, 12, 3)).astype(np.float32)
    y = (x.mean((1, 2)) @ rng.normal(size=(3, 3))).argmax(1)
    prepared = qat.prepare(model)
    with pytest.raises(CalibrationError, match="has no ranges yet"):
        quantize(prepared)
    prepared.compile(
        keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    seen: list[float] = []
    note = keras.callbacks.LambdaCallback(on_epoch_end=lambda _, logs: seen.append(logs["loss"]))
    prepared.fit(x, y, batch_size=32, epochs=8, verbose=0, callbacks=[note])
    assert seen[-1] < 0.8 * seen[0]
    prepared.save(tmp_path / "net.keras")
    again = keras.saving.load_model(tmp_path / "net.keras")
    np.testing.assert_array_equal(again(x[:8]), prepared(x[:8]))
    one, other = quantize(prepared), quantize(again)
    assert one.tflite == other.tflite
    assert one.calibration == "trained"
    assert tflm_opt.optimize(tmp_path / "net.keras", verbose=0).bit_exact


def test_ranges_are_moving_averages_that_hold_zero() -> None:
    layer = FakeQuant(momentum=0.75)
    x = np.linspace(1, 3, 50, dtype=np.float32)
    np.testing.assert_array_equal(layer(x), x)  # no range yet
    assert not layer.ready
    layer(x, training=True)
    assert (float(layer.low), float(layer.high)) == (0, 3)
    layer(x - 5, training=True)
    assert (float(layer.low), float(layer.high)) == (-1, 2.25)
    step = np.float32(3.25 / 255)
    codes = np.asarray(layer(x)) / step
    np.testing.assert_allclose(codes, np.rint(codes), atol=1e-3)


def test_gradients_go_straight_through() -> None:
    import tensorflow as tf

    layer = Quantized(layers.Dense(3), {"kernel": (-1,)})
    x = tf.constant(np.random.default_rng(0).normal(size=(5, 4)), tf.float32)
    layer(x)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(x) * tf.range(1.0, 4.0))
    kernel, bias = tape.gradient(loss, layer.trainable_variables)
    want = np.asarray(x).sum(0)[:, None] * np.arange(1.0, 4.0)
    np.testing.assert_allclose(kernel, want, rtol=1e-5)
    np.testing.assert_allclose(bias, [5, 10, 15])


@pytest.mark.parametrize("biased", [False, True])
def test_folding_is_what_the_norm_does(biased: bool) -> None:
    rng = np.random.default_rng(0)
    conv = layers.Conv2D(5, 3, use_bias=biased)
    norm = layers.BatchNormalization()
    x = rng.normal(size=(2, 7, 7, 3)).astype(np.float32)
    norm(conv(x))
    norm.set_weights([rng.uniform(0.5, 2, 5) for _ in range(4)])
    if biased:
        conv.set_weights([conv.get_weights()[0], rng.normal(size=5)])
    want = norm(conv(x))
    kernel = np.asarray(conv.kernel)
    kernel, bias = fold(kernel, np.asarray(conv.bias) if biased else None, norm, (-1,))
    folded = layers.Conv2D(5, 3)
    folded.build(x.shape)
    folded.set_weights([kernel, bias])
    np.testing.assert_allclose(folded(x), want, rtol=1e-4, atol=1e-5)


class Gain(layers.Layer):
    """A user's layer: a factor a channel."""

    def build(self, shape: Any) -> None:
        self.factor = self.add_weight(shape=(shape[-1],), initializer="ones", name="factor")

    def call(self, inputs: Any) -> Any:
        return inputs * self.factor


class KnownGain(Gain):
    tflm_opt_rule = qat.Rule()


def test_a_layer_of_the_users_says_how() -> None:
    def net(gain: type[Gain]) -> Any:
        inputs = keras.Input((8, 8, 3))
        x = layers.Conv2D(4, 3, activation="relu")(inputs)
        return keras.Model(inputs, layers.Flatten()(gain(name="gain")(x)))

    with pytest.raises(UnsupportedModel, match=r"gain.*Gain is quantized.*tflm_opt_rule"):
        qat.prepare(net(Gain))
    model = net(KnownGain)
    prepared = qat.prepare(model, calibration=data(model))
    assert tflm_opt.optimize(prepared, verbose=0).bit_exact


def test_what_cannot_be_prepared_is_said() -> None:
    class Own(keras.Model):
        def call(self, inputs: Any) -> Any:
            return inputs

    own = Own()
    own.build((None, 4))
    with pytest.raises(UnsupportedModel, match="subclassed"):
        qat.prepare(own)
    with pytest.raises(UnsupportedModel):
        qat.prepare(keras.Sequential([layers.Dense(3)]))
    model = small()
    with pytest.raises(CalibrationError, match="NaN"):
        qat.prepare(model, calibration=np.full((4, 12, 12, 3), np.nan))


def test_one_call_trains_and_leaves_all_as_it_was() -> None:
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    model = settled(small())
    x = rng.normal(size=(128, 12, 12, 3)).astype(np.float32)
    y = (x.mean((1, 2)) @ rng.normal(size=(3, 5))).argmax(1)
    before = [np.array(w) for w in model.get_weights()]
    state = np.random.get_state()[1].copy()
    seen: list[float] = []
    made = quantize(
        model,
        train=(x, y),
        epochs=2,
        progress=lambda phase, done: seen.extend([done] * (phase == "train")),
    )
    assert made.calibration == "trained"
    assert seen == sorted(seen)
    assert seen[-1] == 1
    assert (np.random.get_state()[1] == state).all()
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert made.float_model.origin is model
    assert quantize(model, train=(x, y), epochs=2).tflite == made.tflite
    result = tflm_opt.optimize(model, train=(x, y), quantize="qat", epochs=1, verbose=0)
    assert result.bit_exact
    one_hot = keras.utils.to_categorical(y, 5)
    assert quantize(model, train=(x, one_hot), epochs=1).tflite


def test_bad_training_is_refused() -> None:
    x, y = np.zeros((8, 12, 12, 3), np.float32), np.zeros(7)
    with pytest.raises(TflmOptError, match=r"needs train="):
        tflm_opt.optimize(small(), quantize="qat")
    with pytest.raises(TflmOptError, match=r"needs train="):
        tflm_opt.optimize(small(), train=(x, y))
    with pytest.raises(CalibrationError, match="8 and 7 samples"):
        quantize(small(), train=(x, y))
    with pytest.raises(TflmOptError, match="0 epochs"):
        quantize(small(), train=(x, x[:, 0, 0, 0]), epochs=0)
    with pytest.raises(TflmOptError, match="can't be trained"):
        tflm_opt.optimize(b"\x1c\0\0\0TFL3" + bytes(99), train=(x, y), quantize="qat")
