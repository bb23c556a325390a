"""Calibration data from nothing: noise with an image's roughness, in the input's range.

White noise averages out in the first pooling layer and leaves the deeper ranges far too small.
So half of each sample is noise of a coarser grid, the way natural images have most of their
energy in low frequencies. The range is read from a preprocessing layer at the input where there
is one; otherwise [-1, 1] for images (what Keras's own preprocessing gives), and a standard normal
for all else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .calibration import Sample
from .floatmodel import FloatModel, ModelInput

_IMAGE_CHANNELS = (1, 3, 4)


@dataclass(frozen=True, slots=True)
class Range:
    """Where an input's values lie: centre and half width (or standard deviation), by channel.

    Attributes:
        bounded: within centre ± width if true, else normal.
        why: what it was read from, for the report.
        sure: whether a layer of the model says so.
    """

    centre: np.ndarray
    width: np.ndarray
    bounded: bool
    why: str
    sure: bool = False


def draw(
    model: FloatModel, *, samples: int = 200, seed: int = 0
) -> tuple[list[Sample], tuple[str, ...]]:
    """Draw `samples` samples for every input, the same for the same seed.

    Returns:
        The samples, and for each input a phrase that says which range was taken and why.
    """
    rng = np.random.default_rng(seed)
    ranges = [expected_range(model, one) for one in model.inputs]
    drawn = [
        tuple(_sample(one, spread, rng) for one, spread in zip(model.inputs, ranges, strict=True))
        for _ in range(samples)
    ]
    return drawn, tuple(
        f"{one.name}: {spread.why}" for one, spread in zip(model.inputs, ranges, strict=True)
    )


def remarks(model: FloatModel, given: Sequence[Sample]) -> tuple[str, ...]:
    """Where given data is scaled another way than the model's first layer expects, a sentence each.

    The classic slip: images already divided by 255, for a net that begins by dividing by 255.
    """
    found = []
    for column, one in enumerate(model.inputs):
        spread = expected_range(model, one)
        low = min(float(sample[column].min()) for sample in given)
        high = max(float(sample[column].max()) for sample in given)
        expected = 2.0 * float(spread.width.max())
        if spread.sure and spread.bounded and not expected / 20 < high - low < expected * 20:
            found.append(
                f"calibration data of input {one.name!r} spans {low:g} to {high:g}, but the model "
                f"expects {spread.why}"
            )
    return tuple(found)


def expected_range(model: FloatModel, one: ModelInput) -> Range:
    """The range that the model's own preprocessing expects for an input."""
    layer = _first_layer(model.origin, one.name)
    kind = type(layer).__name__
    if kind == "Rescaling" and np.all(np.asarray(layer.scale) != 0):
        return _before_rescaling(np.asarray(layer.scale, float), np.asarray(layer.offset, float))
    if kind == "Normalization" and getattr(layer, "mean", None) is not None:
        mean, variance = np.asarray(layer.mean), np.asarray(layer.variance)
        if not getattr(layer, "invert", False):
            return Range(
                mean.reshape(-1)[: one.shape[-1] if mean.size > 1 else 1],
                np.sqrt(variance.reshape(-1)[: one.shape[-1] if variance.size > 1 else 1]),
                False,
                "normal, with the Normalization layer's mean and variance",
                sure=True,
            )
    if len(one.shape) == 3 and one.shape[-1] in _IMAGE_CHANNELS:
        return Range(np.zeros(1), np.ones(1), True, "-1 to 1, as for an image")
    return Range(np.zeros(1), np.ones(1), False, "standard normal")


def _before_rescaling(scale: np.ndarray, offset: np.ndarray) -> Range:
    """What `x * scale + offset` takes to [0, 1], or to [-1, 1] where the offset is negative."""
    low = np.where(offset < 0, -1.0, 0.0)
    ends = np.stack([(low - offset) / scale, (1.0 - offset) / scale])
    smallest, largest = ends.min(axis=0), ends.max(axis=0)
    return Range(
        np.atleast_1d((smallest + largest) / 2),
        np.atleast_1d((largest - smallest) / 2),
        True,
        f"{smallest.min():g} to {largest.max():g}, from the Rescaling layer",
        sure=True,
    )


def _first_layer(origin: Any, input_name: str) -> Any:
    """The first layer that an input meets, looking into nested models; None if it forks."""
    layers = list(getattr(origin, "layers", ()) or ())
    if len(getattr(origin, "inputs", None) or ()) > 1:
        return None if not layers else _consumer(origin, input_name)
    for layer in layers:
        if type(layer).__name__ == "InputLayer":
            continue
        return _first_layer(layer, input_name) if getattr(layer, "layers", None) else layer
    return None


def _consumer(model: Any, input_name: str) -> Any:
    """The only layer that reads the named input, in a functional model."""
    tensors = [tensor for tensor in model.inputs if tensor.name == input_name]
    readers = [
        layer
        for layer in model.layers
        if tensors
        and type(layer).__name__ != "InputLayer"
        and any(tensors[0] is tensor for tensor in _inputs_of(layer))
    ]
    return readers[0] if len(readers) == 1 else None


def _inputs_of(layer: Any) -> Sequence[Any]:
    try:
        value = layer.input
    except (AttributeError, ValueError):
        return ()
    return value if isinstance(value, (list, tuple)) else (value,)


def _sample(one: ModelInput, spread: Range, rng: np.random.Generator) -> np.ndarray:
    fine = rng.standard_normal(one.shape)
    coarse = _coarse(one.shape, rng)
    noise = (fine + 2.0 * coarse) / np.sqrt(5.0)
    if spread.bounded:
        noise = np.clip(noise / 2.0, -1.0, 1.0)
    values = np.asarray(spread.centre + spread.width * noise, np.float32)
    return values.reshape(one.shape)


def _coarse(shape: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """Noise that is constant over blocks of a random size, along all axes but the last."""
    axes = shape[:-1]
    block = int(rng.integers(2, max(3, max(axes, default=1) // 2 + 1)))
    noise = rng.standard_normal([-(-size // block) for size in axes] + list(shape[-1:]))
    for axis, size in enumerate(axes):
        noise = np.repeat(noise, block, axis=axis).take(range(size), axis=axis)
    return noise
