"""Handwritten digits and a small net that reads them: the model of the demo and of a project.

The data are scikit-learn's 1797 digits of 8×8 pixels, enlarged to 32×32 so that activation
memory matters as it does with camera pictures. A fifth of them is held out: no training step and
no calibration sees them.

    data = digits.load()
    model = digits.train(data)        # a Keras 3 model, about half a minute on two cores
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

SIDE = 32  # pixels of an enlarged digit
HELD_OUT = 360
EPOCHS = 10
BATCH = 32


@dataclass(frozen=True, slots=True)
class Digits:
    """Pictures (n, 32, 32, 1), float32 in 0..1, and labels (n,), 0 to 9."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def load(seed: int = 0) -> Digits:
    """The digits, enlarged and split: the same split for the same seed."""
    from sklearn.datasets import load_digits

    small = load_digits()
    pictures = enlarge(small.images.astype(np.float32) / 16.0)[..., np.newaxis]
    labels = small.target.astype(np.int64)
    order = np.random.default_rng(seed).permutation(len(labels))
    test, train = order[:HELD_OUT], order[HELD_OUT:]
    return Digits(pictures[train], labels[train], pictures[test], labels[test])


def enlarge(pictures: np.ndarray) -> np.ndarray:
    """(n, 8, 8) to (n, 32, 32), bilinear between pixel centres."""
    weights = _interpolation(pictures.shape[1], SIDE)
    return np.einsum("yi,nij,xj->nyx", weights, pictures, weights).astype(np.float32)


def _interpolation(old: int, new: int) -> np.ndarray:
    """(new, old): how much of each old pixel is in each new one."""
    centre = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
    return np.maximum(0.0, 1.0 - np.abs(centre[:, None] - np.arange(old)[None, :]))


def import_keras() -> Any:
    """Keras, without what TensorFlow's C++ code writes to file descriptor 2 while it loads.

    TF_CPP_MIN_LOG_LEVEL stops most of that, but not what is logged before logging is set up.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        import keras
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)
    return keras


def build() -> Any:
    """The untrained net: a stem, four separable blocks with one residual, and a classifier."""
    import keras
    from keras import layers

    def separable(x: Any, channels: int, stride: int = 1) -> Any:
        x = layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False)(x)
        x = layers.ReLU(6.0)(layers.BatchNormalization(momentum=0.9)(x))
        x = layers.Conv2D(channels, 1, use_bias=False)(x)
        return layers.BatchNormalization(momentum=0.9)(x)

    inputs = keras.Input((SIDE, SIDE, 1), name="picture")
    x = layers.Conv2D(8, 3, padding="same", use_bias=False)(inputs)
    x = layers.ReLU(6.0)(layers.BatchNormalization(momentum=0.9)(x))
    x = layers.ReLU(6.0)(separable(x, 16))
    x = layers.ReLU(6.0)(separable(x, 24, stride=2))
    x = layers.Add()([x, separable(x, 24)])
    x = layers.ReLU(6.0)(separable(x, 32, stride=2))
    x = layers.Flatten()(layers.AveragePooling2D(2)(x))
    outputs = layers.Dense(10, activation="softmax", name="digit")(x)
    return keras.Model(inputs, outputs, name="digits")


def train(data: Digits, seed: int = 0, epochs: int = EPOCHS) -> Any:
    """A trained net. Silent; seeds Keras's generators, so that each run gives the same net."""
    keras = import_keras()
    keras.utils.set_random_seed(seed)
    model = build()
    steps = epochs * -(-len(data.x_train) // BATCH)
    model.compile(
        optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(6e-3, steps)),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.fit(data.x_train, data.y_train, batch_size=BATCH, epochs=epochs, verbose=0)
    return model
