"""The Keras layers of a model that is trained with quantization: what int8 will do, in float.

`FakeQuant` rounds activations to the 256 values of int8 and learns their range; `Quantized` calls
another layer with its weights rounded, a scale a channel. Gradients go straight through the
rounding, as in Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference" (2018). TFLite's converter reads the ranges back.

Importing this module imports Keras.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras

from .rules import Rule, kind_of

ops: Any = keras.ops  # whose types name every backend's tensors

_PACKAGE = "tflm_opt"
_LEAST = 1e-4  # of the largest channel's weights: what a channel's range is at least
_NARROW = 1e-6  # no range is smaller, so that constants have a scale

_mode: dict[str, bool] = {"exporting": False, "observing": False, "floating": False}


@contextlib.contextmanager
def exporting() -> Iterator[None]:
    """While open, layers trace to what the converter knows: ranges that are there, no branches."""
    with _switched("exporting"):
        yield


@contextlib.contextmanager
def observing() -> Iterator[None]:
    """While open, calls that don't train set ranges too."""
    with _switched("observing"):
        yield


@contextlib.contextmanager
def floating() -> Iterator[None]:
    """While open, nothing is rounded: the float net that was trained."""
    with _switched("floating"):
        yield


@contextlib.contextmanager
def _switched(name: str) -> Iterator[None]:
    before, _mode[name] = _mode[name], True
    try:
        yield
    finally:
        _mode[name] = before


@keras.saving.register_keras_serializable(package=_PACKAGE)
class FakeQuant(keras.layers.Layer):
    """Activations as int8 has them, one scale a tensor.

    Example:
        >>> x = FakeQuant()(x)              # learns its range
        >>> x = FakeQuant(0, 255 / 256)(x)  # of a softmax: TFLite says which

    Args:
        low, high: a range that is given; else it is the moving average of batches' extremes, taken
            while training.
        momentum: of that average.
        places: how many tensors share the range: it holds what each of them needs. Each is given
            with its `place`; one that need not be looked at with -1. `recast` says that a tensor
            comes with another range: the converter sees that for itself.
    """

    def __init__(
        self,
        low: float | None = None,
        high: float | None = None,
        momentum: float = 0.99,
        places: int = 1,
        **options: Any,
    ) -> None:
        super().__init__(**{"dtype": "float32", **options})
        self.places = places
        self.given = None if low is None or high is None else (float(low), float(high))
        self.momentum = momentum

    def build(self, input_shape: Any) -> None:
        if self.given is None:
            self.low, self.high, self.seen = (
                self.add_weight(
                    name=name,
                    shape=() if self.places == 1 else (self.places,),
                    initializer="zeros",
                    trainable=False,
                    dtype="float32",
                    aggregation="mean",
                )
                for name in ("low", "high", "seen")
            )
        self.built = True

    @property
    def ready(self) -> bool:
        """Whether there is a range."""
        return self.given is not None or bool(ops.convert_to_numpy(self.seen).all())

    @property
    def range(self) -> tuple[float, float]:
        """What it is now: from low to high."""
        if self.given is not None:
            return self.given
        low, high = (ops.convert_to_numpy(one) for one in (self.low, self.high))
        return float(low.min()), max(float(high.max()), float(low.min()) + _NARROW)

    def call(
        self, inputs: Any, training: bool | None = None, place: int = 0, recast: bool = False
    ) -> Any:
        if _mode["floating"] or (recast and _mode["exporting"]):
            return inputs
        if self.given is not None:
            return _rounded(inputs, *self.given)
        if _mode["exporting"]:
            with _now():
                low, high = self.range
            return _rounded(inputs, low, high)
        looks = (training or _mode["observing"]) and place >= 0
        if looks:
            self._see(inputs, place)
        low = ops.min(self.low) if self.places > 1 else ops.convert_to_tensor(self.low)
        high = ops.max(self.high) if self.places > 1 else ops.convert_to_tensor(self.high)
        outputs = _rounded(inputs, low, ops.maximum(high, low + _NARROW))
        # Before the first batch there is no range: nothing is rounded then.
        return outputs if looks else ops.where(ops.max(self.seen) > 0, outputs, inputs)

    def _see(self, inputs: Any, place: int) -> None:
        found = ops.stop_gradient(inputs)
        # Zero is always in the range: padding has to be exact.
        low, high = ops.minimum(ops.min(found), 0.0), ops.maximum(ops.max(found), 0.0)
        if _mode["observing"]:  # a given set of samples: all of them count alike
            least, most = ops.min(self.low), ops.max(self.high)
            if self.places > 1:
                least, most = self.low[place], self.high[place]
            low, high = ops.minimum(low, least), ops.maximum(high, most)
        keep = ops.where(self.seen > 0, 0.0 if _mode["observing"] else self.momentum, 0.0)
        here = 1.0
        if self.places > 1:
            here = ops.one_hot(place, self.places, dtype="float32")
            keep = 1 - here * (1 - keep)
        self.low.assign(keep * self.low + (1 - keep) * low)
        self.high.assign(keep * self.high + (1 - keep) * high)
        self.seen.assign(ops.maximum(self.seen, here))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        low, high = self.given or (None, None)
        own = {"low": low, "high": high, "momentum": self.momentum, "places": self.places}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package=_PACKAGE)
