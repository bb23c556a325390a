"""Nets that benchmarks ask for and tests do not: they take minutes to build.

    model, data = build("mobilenet_v2_035_144")

As in `builders`, weights are seeded and batch-norm statistics calibrated.
"""

from __future__ import annotations

import keras
import numpy as np
from models.builders import calibrate_batchnorm, images, randomize_offsets

SAMPLES = 16


def mobilenet_v2_035_144() -> keras.Model:
    """MobileNetV2, width 0.35, 144×144×3, 1000 classes, as in MCUNet's zoo."""
    return _mobilenet_v2(0.35, 144)


def mobilenet_v2_100_224() -> keras.Model:
    """MobileNetV2, width 1.0, 224×224×3, 1000 classes: the net that MCUNetV2 splits."""
    return _mobilenet_v2(1.0, 224)


def _mobilenet_v2(alpha: float, size: int) -> keras.Model:
    image = keras.Input((size, size, 3), name="image")
    return keras.applications.MobileNetV2(input_tensor=image, alpha=alpha, weights=None)


BUILDERS = {one.__name__: one for one in (mobilenet_v2_035_144, mobilenet_v2_100_224)}


def build(name: str, seed: int = 0) -> tuple[keras.Model, list[np.ndarray]]:
    """The named net with seeded weights, and the data its batch-norm was calibrated on."""
    keras.utils.set_random_seed(seed)
    model = BUILDERS[name]()
    rng = np.random.default_rng(seed)
    data = [images((SAMPLES, *tensor.shape[1:]), rng) for tensor in model.inputs]
    randomize_offsets(model, rng)
    calibrate_batchnorm(model, data)
    return model, data
