"""Layers whose Keras code traces to what TFLite can't take, and what to trace in their place.

Keras 3 writes nearest upsampling as `repeat`, for XLA's sake; the converter makes RESHAPE, TILE,
RESHAPE of it, and neither TFLM nor LiteRT's reference kernels have TILE in int8. The same values
come from a nearest resize, which they do have. And layers of a mixed-precision model compute in
float16, which the quantizer does not read; their weights are float32, so they can compute in
float32 as well. Only while the model is traced do such layers do so; afterwards the layer
objects are as before.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def substituted(model: Any) -> Iterator[None]:
    """While open, the Keras 3 layers of `model` call their substitutes, and compute in float32."""
    with contextlib.ExitStack() as undo:
        for layer in filter(_is_keras_3, _all_layers(model)):
            undo.enter_context(_computing_in_float32(layer))
            undo.enter_context(_calling_substitute(layer))
        yield


@contextlib.contextmanager
def _calling_substitute(layer: Any) -> Iterator[None]:
    make = _SUBSTITUTES.get(type(layer).__name__)
    call = make(layer) if make and type(layer).__module__.startswith("keras.") else None
    if call is None or "call" in vars(layer):
        yield
        return
    object.__setattr__(layer, "call", call)  # past Keras's attribute tracking
    try:
        yield
    finally:
        vars(layer).pop("call", None)


@contextlib.contextmanager
def _computing_in_float32(layer: Any) -> Iterator[None]:
    policy = layer.dtype_policy
    mixed = policy.compute_dtype != "float32" and policy.variable_dtype == "float32"
    if policy.quantization_mode is not None or not mixed:
        yield
        return
    layer.dtype_policy = "float32"
    try:
        yield
    finally:
        layer.dtype_policy = policy


def _is_keras_3(layer: Any) -> bool:
    """Whether it is a layer of Keras 3, also a user's own; tf_keras has its own layer class."""
    return any(base.__module__.startswith("keras.") for base in type(layer).__mro__)


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
