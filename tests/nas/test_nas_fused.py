"""Batch norm and Adam by fused ops: what Keras's do, and no trace of them behind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytestmark = [
    pytest.mark.tensorflow,
    # Of Keras's, on NumPy 2.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

X = np.random.default_rng(0).normal(1, 3, (16, 5, 4, 3)).astype(np.float32)


def model(**settings: Any) -> Any:
    """Norms of images and of vectors; the dense layer's weights are the same each time."""
    import keras

    layers = keras.layers
    ones = keras.initializers.RandomNormal(seed=1)
    x = inputs = layers.Input((5, 4, 3))
    x = layers.BatchNormalization(momentum=0.8, name="first", **settings)(x)
    x = layers.ReLU()(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(6, use_bias=False, kernel_initializer=ones)(x)
    x = layers.BatchNormalization(epsilon=1e-2, name="second", **settings)(x)
    made = keras.Model(inputs, x)
    made.compile(keras.optimizers.SGD(0.1), "mse")
    return made


def trained(made: Any) -> list[np.ndarray]:
    """Weights after a few steps, moving mean and variance among them."""
    targets = np.random.default_rng(2).normal(size=(16, 6)).astype(np.float32)
    for _ in range(5):
        made.train_on_batch(X, targets)
    return made.get_weights()


def test_training_is_that_of_keras_s_layer() -> None:
    from tflm_opt.nas.fused import FusedNorm, fused_ops

    theirs = model()
    expected = trained(theirs)
    ours = model()
    with fused_ops(ours):
        assert sum(isinstance(layer, FusedNorm) for layer in ours.layers) == 2
        found = trained(ours)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(ours(X), theirs(X), rtol=1e-3, atol=1e-4)


def test_a_model_is_as_it_was_even_after_an_error() -> None:
    import keras

    from tflm_opt.nas.fused import fused_ops

    made = model()
    with pytest.raises(KeyboardInterrupt), fused_ops(made):
        raise KeyboardInterrupt
    kinds = [type(layer) for layer in made.layers if "Norm" in type(layer).__name__]
    assert kinds == [keras.layers.BatchNormalization] * 2


@pytest.mark.parametrize("settings", [{"scale": False}, {"center": False}, {"dtype": "float16"}])
def test_what_the_op_has_no_form_for_is_left_to_keras(settings: dict[str, Any]) -> None:
    from tflm_opt.nas.fused import FusedNorm, fused_ops

    made = model(**settings)
    with fused_ops(made):
        assert not any(isinstance(layer, FusedNorm) for layer in made.layers)


def test_a_frozen_norm_keeps_its_statistics() -> None:
    from tflm_opt.nas.fused import fused_ops

    made = model()
    made.get_layer("first").trainable = False
    made.compile("sgd", "mse")
    before = made.get_layer("first").get_weights()
    with fused_ops(made):
        trained(made)
    for one, other in zip(made.get_layer("first").get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("dtype", ["float32", "mixed_float16", "bfloat16"])
def test_adam_is_that_of_keras(dtype: str) -> None:
    """Of a schedule, with variables of several shapes and types."""
    import keras

    from tflm_opt.nas.fused import FusedAdam, adam

    found = []
    for made in (adam, keras.optimizers.Adam):
        net = model(dtype=dtype)
        optimizer = made(keras.optimizers.schedules.CosineDecay(0.05, 5))
        assert isinstance(optimizer, FusedAdam) == (made is adam)
        net.compile(optimizer, "mse")
        found.append(trained(net))
    exact = 1e-4 if dtype == "float32" else 2e-2
    for one, other in zip(*found, strict=True):
        one, other = np.asarray(one, np.float32), np.asarray(other, np.float32)
        np.testing.assert_allclose(one, other, rtol=10 * exact, atol=exact)


def test_other_backends_are_left_to_keras(monkeypatch: pytest.MonkeyPatch) -> None:
    import keras
    import tensorflow as tf

    from tflm_opt.nas import fused

    values = np.ones(3, np.float32), np.zeros(3, np.float32)
    ours = np.asarray(fused.normalized(X, *values))
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    for op in ("FusedBatchNormV3", "ResourceApplyAdam"):
        monkeypatch.delattr(tf.raw_ops, op)
    np.testing.assert_allclose(fused.normalized(X, *values), ours, rtol=1e-4, atol=1e-5)
    assert type(fused.adam(0.1)) is keras.optimizers.Adam
    made = model()
    with fused.fused_ops(made):
        trained(made)
        assert not any(isinstance(layer, fused.FusedNorm) for layer in made.layers)


def test_adam_leaves_sharing_out_to_keras() -> None:
    import keras
    import tensorflow as tf

    from tflm_opt.nas.fused import adam

    with tf.distribute.OneDeviceStrategy("/cpu:0").scope():
        assert type(adam(0.1)) is keras.optimizers.Adam


def convolutions(kernel: tuple[int, int], stride: int, padding: str, **settings: Any) -> Any:
    """A depthwise layer with an activation, then a sum over the image."""
    import keras

    layers = keras.layers
    drawn = keras.initializers.RandomNormal(seed=1)
    x = inputs = layers.Input((9, 7, 3))
    x = layers.DepthwiseConv2D(
        kernel,
        stride,
        padding,
        activation="relu",
        depthwise_initializer=drawn,
        name="deep",
        **settings,
    )(x)
    made = keras.Model(inputs, layers.GlobalAveragePooling2D()(x))
    made.compile(keras.optimizers.SGD(0.5), "mse")
    return made


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [(3, 3), (5, 5), (2, 4), (1, 1)])
def test_depthwise_layers_train_as_keras_s_do(
    kernel: tuple[int, int], stride: int, padding: str
) -> None:
    from tflm_opt.nas.fused import FastDepthwise, fused_ops

    x = np.random.default_rng(0).normal(1, 3, (4, 9, 7, 3)).astype(np.float32)
    y = np.random.default_rng(1).normal(size=(4, 6)).astype(np.float32)
    theirs = convolutions(kernel, stride, padding, depth_multiplier=2)
    ours = convolutions(kernel, stride, padding, depth_multiplier=2)
    for _ in range(3):
        theirs.train_on_batch(x, y)
    theirs_untrained = convolutions(kernel, stride, padding, depth_multiplier=2)
    with fused_ops(ours):
        assert isinstance(ours.get_layer("deep"), FastDepthwise)
        np.testing.assert_allclose(ours(x), theirs_untrained(x), rtol=1e-5, atol=1e-6)
        for _ in range(3):
            ours.train_on_batch(x, y)
    assert "Fast" not in type(ours.get_layer("deep")).__name__
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        assert np.any(one)
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "settings", [{"dilation_rate": 2}, {"dtype": "float16"}, {"data_format": "channels_first"}]
)
def test_depthwise_layers_of_other_forms_are_left_to_keras(settings: dict[str, Any]) -> None:
    from tflm_opt.nas.fused import FastDepthwise, fused_ops

    made = convolutions((3, 3), 1, "same", **settings)
    with fused_ops(made):
        assert not isinstance(made.get_layer("deep"), FastDepthwise)


def test_a_depthwise_convolution_adds_up_its_window() -> None:
    import keras

    from tflm_opt.nas.fused import depthwise

    x, kernel = X, np.ones((3, 1, 3, 1), np.float32)
    found = depthwise(keras.ops.convert_to_tensor(x), kernel, (1, 1), "same")
    sums = np.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0)))
    sums = sums[:, :-2] + sums[:, 1:-1] + sums[:, 2:]
    np.testing.assert_allclose(np.asarray(found), sums, rtol=1e-5, atol=1e-5)
