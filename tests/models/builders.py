"""The nets that tests run on, each a few lines of Keras 3: `build(name)` gives net and data.

    model, data = build("ds_cnn")

Weights are seeded. Batch-norm statistics are *calibrated*: a net with untouched ones lets its
activations vanish with depth, scales underflow, and TFLM aborts. Gamma, beta and biases are
random too, so that no term of a layer is trivially zero or one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import numpy as np
from keras import layers

SAMPLES = 64


def mobilenet_v1_025_96() -> keras.Model:
    """MobileNetV1, width 0.25, 96×96×3, ReLU, SAME padding, as MLPerf Tiny's person detector."""
    x = image = keras.Input((96, 96, 3), name="image")
    x = _conv(x, 8, 3, strides=2)
    for filters, stride in zip(
        (16, 32, 32, 64, 64, 128, 128, 128, 128, 128, 128, 256, 256),
        (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1),
        strict=True,
    ):
        x = _depthwise(x, 3, strides=stride)
        x = _conv(x, filters, 1)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(2, activation="softmax")(x), name="mobilenet_v1_025_96")


def mobilenet_v2_035_96() -> keras.Model:
    """MobileNetV2, width 0.35, 96×96×3: ReLU6, explicit PADs, inverted residuals."""
    image = keras.Input((96, 96, 3), name="image")
    return keras.applications.MobileNetV2(
        input_tensor=image, alpha=0.35, weights=None, classes=10, name="mobilenet_v2_035_96"
    )


def resnet_8() -> keras.Model:
    """A residual net on 32×32×3 with projection shortcuts, as MLPerf Tiny's image classifier."""
    x = image = keras.Input((32, 32, 3), name="image")
    x = _conv(x, 16, 3)
    for filters, stride in ((16, 1), (32, 2), (64, 2)):
        y = _conv(x, filters, 3, strides=stride)
        y = _conv(y, filters, 3, activation=None)
        if stride != 1:
            x = layers.Conv2D(filters, 1, strides=stride, padding="same")(x)
        x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.AveragePooling2D(8)(x)
    x = layers.Dense(10, activation="softmax")(layers.Flatten()(x))
    return keras.Model(image, x, name="resnet_8")


def ds_cnn() -> keras.Model:
    """A depthwise-separable net on 49×10 spectra, as MLPerf Tiny's keyword spotter."""
    x = spectrum = keras.Input((49, 10, 1), name="spectrum")
    x = _conv(x, 64, (10, 4), strides=2)
    for _ in range(4):
        x = _conv(_depthwise(x, 3), 64, 1)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(spectrum, layers.Dense(12, activation="softmax")(x), name="ds_cnn")


