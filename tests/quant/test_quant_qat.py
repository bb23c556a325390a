"""Training with quantization on Keras 3: what is trained is what ships."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import ai_edge_litert.interpreter as litert
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
    outputs = [layers.Dense(3)(layers.Flatten()(e)), keras.ops.sum(e, axis=(1, 2))]
    return keras.Model(inputs, outputs)


def gated() -> Any:
    """A scale that is fixed beside one that is learned: the one place where int8 rounds again."""
    inputs = keras.Input((6, 6, 4))
    a = layers.Conv2D(4, 1, activation="sigmoid")(inputs)
    x = layers.Concatenate()([a, layers.Conv2D(4, 1, activation="hard_sigmoid")(inputs)])
    x = layers.SeparableConv2D(5, 3, activation="swish")(keras.ops.flip(x, 1))
    return keras.Model(inputs, layers.Softmax()(layers.Dense(3)(layers.Flatten()(x))))


NETS = (small, shared_and_nested, sound, upwards, two_of_each, mobile, joined, gated)
REQUANTIZED = {gated: 1}  # where a range that is fixed meets another
# Fourteen ops that round in a row, each at most a step off for equal inputs; the norm among them,
# a depthwise layer whose steps are a quarter of its input's, makes 8 of 2; MEAN averages them.
MOST_STEPS = {joined: 4}
# How many outputs may be a step off: TFLM's MEAN rounds twice, halves away from zero.
EXACTLY = (shared_and_nested, upwards, mobile, joined, gated)  # run by TFLM and the engine
OFF_BY_ONE = {mobile: 0.45, joined: 0.7, shared_and_nested: 0.3}


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


def shipped(tflite: bytes, x: Any, *, exactly: bool) -> list[np.ndarray]:
    """What the file gives: in the engine, proved equal to TFLM, or in LiteRT's kernels."""
    if exactly:
        result = tflm_opt.optimize(tflite, vectors=4, verbose=0)
        assert result.bit_exact
        return flat(result.predict(x))
    engine = litert.Interpreter(
        model_content=tflite,
        experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF,
    )
    engine.allocate_tensors()
    arrays = x if isinstance(x, dict) else {engine.get_input_details()[0]["name"]: x}
    rows: list[list[np.ndarray]] = []
    for place in range(len(next(iter(arrays.values())))):
        for item in engine.get_input_details():
            scale, zero = item["quantization"]
            code = np.rint(arrays[item["name"]][place] / np.float32(scale)) + zero
            engine.set_tensor(item["index"], np.clip(code, -128, 127).astype(np.int8)[None])
        engine.invoke()
        found = []
        for item in engine.get_output_details():
            scale, zero = item["quantization"]
            codes = engine.get_tensor(item["index"]).astype(np.int32)
            found.append((codes - zero) * np.float32(scale))
        rows.append(found)
    return [np.concatenate(column) for column in zip(*rows, strict=True)]


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
        assert np.abs(given - have).max() < 0.08 * np.ptp(given)  # the same net, rounded
        assert np.abs(given - have).mean() < 0.02 * np.ptp(given)
        assert np.abs(given - have).max() > 0  # and it is rounded
    made = quantize(prepared)
    assert made.calibration == "trained"
    kinds = [op.kind for op in graph.read(made.tflite).ops]
    assert kinds.count("QUANTIZE") == REQUANTIZED.get(make, 0)
    steps = [t.scale for t in graph.read(made.tflite).outputs]
    ships = shipped(made.tflite, x, exactly=make in EXACTLY)
    for have, ship, step in zip(prepared_outputs, ships, steps, strict=True):
        # Whole numbers against floats: a step at the edge of rounding, more in tables (tanh).
        assert np.abs(have - ship).max() <= (MOST_STEPS.get(make, 3) + 0.01) * step
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
    again.fit(x, y, batch_size=32, verbose=0)  # and trained on
    cloned = keras.models.clone_model(prepared)
    assert qat.unready(cloned)  # as Keras does it: the structure, with weights of its own
    cloned.set_weights(prepared.get_weights())
    assert quantize(cloned).tflite == one.tflite
    prepared.save_weights(tmp_path / "net.weights.h5")
    fresh = qat.prepare(model)
    fresh.load_weights(tmp_path / "net.weights.h5")
    assert quantize(fresh).tflite == one.tflite
    with pytest.raises(UnsupportedModel, match="prepared already"):
        qat.prepare(prepared)


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
    assert quantize(prepared).tflite


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
    result = tflm_opt.optimize(model, train=(x, y), quantize="qat", epochs=2, verbose=0)
    assert result.original == made.tflite
    assert result.bit_exact
    one_hot = keras.utils.to_categorical(y, 5)
    assert quantize(model, train=(x, one_hot), epochs=1).tflite


