"""Small nets that lose accuracy in post-training quantization, trained here in seconds.

    net = hard_net("digits", seed=0)     # net.model, net.train, net.test: arrays

Two tasks: scikit-learn's handwritten digits (real, 8×8), and shapes drawn in noise (generated,
16×16). The net is depthwise separable with batch norm after every convolution, as MobileNets are.

What makes it hard is what Nagel et al. ("Data-free quantization through weight equalization and
bias correction", 2019) found in MobileNets: channels of one tensor with very unequal ranges. It is
made in one of two ways:

- "rescaled": after training, the channels that join two convolutions are multiplied by random
  factors (log-normal, `SPREAD` octaves of standard deviation) and the weights that read them
  divided. With ReLU between, the float function stays the same. This is just what cross-layer
  equalization undoes.
- "trained": the scales of batch norm start log-normal with the same spread and are trained from
  there; nothing is rescaled afterwards.

Same arguments, same net on the same machine: all that is random is seeded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

TASKS = ("digits", "shapes")
WAYS = ("rescaled", "trained")
SPREAD = 2.0  # standard deviation of log2 of the factors
_WIDTHS = ((24, 2), (32, 1), (48, 2), (48, 1))  # channels and stride of each separable block

Data = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, slots=True, eq=False)
class HardNet:
    """A trained net and its data: images (n, h, w, 1) in 0..1, and class numbers (n,)."""

    task: str
    way: str
    seed: int
    model: Any
    train: Data
    test: Data

    @property
    def calibration(self) -> np.ndarray:
        """200 training images, of all classes."""
        return self.train[0][:200]


def hard_net(task: str, *, way: str = "rescaled", seed: int = 0, epochs: int = 20) -> HardNet:
    """Build and train a net, and make it hard. Training and test images differ by seed, too."""
    import keras

    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    train, test = {"digits": digits, "shapes": shapes}[task](rng)
    model = separable_net(train[0].shape[1:], int(train[1].max()) + 1)
    if way == "trained":
        spread_scales(model, rng)
    rate: Any = keras.optimizers.schedules.CosineDecay(4e-3, epochs * -(-len(train[0]) // 32))
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
    model.fit(*train, batch_size=32, epochs=epochs, verbose=0)
    if way == "rescaled":
        rescale_channels(model, rng)
    return HardNet(task, way, seed, model, train, test)


def digits(rng: np.random.Generator) -> tuple[Data, Data]:
    """Half of scikit-learn's digits to train with, moved by a pixel at most, and half to test."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    images = (x.reshape(-1, 8, 8, 1) / 16).astype(np.float32)
    order = rng.permutation(len(images))
    images, labels = images[order], y[order].astype(np.int32)
    half = len(images) // 2
    moved = np.stack([_moved(one, rng) for one in images[:half]])
    train = np.concatenate([images[:half], moved])
    return (train, np.tile(labels[:half], 2)), (images[half:], labels[half:])


def _moved(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    down, right = rng.integers(0, 3, 2)
    return np.pad(image, ((1, 1), (1, 1), (0, 0)))[down : down + 8, right : right + 8]


def shapes(rng: np.random.Generator) -> tuple[Data, Data]:
    """1,500 drawn images to train with and 1,500 to test."""
    labels = rng.integers(0, 6, 3000).astype(np.int32)
    images = np.stack([_shape(int(label), rng) for label in labels])
    return (images[:1500], labels[:1500]), (images[1500:], labels[1500:])


def _shape(kind: int, rng: np.random.Generator) -> np.ndarray:
    """A disc, square, diamond, plus, cross or ring of random place, size and grey, in noise."""
    y, x = np.mgrid[0:16, 0:16] - rng.uniform(6, 10, (2, 1, 1))
    size, thick = rng.uniform(3, 6), rng.uniform(0.8, 1.6)
    far, wide, sum_ = np.hypot(x, y), np.maximum(abs(x), abs(y)), abs(x) + abs(y)
    inside = (
        far < size,
        wide < size * 0.9,
        sum_ < size * 1.25,
        (np.minimum(abs(x), abs(y)) < thick) & (wide < size),
        (abs(abs(x) - abs(y)) < thick * 1.4) & (wide < size * 0.8),
        abs(far - size * 0.8) < thick,
    )[kind]
    back, front = rng.uniform(0.2, 0.4), rng.uniform(0.55, 0.8)
    image = np.where(inside, front, back) + rng.normal(0, 0.08, (16, 16))
    return np.clip(image, 0, 1)[..., np.newaxis].astype(np.float32)


def separable_net(shape: tuple[int, ...], classes: int) -> Any:
    """Convolution, four depthwise separable blocks, mean, dense; batch norm and ReLU throughout."""
    import keras

    layers = keras.layers

    def normed(x: Any, name: str) -> Any:
        x = layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)
        return layers.ReLU(name=f"{name}_relu")(x)

    inputs = keras.Input(shape, name="image")
    x = normed(layers.Conv2D(16, 3, padding="same", use_bias=False, name="stem")(inputs), "stem")
    for number, (width, stride) in enumerate(_WIDTHS):
        depthwise, pointwise = f"depthwise{number}", f"pointwise{number}"
        x = layers.DepthwiseConv2D(
            3, strides=stride, padding="same", use_bias=False, name=depthwise
        )(x)
        x = normed(x, depthwise)
        x = normed(layers.Conv2D(width, 1, use_bias=False, name=pointwise)(x), pointwise)
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    x = layers.Dense(classes, activation="softmax", name="scores")(x)
    return keras.Model(inputs, x, name="hard_net")


def spread_scales(model: Any, rng: np.random.Generator) -> None:
    """Log-normal scales for all batch norms."""
    for layer in _norms(model):
        layer.gamma.assign(factors(layer.gamma.shape[0], rng))


def rescale_channels(model: Any, rng: np.random.Generator) -> None:
    """Multiply each channel between two layers, and divide the weights that read it."""
    readers = [layer for layer in model.layers if hasattr(layer, "kernel")][1:]
    for norm, reader in zip(_norms(model), readers, strict=True):
        scale = factors(norm.gamma.shape[0], rng)
        norm.gamma.assign(norm.gamma.numpy() * scale)
        norm.beta.assign(norm.beta.numpy() * scale)
        kernel = reader.kernel.numpy()
        along_inputs = scale.reshape(-1, 1)  # kernels are (h, w, in, out or multiplier), (in, out)
        reader.kernel.assign(kernel / along_inputs)


def factors(count: int, rng: np.random.Generator) -> np.ndarray:
    """Log-normal factors, clipped to two standard deviations."""
    return np.exp2(SPREAD * np.clip(rng.standard_normal(count), -2, 2)).astype(np.float32)


def _norms(model: Any) -> list[Any]:
    return [layer for layer in model.layers if layer.name.endswith("_norm")]
