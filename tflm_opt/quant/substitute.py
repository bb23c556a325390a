"""Layers whose Keras code traces to ops that TFLM lacks, and what to trace in their place.

Keras 3 writes nearest upsampling as `repeat`, for XLA's sake; the converter makes RESHAPE, TILE,
RESHAPE of it, and neither TFLM nor LiteRT's reference kernels have TILE in int8. The same values
come from a nearest resize, which they do have. Only while the model is traced do such layers of
it answer with that; the layer objects are as before afterwards.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def substituted(model: Any) -> Iterator[None]:
    """While open, layers of `model` that have a substitute call that in place of their own code."""
    changed = []
    try:
        for layer in _all_layers(model):
            make = _SUBSTITUTES.get(type(layer).__name__)
            call = make(layer) if make and _is_kerass_own(layer) else None
            if call is not None and "call" not in vars(layer):
                object.__setattr__(layer, "call", call)
                changed.append(layer)
        yield
    finally:
        for layer in changed:
            vars(layer).pop("call", None)


def _is_kerass_own(layer: Any) -> bool:
    return type(layer).__module__.partition(".")[0] == "keras"


def _all_layers(model: Any) -> list[Any]:
    """Every layer, those of nested models and of other layers too."""
    flatten = getattr(model, "_flatten_layers", None)
    return list(flatten()) if flatten is not None else list(getattr(model, "layers", ()))


def _nearest_2d(layer: Any) -> Callable[[Any], Any] | None:
    if layer.interpolation != "nearest" or layer.data_format != "channels_last":
        return None
    return lambda inputs: _nearest(inputs, *layer.size)


def _nearest_1d(layer: Any) -> Callable[[Any], Any] | None:
    import tensorflow as tf

    return lambda inputs: tf.squeeze(_nearest(tf.expand_dims(inputs, 2), layer.size, 1), 2)


def _nearest(inputs: Any, height_factor: int, width_factor: int) -> Any:
    import tensorflow as tf

    size = (inputs.shape[1] * height_factor, inputs.shape[2] * width_factor)
    return tf.image.resize(inputs, size, method="nearest")


_SUBSTITUTES: dict[str, Callable[[Any], Callable[[Any], Any] | None]] = {
    "UpSampling1D": _nearest_1d,
    "UpSampling2D": _nearest_2d,
}
