"""The function of a net, in plain `keras.ops`, with weights that may be larger than it needs.

Under *sizes* (`subnet.Subnet.sizes`) the largest net computes what a subnet does: channels that the
subnet lacks are exactly zero after each layer, kernels are zero around their middle, and an "add"
that it lacks hands on its first input. Sizes are data, so one traced step trains every subnet.

Masks cost next to nothing: they multiply weights and the factors of batch norm, not activations.
What they can't save is time: a small subnet takes as long as the largest net.

Importing this module imports Keras.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from .net import Layer, Net
from .subnet import WEIGHTED

ops: Any = keras.ops  # whose types name every backend's tensors

EPSILON = 1e-3  # of batch norm: what Keras's layer adds to the variance, too
_KEEP_ZERO = ("", "relu", "relu6", "hard_swish")  # activations that are 0 at 0
_ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "": lambda x: x,
    "relu": ops.relu,
    "relu6": ops.relu6,
    "sigmoid": ops.sigmoid,
    "hard_swish": ops.hard_swish,
    "softmax": ops.softmax,
}

Tensors = Mapping[str, Any]
Moments = dict[str, tuple[Any, Any]]  # mean and variance by layer


def logits(
    net: Net,
    weights: Tensors,
    x: Any,
    *,
    sizes: Any = None,
    moments: Mapping[str, tuple[Any, Any]] | None = None,
    seen: Moments | None = None,
) -> Any:
    """The net's output without its softmax.

    Args:
        net: what to compute.
        weights: by "layer/part".
        x: images, (n, rows, columns, channels); the size need not be the net's.
        sizes: (layers, 3), of the subnet to compute; None computes the whole net.
        moments: mean and variance of each layer with norm; None takes those of this batch.
        seen: gets the batch's moments.
    """
    run = _Run(net, weights, sizes, moments, seen)
    outputs: dict[str, Any] = {}
    for index, layer in enumerate(net.layers):
        inputs = [outputs[name] for name in layer.inputs]
        last = index == len(net.layers) - 1
        outputs[layer.name] = run.layer(index, layer, inputs, last) if inputs else x
    return outputs[net.layers[-1].name]


class _Run:
    """One pass. `masks` has a vector of ones and zeros for each layer's channels."""

    def __init__(
        self,
        net: Net,
        weights: Tensors,
        sizes: Any,
        moments: Mapping[str, tuple[Any, Any]] | None,
        seen: Moments | None,
    ) -> None:
        self.weights, self.sizes, self.moments, self.seen = weights, sizes, moments, seen
        self.activations = {layer.name: layer.activation for layer in net.layers}
        first = net.layers[0]
        self.masks: dict[str, Any] = {first.name: ops.ones(first.shape[2])}

    def layer(self, index: int, layer: Layer, inputs: Sequence[Any], last: bool) -> Any:
        present = None
        if self.sizes is not None:
            present = ops.cast(self.sizes[index, 0] > 0, "float32")
            self.masks[layer.name] = self._mask(index, layer, present)
        x = self._linear(index, layer, inputs, present)
        if layer.norm:
            x = self._norm(layer, x)
        if last and layer.activation == "softmax":
            return x
        return self._activated(layer, x, inputs, present)

    def _mask(self, index: int, layer: Layer, present: Any) -> Any:
        if layer.kind in ("conv", "dense"):
            return ops.cast(ops.arange(layer.filters) < self.sizes[index, 0], "float32")
        if layer.kind == "concat":
            return ops.concatenate([self.masks[name] for name in layer.inputs])
        mask = self.masks[layer.inputs[0]]
        return mask * present if layer.kind in WEIGHTED else mask

    def _linear(self, index: int, layer: Layer, inputs: Sequence[Any], present: Any) -> Any:
        """The layer without norm and activation."""
        if layer.kind in WEIGHTED:
            return self._weighted(index, layer, inputs[0])
        if layer.kind == "add":
            return inputs[0] + (inputs[1] if present is None else inputs[1] * present)
        if layer.kind == "multiply":
            second = inputs[1] if present is None else inputs[1] * present + (1 - present)
            return inputs[0] * second
        return _PLAIN[layer.kind](layer, inputs)

    def _weighted(self, index: int, layer: Layer, x: Any) -> Any:
        kernel = self.weights[f"{layer.name}/kernel"]
        if self.sizes is not None and layer.kind != "dense":
            for axis, size in enumerate(layer.kernel):
                if size > 1:
                    kernel = kernel * _middle(size, self.sizes[index, axis + 1], axis)
        bias = None if layer.norm else self.weights[f"{layer.name}/bias"]
        if self.sizes is not None and bias is not None:
            # With norm, it is norm's factors that are masked.
            bias = bias * self.masks[layer.name]
            if layer.kind != "depthwise":
                kernel = kernel * self.masks[layer.name]
            else:
                kernel = kernel * ops.reshape(self.masks[layer.name], (1, 1, -1, 1))
        x = _PRODUCTS[layer.kind](layer, x, kernel)
        return x if bias is None else x + bias

    def _norm(self, layer: Layer, x: Any) -> Any:
        if self.moments is not None:
            mean, variance = self.moments[layer.name]
        else:
            mean, variance = ops.moments(x, tuple(range(len(x.shape) - 1)))
        if self.seen is not None:
            self.seen[layer.name] = mean, variance
        gamma = self.weights[f"{layer.name}/gamma"]
        beta = self.weights[f"{layer.name}/beta"]
        if self.sizes is not None:
            gamma, beta = gamma * self.masks[layer.name], beta * self.masks[layer.name]
        scale = gamma * ops.rsqrt(variance + EPSILON)
        return x * scale + (beta - mean * scale)

    def _activated(self, layer: Layer, x: Any, inputs: Sequence[Any], present: Any) -> Any:
        y = _ACTIVATIONS[layer.activation](x)
        if present is None or not layer.activation:
            return y
        if layer.kind in ("add", "multiply"):
            # Relu of what a relu made changes nothing; other activations must be bypassed.
            once = layer.activation in ("relu", "relu6")
            if once and self.activations[layer.inputs[0]] == layer.activation:
                return y
            return ops.where(present > 0, y, inputs[0])
        return y if layer.activation in _KEEP_ZERO else y * self.masks[layer.name]