class Clipped(keras.layers.Layer):
    """ReLU with a maximum: the range of its output, which is given, does the clipping in int8."""

    tflm_opt_rule = Rule("range")

    def __init__(self, most: float, **options: Any) -> None:
        super().__init__(**options)
        self.tflm_opt_most = most

    def call(self, inputs: Any) -> Any:
        outputs = ops.relu(inputs)
        return ops.minimum(outputs, self.tflm_opt_most) if _mode["floating"] else outputs

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "most": self.tflm_opt_most}


@keras.saving.register_keras_serializable(package=_PACKAGE)
class Quantized(keras.layers.Layer):
    """Another layer, called with weights as int8 has them.

    Example:
        >>> Quantized(keras.layers.Conv2D(8, 3), {"kernel": [-1]})

    Args:
        layer: whose weights are rounded; it trains as ever.
        channels: the axes of a weight that have a scale of their own, by its name in the layer.
    """

    def __init__(self, layer: Any, channels: Mapping[str, Sequence[int]], **options: Any) -> None:
        super().__init__(
            **{
                "name": layer.name,
                "trainable": layer.trainable,
                "dtype": layer.dtype_policy,
                **options,
            }
        )
        self.layer = layer
        self.channels = {name: list(axes) for name, axes in channels.items()}

    def build(self, input_shape: Any) -> None:
        if not self.layer.built:
            self.layer.build(input_shape)
        self.built = True

    def call(self, inputs: Any, training: bool | None = None, **kwargs: Any) -> Any:
        layer = self.layer
        kwargs = self._taken({**kwargs, "training": training})
        values = [self._value(one) for one in layer.trainable_variables]
        rest = [self._value(one) for one in layer.non_trainable_variables]
        outputs, updates = layer.stateless_call(values, rest, inputs, **kwargs)
        for variable, before, after in zip(
            layer.non_trainable_variables, rest, updates, strict=True
        ):
            if after is not before:
                variable.assign(after)
        return outputs

    def _taken(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Those that the layer takes: Keras offers `training` and `mask` to who takes any."""
        parameters = inspect.signature(self.layer.call).parameters
        return {name: value for name, value in kwargs.items() if name in parameters}

    def _value(self, variable: Any) -> Any:
        for name, axes in self.channels.items():
            if getattr(self.layer, name, None) is variable and not _mode["floating"]:
                # The converter finds the scales of channels itself, whatever op they are for.
                known = _mode["exporting"] and (len(axes) > 0 or bool(kind_of(self.layer)))
                return _constant(variable, axes) if known else fake_weight(variable.value, axes)
        return variable.value

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        return self.layer.compute_output_spec(*args, **self._taken(kwargs))

    def get_config(self) -> dict[str, Any]:
        layer = keras.saving.serialize_keras_object(self.layer)
        return {**super().get_config(), "layer": layer, "channels": self.channels}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Quantized:
        layer = keras.saving.deserialize_keras_object(config.pop("layer"))
        return cls(layer, **config)


def fake_weight(weight: Any, axes: Sequence[int]) -> Any:
    """A weight rounded to -127 to 127: a scale for each place of the axes, which are neighbours,
    or one for all where there are none."""
    rank = len(weight.shape)
    kept = sorted(axis % rank for axis in axes)
    others = [axis for axis in range(rank) if axis not in kept]
    bound = ops.max(ops.abs(ops.stop_gradient(weight)), axis=others)
    if not kept:
        return _rounded(weight, -bound - 1e-12, bound + 1e-12, narrow_range=True)
    # A channel of nothing, or nearly, has no scale of its own: its bias would not fit int32.
    bound = ops.reshape(ops.maximum(bound, _LEAST * ops.max(bound) + 1e-12), (-1,))
    shape = weight.shape
    first, last = kept[0], kept[-1]
    channels = 1
    for axis in kept:
        channels *= shape[axis]
    flat = ops.reshape(weight, (*shape[:first], channels, *shape[last + 1 :]))
    return ops.reshape(_rounded(flat, -bound, bound, narrow_range=True, axis=first), shape)


def _constant(variable: Any, axes: Sequence[int]) -> Any:
    """A weight that is rounded already."""
    with _now():
        value = ops.convert_to_numpy(fake_weight(variable.value, axes))
    return ops.convert_to_tensor(value)


def _now() -> contextlib.AbstractContextManager[None]:
    """Where values are computed at once, and not in the graph that is traced."""
    import tensorflow as tf

    return tf.init_scope()


def _rounded(inputs: Any, low: Any, high: Any, **how: Any) -> Any:
    return keras.quantizers.fake_quant_with_min_max_vars(inputs, low, high, num_bits=8, **how)
