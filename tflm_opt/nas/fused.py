"""Batch norm and Adam by the ops that TensorFlow has for the whole of each.

What Keras makes of them costs more on a CPU than it has to: each part of batch norm, and of its
gradient, is a pass over the tensor, and Adam is some twenty ops for each of a net's many small
variables (`benchmarks/nas_training.py` prints the difference). With another backend than TensorFlow
`keras.ops` and Keras's own Adam do.

Importing this module imports Keras.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import keras

from .net import EPSILON

ops: Any = keras.ops


def moments_of(x: Any) -> tuple[Any, Any]:
    """Mean and variance of each channel, the last axis."""
    mean = _mean(x)
    away = x - mean
    return mean, _mean(away * away)


def normalized(x: Any, gamma: Any, beta: Any, moments: tuple[Any, Any] | None = None) -> Any:
    """x with each channel's mean and deviation made beta and gamma.

    Args:
        x: (n, rows, columns, channels) or (n, channels).
        gamma, beta: (channels,).
        moments: mean and variance; by default those of x, through which gradients flow.
    """
    if moments is None:
        if _fuses():
            return _fused(x, gamma, beta, EPSILON)[0]
        moments = moments_of(x)
    mean, variance = moments
    scale = gamma * ops.rsqrt(variance + EPSILON)
    return x * scale + (beta - mean * scale)


class FusedNorm(keras.layers.BatchNormalization):
    """Keras's layer, trained by the fused op: see `fused_norms`."""

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        if not training or not self.trainable or mask is not None:
            return super().call(inputs, training=training, mask=mask)
        y, mean, variance = _fused(inputs, self.gamma, self.beta, self.epsilon)
        moments: Any = ((self.moving_mean, mean), (self.moving_variance, variance))
        for moving, seen in moments:
            moving.assign(moving * self.momentum + seen * (1 - self.momentum))
        return y


@contextmanager
def fused_norms(model: Any) -> Iterator[None]:
    """Have a model's batch norm trained by the fused op; weights, and what it computes, stay."""
    swapped = [layer for layer in model._flatten_layers() if _fuses() and _suits(layer)]
    for layer in swapped:
        layer.__class__ = FusedNorm  # in place, so that any model will do, of functions or not
    try:
        yield
    finally:
        for layer in swapped:
            layer.__class__ = keras.layers.BatchNormalization


def adam(rate: Any) -> Any:
    """Adam with a rate or a schedule of it."""
    if _fuses():
        import tensorflow as tf

        if not tf.distribute.has_strategy():  # whose variables are several
            return FusedAdam(rate)
    return keras.optimizers.Adam(rate)


class FusedAdam(keras.optimizers.Adam):
    """Keras's optimizer, an op for each variable."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        import tensorflow as tf

        kind, done = variable.dtype, cast(Any, self.iterations)
        step = ops.cast(done + 1, kind)
        index = self._get_variable_index(variable)
        tf.raw_ops.ResourceApplyAdam(
            var=_handle(variable),
            m=_handle(self._momentums[index]),
            v=_handle(self._velocities[index]),
            beta1_power=ops.power(ops.cast(self.beta_1, kind), step),
            beta2_power=ops.power(ops.cast(self.beta_2, kind), step),
            lr=ops.cast(learning_rate, kind),
            beta1=ops.cast(self.beta_1, kind),
            beta2=ops.cast(self.beta_2, kind),
            epsilon=ops.cast(self.epsilon, kind),
            grad=ops.cast(gradient, kind),
        )


def _handle(variable: Any) -> Any:
    """Of Keras's variable, or of TensorFlow's that it holds."""
    return (variable.value if isinstance(variable, keras.Variable) else variable).handle


def _suits(layer: Any) -> bool:
    if type(layer) is not keras.layers.BatchNormalization:  # a subclass may do otherwise
        return False
    spec: Any = layer.input_spec
    return (
        layer.built
        and spec.ndim in (2, 4)
        and layer.axis in (-1, spec.ndim - 1)
        and layer.scale
        and layer.center
        and not layer.synchronized
        and not getattr(layer, "renorm", False)  # which Keras has since 3.12
        and layer.compute_dtype == "float32"
    )


def _fuses() -> bool:
    return keras.backend.backend() == "tensorflow"


def _fused(x: Any, gamma: Any, beta: Any, epsilon: float) -> tuple[Any, Any, Any]:
    """x normalized by its own moments, and those, by TensorFlow."""
    import tensorflow as tf

    shape = ops.shape(x)
    flat = ops.reshape(x, (-1, 1, 1, shape[-1])) if len(shape) == 2 else x
    y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=flat,
        scale=ops.convert_to_tensor(gamma),
        offset=ops.convert_to_tensor(beta),
        mean=ops.zeros((0,)),
        variance=ops.zeros((0,)),
        epsilon=epsilon,
        is_training=True,
    )
    # It divides by n - 1, where Keras divides by n; of one value, both have none.
    every = ops.cast(ops.size(x), "float32") / ops.cast(shape[-1], "float32")
    variance = variance * (1 - 1 / every)
    return ops.reshape(y, shape) if len(shape) == 2 else y, mean, variance


def _mean(x: Any) -> Any:
    """Of each channel, as a matrix product."""
    rows = ops.reshape(x, (-1, ops.shape(x)[-1]))
    n = ops.shape(rows)[0]
    ones = ops.ones((1, n)) / ops.cast(n, "float32")
    return ops.matmul(ones, rows)[0]
