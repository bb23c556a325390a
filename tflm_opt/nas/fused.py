"""Batch norm, depthwise convolutions and Adam by the ops of TensorFlow that take the least time.

What Keras makes of them costs more on a CPU than it has to (`benchmarks/nas_training.py` prints the
difference): each part of batch norm, and of its gradient, is a pass over the tensor, and Adam is
some twenty ops for each of a net's many small variables. oneDNN, which TensorFlow has most ops done
by where it is switched on, takes many times as long as TensorFlow's own op for the gradient of
depthwise kernels of some shapes, so that one keeps the work. With another backend than TensorFlow
`keras.ops`, Keras's layers and its Adam do.

Importing this module imports Keras.
"""

from __future__ import annotations

import functools
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


def depthwise(x: Any, kernel: Any, strides: tuple[int, int], padding: str) -> Any:
    """A depthwise convolution of (n, rows, columns, channels).

    Args:
        kernel: (rows, columns, channels, multiplier).
        padding: "same" or "valid".
    """
    if _plain(x.shape, strides):
        return _depthwise(x, kernel, strides[0], padding.upper())
    return ops.depthwise_conv(x, kernel, strides, padding, "channels_last")


class FastDepthwise(keras.layers.DepthwiseConv2D):
    """Keras's layer with another op for its kernel's gradient: see `fused_ops`."""

    def call(self, inputs: Any) -> Any:
        strides: Any = self.strides
        if not _plain(inputs.shape, strides):
            return super().call(inputs)
        y = depthwise(inputs, self.kernel, strides, self.padding)
        if self.use_bias:
            y = ops.add(y, self.bias)
        return y if self.activation is None else self.activation(y)


class FusedNorm(keras.layers.BatchNormalization):
    """Keras's layer, trained by the fused op: see `fused_ops`."""

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        if not training or not self.trainable or mask is not None:
            return super().call(inputs, training=training, mask=mask)
        y, mean, variance = _fused(inputs, self.gamma, self.beta, self.epsilon)
        moments: Any = ((self.moving_mean, mean), (self.moving_variance, variance))
        for moving, seen in moments:
            moving.assign(moving * self.momentum + seen * (1 - self.momentum))
        return y


@contextmanager
def fused_ops(model: Any) -> Iterator[None]:
    """Have a model trained by the faster ops; its weights, and what it computes, stay."""
    swapped: list[tuple[Any, type]] = []
    for layer in model._flatten_layers() if _fuses() else ():
        kind = type(layer)  # of a subclass, nobody knows what it does
        if kind is keras.layers.BatchNormalization and _suits(layer):
            swapped.append((layer, kind))
            layer.__class__ = FusedNorm  # in place, so that any model will do, of functions or not
        elif kind is keras.layers.DepthwiseConv2D and _is_float_image(layer):
            swapped.append((layer, kind))
            layer.__class__ = FastDepthwise
    try:
        yield
    finally:
        for layer, kind in swapped:
            layer.__class__ = kind


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


def _is_float_image(layer: Any) -> bool:
    return (
        layer.built
        and layer.data_format == "channels_last"
        and tuple(layer.dilation_rate) == (1, 1)
        and layer.compute_dtype == "float32"
    )


def _plain(shape: Any, strides: tuple[int, int]) -> bool:
    """Whether `_depthwise` takes it: TensorFlow's op has one stride, and no GPU needs another."""
    return _fuses() and strides[0] == strides[1] and None not in shape[1:] and not _gpus()


@functools.cache
def _gpus() -> int:
    import tensorflow as tf

    return len(tf.config.list_logical_devices("GPU"))


def _depthwise(x: Any, kernel: Any, stride: int, padding: str) -> Any:
    import tensorflow as tf

    strides, sides = (1, stride, stride, 1), [0, 0]
    for size, k in zip(x.shape[1:3], kernel.shape[:2], strict=True):
        outside = 0 if padding == "VALID" else max((-(-size // stride) - 1) * stride + k - size, 0)
        sides += [outside // 2, outside - outside // 2]
    sides += [0, 0]

    @tf.custom_gradient
    def convolved(x: Any, kernel: Any) -> Any:
        def gradients(above: Any) -> tuple[Any, Any]:
            of_x = tf.raw_ops.DepthwiseConv2dNativeBackpropInput(
                input_sizes=tf.shape(x),
                filter=kernel,
                out_backprop=above,
                strides=strides,
                padding=padding,
            )
            # oneDNN has no form for padding that is written out, and leaves it to TensorFlow.
            of_kernel = tf.raw_ops.DepthwiseConv2dNativeBackpropFilter(
                input=x,
                filter_sizes=tf.shape(kernel),
                out_backprop=above,
                strides=strides,
                padding="EXPLICIT",
                explicit_paddings=sides,
            )
            return of_x, of_kernel

        y = tf.raw_ops.DepthwiseConv2dNative(
            input=x, filter=kernel, strides=strides, padding=padding
        )
        return y, gradients

    # Of a variable TensorFlow wants gradients in another way.
    return convolved(x, tf.identity(ops.convert_to_tensor(kernel)))


def _suits(layer: Any) -> bool:
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