def test_ranges_are_shared_where_int8_needs_it() -> None:
    inputs = keras.Input((6, 6, 2))
    a, b = layers.Conv2D(2, 1, name="a")(inputs), layers.Conv2D(2, 1, name="b")(inputs)
    x = layers.Concatenate()([layers.MaxPooling2D(2)(a), layers.MaxPooling2D(2)(b)])
    model = keras.Model(inputs, layers.Conv2D(2, 1, name="c")(x))
    model.get_layer("b").set_weights([10 * w for w in model.get_layer("b").get_weights()])
    x = data(model)
    prepared = qat.prepare(model, calibration=x)
    fakes = [layer for layer in prepared.layers if isinstance(layer, FakeQuant)]
    assert len(fakes) == 3
    shared = fakes[1]
    seen = np.concatenate([np.ravel(model.get_layer(name)(x)) for name in "ab"])
    np.testing.assert_allclose(shared.range, [seen.min(), seen.max()], rtol=0.01)
    # Each tensor is followed on its own: the smaller one does not narrow the range of both.
    prepared(x, training=True)
    np.testing.assert_allclose(shared.range, [seen.min(), seen.max()], rtol=0.01)


def test_equalizing_changes_nothing_in_float() -> None:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 3, use_bias=False)(inputs)
    x = layers.ReLU()(layers.BatchNormalization(name="norm")(x))
    x = layers.DepthwiseConv2D(3, use_bias=False, name="deep")(x)
    x = layers.MaxPooling2D(2)(layers.ReLU()(layers.BatchNormalization()(x)))
    model = settled(keras.Model(inputs, layers.Conv2D(4, 1)(x)))
    uneven = np.float32(4.0) ** np.arange(-3, 3)
    gamma, beta, *rest = model.get_layer("norm").get_weights()
    model.get_layer("norm").set_weights([gamma * uneven, beta * uneven, *rest])
    kernel = model.get_layer("deep").get_weights()[0]
    model.get_layer("deep").set_weights([kernel / uneven[:, None]])
    x = data(model)
    want = np.asarray(model(x))
    errors = []
    for equal in (False, True):
        prepared = qat.prepare(model, equalize=equal)
        np.testing.assert_allclose(prepared(x), want, rtol=0.02, atol=0.02 * np.ptp(want))
        prepared = qat.prepare(model, calibration=x, equalize=equal)
        errors.append(float(np.abs(prepared(x) - want).mean()))
    assert errors[1] < 0.7 * errors[0]


CHILD = """
import os
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras
from keras import layers
from tflm_opt.quant import qat, quantize

class Own(keras.Model):
    def train_step(self, batch):
        return {**super().train_step(batch), "own": 1.0}

def net():
    inputs = keras.Input((8, 8, 2))
    x = layers.Conv2D(4, 3, use_bias=False)(inputs)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Flatten()(layers.Concatenate()([x, layers.Conv2D(2, 1)(x)]))
    return Own(inputs, layers.Dense(3, activation="softmax", dtype="float32")(x))

def fit(prepared, **how):
    prepared.compile(keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy", **how)
    history = prepared.fit(x, y, batch_size=16, epochs=5, verbose=0).history
    assert history["loss"][-1] < 0.97 * history["loss"][0], history["loss"]
    assert history["own"]
    assert quantize(prepared).calibration == "trained"

rng = np.random.default_rng(0)
x = rng.normal(size=(64, 8, 8, 2)).astype("float32")
y = x.mean((1, 2)).argmax(1)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert strategy.num_replicas_in_sync == 2
with strategy.scope():
    fit(qat.prepare(net()))
print("mirrored")
with keras.distribution.DataParallel(devices=["cpu:0", "cpu:1"]).scope():
    fit(qat.prepare(net()))
print("data parallel")
fit(qat.prepare(net()), jit_compile=True)
print("jit")
keras.mixed_precision.set_dtype_policy("mixed_float16")
model = net()
keras.mixed_precision.set_dtype_policy("float32")
prepared = qat.prepare(model, calibration=x)
assert "float16" in {layer.compute_dtype for layer in prepared.layers}
fit(prepared)
print("mixed")
"""


def test_it_trains_on_several_devices_compiled_and_in_half_precision() -> None:
    run = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, timeout=600)
    assert run.stdout.splitlines() == ["mirrored", "data parallel", "jit", "mixed"], run.stderr[
        -2000:
    ]