def _middle(size: int, used: Any, axis: int) -> Any:
    """Ones at the middle `used` of `size`, zeros around, along one axis of a kernel."""
    at = ops.arange(size)
    start = (size - used) // 2
    inside = ops.cast((at >= start) & (at < start + used), "float32")
    return ops.reshape(inside, (-1, 1, 1, 1) if axis == 0 else (1, -1, 1, 1))


def _conv(layer: Layer, x: Any, kernel: Any) -> Any:
    return ops.conv(x, kernel, layer.strides, layer.padding, "channels_last")


def _depthwise(layer: Layer, x: Any, kernel: Any) -> Any:
    return ops.depthwise_conv(x, kernel, layer.strides, layer.padding, "channels_last")


_PRODUCTS = {
    "conv": _conv,
    "depthwise": _depthwise,
    "dense": lambda layer, x, kernel: ops.matmul(x, kernel),
}


def _pool(layer: Layer, inputs: Sequence[Any]) -> Any:
    of = ops.max_pool if layer.kind == "max_pool" else ops.average_pool
    return of(inputs[0], layer.kernel, layer.strides, layer.padding, "channels_last")


_PLAIN: dict[str, Callable[[Layer, Sequence[Any]], Any]] = {
    "max_pool": _pool,
    "average_pool": _pool,
    "concat": lambda layer, inputs: ops.concatenate(list(inputs), axis=-1),
    "global_pool": lambda layer, inputs: ops.mean(inputs[0], axis=(1, 2), keepdims=layer.keep),
    "flatten": lambda layer, inputs: ops.reshape(inputs[0], (-1, inputs[0].shape[-1])),
    "activation": lambda layer, inputs: inputs[0],
}
