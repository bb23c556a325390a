"""Data and models that no sound int8 model can come from: said, with where and what to do."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import keras
from keras import layers

from tflm_opt import optimize
from tflm_opt.errors import CalibrationError, UnsupportedModel
from tflm_opt.quant import PTQ, CalibrationWarning, qat, quantize

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:`shuffle=True`"),
    pytest.mark.filterwarnings("ignore:.*input ran out of data"),
]

X = np.random.default_rng(0).normal(size=(24, 8)).astype(np.float32)
Y = np.arange(24) % 3
PLAIN = PTQ(equalize=None)
ops: Any = keras.ops


def net(middle: Callable[[Any], Any]) -> Any:
    inputs = keras.Input((8,), name="x")
    hidden = layers.Dense(8, name="wide")(inputs)
    return keras.Model(inputs, layers.Dense(3, name="out")(middle(hidden)))


@pytest.fixture(scope="module")
def small() -> Any:
    return net(layers.ReLU())


def holed(at: int) -> np.ndarray:
    return np.where(np.arange(24)[:, None] == at, np.nan, X).astype(np.float32)


@pytest.mark.parametrize(
    ("batches", "says"),
    [
        ([], "is empty"),
        ([X[:4], holed(2)[:4]], "sample 6 of input 'x' holds 8 values that are NaN"),
        ([X[:4], X[:4, :3]], r"item 1 .*expected \(8,\), .* given \(4, 3\)"),
        ([X[:4], None], "item 1 .* no array of numbers"),
        ([X[:4], "batch"], "item 1 .* no array of numbers"),
    ],
)
def test_a_calibration_generator_that_goes_wrong_later_is_refused(
    small: Any, batches: list[Any], says: str
) -> None:
    with pytest.raises(CalibrationError, match=says):
        quantize(small, iter(batches))


@pytest.mark.parametrize("count", [1, 3, 9])
def test_few_samples_are_warned_of_at_the_callers_line(small: Any, count: int) -> None:
    with pytest.warns(CalibrationWarning, match=rf"few calibration samples \({count}\)") as seen:
        made = quantize(small, iter([X[:count]]))  # a generator that ends early
    assert seen[0].filename == __file__
    assert made.samples == count
    assert str(seen[0].message) in made.warnings


def test_ten_samples_are_not_warned_of(small: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", CalibrationWarning)
        assert quantize(small, X[:10]).warnings == ()


def test_equal_samples_and_one_far_out_are_warned_of(small: Any) -> None:
    with pytest.warns(CalibrationWarning, match="all 12 calibration samples .* are the same"):
        quantize(small, np.repeat(X[:1], 12, axis=0))
    far = np.concatenate([X, np.full((1, 8), 1e6, np.float32)])
    with pytest.warns(CalibrationWarning, match="sample of input 'x' reaches 1e.06, .* times"):
        quantize(small, far)


@pytest.mark.parametrize("options", [PTQ(), PLAIN], ids=["default", "plain"])
def test_activations_without_a_bound_are_named(options: PTQ) -> None:
    with pytest.raises(CalibrationError, match=r"wide.* -3\.4e\+38 to .* infinite.*scaling"):
        quantize(net(lambda x: (x * 1e30) * 1e30), X, options=options)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_named(value: float) -> None:
    model = net(layers.ReLU())
    kernel, bias = model.get_layer("wide").get_weights()
    kernel[0, 0] = value
    model.get_layer("wide").set_weights([kernel, bias])
    for made in (lambda: quantize(model, X), lambda: qat.prepare(model, calibration=X)):
        with pytest.raises(UnsupportedModel, match="1 of the 64 values of weight 'wide/kernel'"):
            made()


@pytest.mark.parametrize(
    ("middle", "op"),
    [
        (layers.Activation("gelu"), "GELU"),
        (layers.Activation("exponential"), "EXP"),
        (layers.Activation("softplus"), "EXP"),
        (layers.Activation("softsign"), "DIV"),
        (layers.Activation("elu"), "ELU"),
        (layers.Activation("log_sigmoid"), "NEG"),
        (ops.erf, "Erf"),
        (ops.sin, "SIN"),
    ],
)
def test_activations_that_int8_has_no_form_of_are_named(middle: Any, op: str) -> None:
    """By the converter, or, where TFLite has a form and the runtimes have none, behind it."""
    with pytest.raises(UnsupportedModel, match=rf"\b{op}\b") as refused:
        optimize(net(middle), calibration=X, verbose=0)
    assert op in (refused.value.op or "")


def classifier(loss: str = "sparse_categorical_crossentropy") -> Any:
    model = keras.Sequential([keras.Input((8,)), layers.Dense(3, activation="softmax")])
    model.compile("sgd", loss)
    return model


def shrinking() -> Callable[[], Iterator[Any]]:
    """A function whose passes get shorter: it goes on with one generator."""
    rest = iter([(X, Y)] * 5)
    return lambda: itertools.islice(rest, 3)


LATER = {
    "NaN": ((holed(3), Y), "batch 1 of the training data holds NaN"),
    "NaN labels": ((X, np.where(Y == 1, np.nan, Y)), "batch 1 of .* holds NaN"),
    "shape": ((X[:, :3], Y), r"batch 1 .* samples of shape \(3,\) .* takes \(8,\)"),
    "class": ((X, Y + 5), "batch 1 .* from 5 to 7, and the model has 3 classes"),
    "one-hot": ((X, np.eye(3)[Y]), "batch 1 .* look one-hot"),
    "fewer labels": ((X, Y[:-3]), "batch 1 .* 21 and 24 samples"),
    "no labels": (X, "batch 1 .* no labels"),
    "nothing": (None, "batch 1 .* NoneType"),
    "empty": ((X[:0], Y[:0]), "batch 1 .* 0 samples"),
}


@pytest.mark.parametrize("kind", LATER)
def test_a_training_generator_that_goes_wrong_later_is_refused(kind: str) -> None:
    batch, says = LATER[kind]
    with pytest.raises(CalibrationError, match=says):
        qat.trained(classifier(), lambda: iter([(X, Y), batch]), calibration=X, epochs=1)
    if batch is not None:
        with pytest.raises(CalibrationError, match=says.replace("batch 1", "batch 0")):
            qat.trained(classifier(), lambda: iter([batch]), calibration=X, epochs=1)


def test_a_training_generator_that_ends_early_is_refused() -> None:
    with pytest.raises(CalibrationError, match="first pass had 3 batches and this one 2"):
        qat.trained(classifier(), shrinking(), calibration=X, epochs=2)
    with pytest.raises(CalibrationError, match="ended before the first"):
        qat.trained(classifier(), iter([]), calibration=X, epochs=1)


def test_an_error_of_the_users_own_generator_comes_through() -> None:
    def broken() -> Iterator[Any]:
        yield X, Y
        raise RuntimeError("disk on fire")

    with pytest.raises(RuntimeError, match="disk on fire"):
        qat.trained(classifier(), broken, calibration=X, epochs=1)


def test_a_data_set_whose_labels_go_wrong_later_is_told_of() -> None:
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices((np.tile(X, (2, 1)), np.append(Y, Y + 5))).batch(24)
    with pytest.raises(CalibrationError, match="labels outside the model's classes"):
        qat.trained(classifier(), data, calibration=X, epochs=1)


@pytest.mark.parametrize(
    ("train", "says"),
    [
        ((X[:, :3], Y), r"training data has samples of shape \(3,\)"),
        ((X, Y, X[:, :3], Y), r"validation data has samples of shape \(3,\)"),
        ((X, Y, np.ones(3)), "24 samples and 3 weights"),
        ((X, Y, np.full(24, np.nan)), "sample 0 of the weights .* NaN"),
        ((X, Y[:, None, None]), r"1×1 values a sample.*one class number"),
        ((X[:0], Y[:0]), "0 and 0 samples|0 samples"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(train: Any, says: str) -> None:
    with pytest.raises(CalibrationError, match=says):
        qat.trained(classifier(), train, calibration=X, epochs=1)


def test_class_numbers_for_a_loss_of_one_hot_labels_are_refused() -> None:
    with pytest.raises(CalibrationError, match=r"class numbers.*to_categorical"):
        qat.trained(classifier("categorical_crossentropy"), (X, Y), epochs=1)