def se_net() -> keras.Model:
    """Squeeze-and-excitation blocks, hard-swish, 5×5 depthwise, on an oblong 41×56×3."""
    x = image = keras.Input((41, 56, 3), name="image")
    x = _conv(x, 16, 3, strides=2, activation="hard_silu")
    for expand, filters, kernel, stride in ((32, 16, 3, 1), (48, 24, 5, 2), (72, 24, 5, 1)):
        y = _conv(x, expand, 1, activation="hard_silu")
        y = _depthwise(y, kernel, strides=stride, activation="hard_silu")
        gate = layers.GlobalAveragePooling2D(keepdims=True)(y)
        gate = layers.Conv2D(expand // 4, 1, activation="relu")(gate)
        gate = layers.Conv2D(expand, 1, activation="hard_sigmoid")(gate)
        y = _conv(layers.Multiply()([y, gate]), filters, 1, activation=None)
        x = layers.Add()([x, y]) if y.shape == x.shape else y
    x = layers.GlobalAveragePooling2D()(_conv(x, 64, 1, activation="hard_silu"))
    return keras.Model(image, layers.Dense(8)(x), name="se_net")


def unet() -> keras.Model:
    """A U-Net on 32×48×1: concat skips, nearest and bilinear resize, and a transposed conv."""
    x = image = keras.Input((32, 48, 1), name="image")
    skips = []
    for filters in (8, 16, 24):
        x = _conv(x, filters, 3)
        skips.append(x)
        x = layers.MaxPooling2D(2)(x)
    x = _conv(x, 32, 3)
    ups = (
        layers.UpSampling2D(2, interpolation="nearest"),
        layers.UpSampling2D(2, interpolation="bilinear"),
        layers.Conv2DTranspose(12, 3, strides=2, padding="same"),
    )
    for up, skip in zip(ups, reversed(skips), strict=True):
        x = layers.Concatenate()([up(x), skip])
        x = _conv(x, skip.shape[-1], 3)
    mask = layers.Conv2D(1, 1, activation="sigmoid", name="mask")(x)
    return keras.Model(image, mask, name="unet")


def two_eyes() -> keras.Model:
    """Three inputs, two of one shape, and two outputs; one convolution is shared by both eyes."""
    right = keras.Input((20, 24, 3), name="right")
    left = keras.Input((20, 24, 3), name="left")
    pose = keras.Input((6,), name="pose")
    shared = layers.Conv2D(8, 3, strides=2, activation="relu")
    a, b = shared(right), shared(left)
    x = layers.Concatenate()([layers.Subtract()([a, b]), layers.Maximum()([a, b])])
    x = layers.Flatten()(layers.AveragePooling2D(2)(_conv(x, 16, 3, strides=2)))
    x = layers.Concatenate()([x, layers.Dense(12, activation="relu")(pose)])
    kind = layers.Dense(5, activation="softmax", name="kind")(x)
    depth = layers.Dense(2, activation="tanh", name="depth")(x)
    return keras.Model([right, left, pose], [kind, depth], name="two_eyes")


def op_zoo() -> keras.Model:
    """One each of the less common ops on 17×13×6: slices, split, transpose, prelu, min, max, …"""
    x = image = keras.Input((17, 13, 6), name="image")
    x = layers.Conv2D(8, (3, 2), dilation_rate=2, padding="same")(x)
    a, b = keras.ops.split(x, 2, axis=-1)
    a = layers.PReLU(shared_axes=[1, 2])(a)
    b = layers.LeakyReLU(0.2)(b)
    x = layers.Concatenate()([layers.Minimum()([a, b]), layers.Subtract()([a, b])])
    x = layers.DepthwiseConv2D((3, 5), depth_multiplier=2, activation="relu6")(x)
    x = layers.Cropping2D(((1, 2), (0, 1)))(x)
    x = layers.ZeroPadding2D(((2, 1), (0, 3)))(x)
    x = layers.Permute((2, 1, 3))(x)
    x = layers.MaxPooling2D((3, 2), strides=(2, 1), padding="same")(x)
    x = layers.AveragePooling2D((2, 3), strides=2, padding="same")(x)
    x = layers.Conv2D(8, 3, groups=2, activation="tanh")(x)
    x = layers.Multiply()([x, layers.Softmax()(x)])
    x = keras.ops.mean(x, axis=1)
    return keras.Model(
        image, layers.Dense(7, activation="sigmoid")(layers.Flatten()(x)), name="op_zoo"
    )


BUILDERS: dict[str, Callable[[], keras.Model]] = {
    function.__name__: function
    for function in (
        mobilenet_v1_025_96,
        mobilenet_v2_035_96,
        resnet_8,
        ds_cnn,
        se_net,
        unet,
        two_eyes,
        op_zoo,
    )
}


def build(name: str, seed: int = 0) -> tuple[keras.Model, list[np.ndarray]]:
    """The named net with seeded weights and calibrated batch-norm, and data it was calibrated on.

    Returns:
        The model, and one float32 array an input, batch first: what to quantize it with.
    """
    keras.utils.set_random_seed(seed)
    model = BUILDERS[name]()
    rng = np.random.default_rng(seed)
    data = [images((SAMPLES, *tensor.shape[1:]), rng) for tensor in model.inputs]
    randomize_offsets(model, rng)
    calibrate_batchnorm(model, data)
    return model, data


def images(shape: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """Noise in [-1, 1], half of it smooth along the inner axes, with a random mean a sample."""
    noise = rng.normal(size=shape)
    for axis in range(1, len(shape) - 1):
        noise = noise + (np.roll(noise, 1, axis) + np.roll(noise, 2, axis)) / 2
    noise = noise / noise.std() / 2
    mean = rng.normal(scale=0.3, size=[shape[0]] + [1] * (len(shape) - 1))
    return np.clip(noise + mean, -1, 1).astype(np.float32)


def randomize_offsets(model: keras.Model, rng: np.random.Generator) -> None:
    """Give biases, PReLU slopes and batch-norm's gamma and beta values that are not 0 or 1."""
    for layer in model.layers:
        for weight in layer.weights:
            kind = weight.name.rpartition("/")[2]
            if kind in ("bias", "beta"):
                weight.assign(rng.normal(scale=0.2, size=weight.shape))
            elif kind in ("gamma", "alpha"):
                weight.assign(rng.uniform(0.4, 1.4, size=weight.shape))


def calibrate_batchnorm(model: keras.Model, data: list[np.ndarray]) -> None:
    """Set every moving mean and variance to what `data` shows at that layer.

    With momentum 0 one pass in training mode does it, and consistently: in that mode each layer
    already sees its predecessors normalized by the same batch.
    """
    norms = [one for one in model.layers if isinstance(one, layers.BatchNormalization)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    model(keras.tree.pack_sequence_as(model.input, data), training=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def _conv(
    x: keras.KerasTensor,
    filters: int,
    kernel: int | tuple[int, int],
    *,
    strides: int = 1,
    activation: str | None = "relu",
) -> keras.KerasTensor:
    x = layers.Conv2D(filters, kernel, strides=strides, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    return layers.Activation(activation)(x) if activation else x


def _depthwise(
    x: keras.KerasTensor, kernel: int, *, strides: int = 1, activation: str = "relu"
) -> keras.KerasTensor:
    x = layers.DepthwiseConv2D(kernel, strides=strides, padding="same", use_bias=False)(x)
    return layers.Activation(activation)(layers.BatchNormalization()(x))