def refused(make: Callable[[Any], Any], shape: tuple[int, ...] = (8, 4)) -> Any:
    inputs = keras.Input(shape)
    return keras.Model(inputs, make(inputs))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda x: layers.LSTM(4, name="memory")(x), r"memory: LSTM is recurrent.*Conv1D"),
        (lambda x: layers.GRU(4)(x), r"GRU is recurrent"),
        (lambda x: layers.Bidirectional(layers.LSTM(4))(x), r"Bidirectional is recurrent"),
        (lambda x: layers.MultiHeadAttention(2, 4, name="heads")(x, x), r"heads: .*attention"),
        (lambda x: layers.Lambda(lambda y: y * 2, name="code")(x), r"code: Lambda.*keras\.ops"),
        (lambda x: layers.LayerNormalization()(x), r"BatchNormalization"),
        (lambda x: layers.TimeDistributed(layers.Dense(3))(x), r"Call that layer itself"),
        (lambda x: layers.Dense(3, activation="gelu", name="d")(x), r"d: the activation gelu"),
        (lambda x: layers.ELU(name="bend")(x), r"bend: ELU has no int8 form"),
        (lambda x: layers.ReLU(threshold=1.0, name="late")(x), r"late: a ReLU with a threshold"),
        (lambda x: layers.Dense(3, activation=lambda y: y)(x), r"activation <lambda>.*by name"),
        (lambda x: x / (keras.ops.abs(x) + 1.0), r"divides by a tensor"),
        (lambda x: layers.BatchNormalization(axis=1, name="odd")(x), r"odd: a Batch.*axis 1"),
    ],
)
def test_what_has_no_int8_form_is_named_with_a_remedy(
    make: Callable[[Any], Any], says: str
) -> None:
    with pytest.raises(UnsupportedModel, match=says):
        qat.prepare(refused(make))


def classifier() -> Any:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, activation="softmax")])
    model.compile(
        keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model


def test_the_best_epoch_of_the_validation_is_kept() -> None:
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    model = classifier()
    x = rng.normal(size=(64, 4)).astype(np.float32)
    y = x[:, :3].argmax(1)
    model.fit(x, y, epochs=1, verbose=0)
    optimizer = [np.array(one) for one in model.optimizer.variables]
    prepared = qat.trained(model, (x, y, x, (y + 1) % 3), epochs=4, rate=0.5)  # gets ever worse
    first = qat.trained(model, (x, y, x, (y + 1) % 3), epochs=1, rate=0.5)
    assert type(prepared.optimizer) is keras.optimizers.SGD
    worst = qat.trained(model, (x, y), epochs=4, rate=0.5)

    def loss(net: Any) -> float:
        rows = np.asarray(net(x))[np.arange(64), (y + 1) % 3]
        return float(-np.log(np.maximum(rows, 1e-7)).mean())

    assert loss(prepared) < loss(worst)
    assert loss(prepared) == pytest.approx(loss(first), rel=0.6)
    for before, after in zip(optimizer, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(before, after)


def test_data_that_cannot_be_learned_from_is_refused() -> None:
    import tensorflow as tf

    model = classifier()
    x = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
    y = x[:, :3].argmax(1)
    holed = np.where(np.arange(64)[:, None] == 40, np.nan, x).astype(np.float32)
    cases: list[tuple[Any, str]] = [
        (x, "no labels"),
        ((x, None), "no labels"),
        ((x, y, y, y, y), "5 parts"),
        ((x, y[:-1]), "64 and 63 samples"),
        ((holed, y), "sample 40 .*NaN"),
        ((x, keras.utils.to_categorical(y, 3)), "one-hot"),
        ((x, y + 1), "from 1 to 3, and the model has 3 classes"),
        ((x, y + 0.5), "no whole numbers"),
        ((x, y, x, y + 1), "validation labels go from"),
        (tf.data.Dataset.from_tensor_slices(x).batch(8), "no labels"),
        (tf.data.Dataset.from_tensor_slices((x, y)).batch(8).take(0), "no batch"),
        (tf.data.Dataset.from_tensor_slices((holed, y)).batch(8), "after batch 6"),
        (iter([(x, y)]), "ends after one pass"),
        (lambda: iter([]), "ended before the first"),
    ]
    for train, says in cases:
        with pytest.raises(CalibrationError, match=says):
            qat.trained(model, train, calibration=x)
    model.compile("adam", "categorical_crossentropy")
    with pytest.raises(CalibrationError, match="class numbers"):
        qat.trained(model, (x, y))
    with pytest.raises(TflmOptError, match="train is int"):
        qat.trained(model, 3, calibration=x)
    model.compile("adam", "sparse_categorical_crossentropy")
    assert qat.trained(model, lambda: iter([(x, y[:, None])] * 3), epochs=2, calibration=x)
    assert qat.trained(model, iter([(x, y)] * 3), epochs=1, calibration=x)


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
