"""The function of a net, in plain `keras.ops`, with weights that may be larger than it needs.

Under *sizes* (`subnet.Subnet.sizes`) the largest net computes what a subnet does. Sizes are data,
not code, so one traced step trains every subnet. There are two ways to it, with the same result:

- `Sliced` takes the subnet's part of each weight. It costs what the subnet costs, and needs a
  backend whose tensors may have sizes that are only known when it runs: TensorFlow and PyTorch.
- `Masked` computes the largest net, with channels that the subnet lacks exactly zero after each
  layer, and kernels zero around their middle. XLA, so JAX, knows nothing else. The masks multiply
  weights and batch norm's factors, so they are free, but each subnet takes the largest one's time.

Importing this module imports Keras.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from .fused import depthwise, moments_of, normalized
from .net import Layer, Net
from .subnet import WEIGHTED, by_name, channels

ops: Any = keras.ops  # whose types name every backend's tensors

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
    masked: bool | None = None,
    seen: Moments | None = None,
) -> Any:
    """The net's output without its softmax.

    Args:
        net: what to compute.
        weights: by "layer/part".
        x: images, (n, rows, columns, channels); the size need not be the net's.
        sizes: (layers, 3), of the subnet to compute; None computes the whole net.
        masked: which way; by default the one that suits the backend.
        seen: gets mean and variance of each layer with norm, which are those of this batch.
    """
    if sizes is None:
        part = Whole(net, weights)
    elif masked if masked is not None else keras.backend.backend() == "jax":
        part = Masked(net, weights, sizes)
    else:
        part = Sliced(net, weights, sizes)
    outputs: dict[str, Any] = {net.layers[0].name: x}
    for layer in net.layers[1:]:
        part.enter(layer)
        inputs = [outputs[name] for name in layer.inputs]
        y = _linear(part, layer, inputs)
        if layer.norm:
            y = _norm(part, layer, y, seen)
        if layer is not net.layers[-1] or layer.activation != "softmax":
            y = part.activated(layer, y, inputs)
        outputs[layer.name] = y
    return outputs[net.layers[-1].name]


def as_numpy(tensor: Any) -> np.ndarray:
    """A copy, of a variable's value too."""
    return np.array(ops.convert_to_numpy(ops.convert_to_tensor(tensor)))


class Whole:
    """All of a net's weights."""

    def __init__(self, net: Net, weights: Tensors) -> None:
        self.net, self.weights, self.layers = net, weights, by_name(net)

    def enter(self, layer: Layer) -> None:
        """The layer comes next."""

    def kernel(self, layer: Layer) -> Any:
        return self.weights[f"{layer.name}/kernel"]

    def vector(self, layer: Layer, part: str) -> Any:
        """bias, gamma or beta."""
        return self.weights[f"{layer.name}/{part}"]

    def joined(self, layer: Layer, first: Any, second: Any) -> Any:
        """Of an "add" or "multiply"."""
        return first + second if layer.kind == "add" else first * second

    def activated(self, layer: Layer, y: Any, inputs: Sequence[Any]) -> Any:
        return _ACTIVATIONS[layer.activation](y)


class _Subnet(Whole):
    """A part of a net's weights, as sizes say."""

    def __init__(self, net: Net, weights: Tensors, sizes: Any) -> None:
        super().__init__(net, weights)
        self.sizes = dict(
            zip(self.layers, (sizes[i] for i in range(len(self.layers))), strict=True)
        )

    def present(self, layer: Layer) -> Any:
        return self.sizes[layer.name][0] > 0

    def activated(self, layer: Layer, y: Any, inputs: Sequence[Any]) -> Any:
        active = super().activated(layer, y, inputs)
        if not layer.activation or layer.kind not in ("add", "multiply"):
            return active
        before = self.layers[layer.inputs[0]].activation
        if layer.activation in ("relu", "relu6") and before == layer.activation:
            return active  # a relu leaves as it is what the same relu has made
        return ops.where(self.present(layer), active, inputs[0])


class Masked(_Subnet):
    """`masks` has a vector of ones and zeros for each layer's channels."""

    def __init__(self, net: Net, weights: Tensors, sizes: Any) -> None:
        super().__init__(net, weights, sizes)
        first = net.layers[0]
        self.masks: dict[str, Any] = {first.name: ops.ones(first.shape[2])}

    def enter(self, layer: Layer) -> None:
        if layer.kind in ("conv", "dense"):
            mask = ops.cast(ops.arange(layer.filters) < self.sizes[layer.name][0], "float32")
        elif layer.kind == "concat":
            mask = ops.concatenate([self.masks[name] for name in layer.inputs])
        else:
            mask = self.masks[layer.inputs[0]]
            if layer.kind == "depthwise":
                mask = mask * ops.cast(self.present(layer), "float32")
        self.masks[layer.name] = mask

    def kernel(self, layer: Layer) -> Any:
        kernel = super().kernel(layer)
        if layer.kind != "dense":
            for axis, size in enumerate(layer.kernel):
                if size > 1:
                    kernel = kernel * _middle(size, self.sizes[layer.name][axis + 1], axis)
        if layer.norm:  # whose factors are masked
            return kernel
        mask = self.masks[layer.name]
        return kernel * (ops.reshape(mask, (-1, 1)) if layer.kind == "depthwise" else mask)

    def vector(self, layer: Layer, part: str) -> Any:
        return super().vector(layer, part) * self.masks[layer.name]

    def joined(self, layer: Layer, first: Any, second: Any) -> Any:
        present = ops.cast(self.present(layer), "float32")
        if layer.kind == "add":
            return first + second * present
        return first * (second * present + (1 - present))

    def activated(self, layer: Layer, y: Any, inputs: Sequence[Any]) -> Any:
        active = super().activated(layer, y, inputs)
        return active if layer.activation in _KEEP_ZERO else active * self.masks[layer.name]


def _middle(size: int, used: Any, axis: int) -> Any:
    """Ones at the middle `used` of `size`, zeros around, along one axis of a kernel."""
    at = ops.arange(size)
    start = (size - used) // 2
    inside = ops.cast((at >= start) & (at < start + used), "float32")
    return ops.reshape(inside, (-1, 1, 1, 1) if axis == 0 else (1, -1, 1, 1))


class Sliced(_Subnet):
    """`runs` has, for each layer's channels, where runs of them start, and how many they are.

    Layers that the subnet lacks run with one filter, and their "add" leaves them out.
    """

    def __init__(self, net: Net, weights: Tensors, sizes: Any) -> None:
        super().__init__(net, weights, sizes)
        first = net.layers[0]
        self.runs: dict[str, list[tuple[int, Any]]] = {first.name: [(0, first.shape[2])]}

    def enter(self, layer: Layer) -> None:
        if layer is self.net.layers[-1] and layer.kind in ("conv", "dense"):
            runs = [(0, layer.filters)]  # the classes: known, and the same in all nets
        elif layer.kind in ("conv", "dense"):
            runs = [(0, ops.maximum(self.sizes[layer.name][0], 1))]
        elif layer.kind == "concat":
            runs, offset = [], 0
            for name in layer.inputs:
                runs += [(offset + start, count) for start, count in self.runs[name]]
                offset += channels(self.layers, name)
        else:
            runs = self.runs[layer.inputs[0]]
        self.runs[layer.name] = runs

    def kernel(self, layer: Layer) -> Any:
        kernel = super().kernel(layer)
        read, own = self.runs[layer.inputs[0]], self.runs[layer.name]
        if layer.kind == "dense":
            return _taken(_taken(kernel, 0, read), 1, own)
        for axis, size in enumerate(layer.kernel):
            if size > 1:
                used = ops.maximum(self.sizes[layer.name][axis + 1], 1)
                start = (size - used) // 2
                index = (slice(None),) * axis + (slice(start, start + used),)
                kernel = kernel[index]
        kernel = _taken(kernel, 2, read)
        return kernel if layer.kind == "depthwise" else _taken(kernel, 3, own)

    def vector(self, layer: Layer, part: str) -> Any:
        return _taken(super().vector(layer, part), 0, self.runs[layer.name])

    def joined(self, layer: Layer, first: Any, second: Any) -> Any:
        join = super().joined
        return ops.cond(
            self.present(layer), lambda: join(layer, first, second), lambda: first * 1.0
        )


def _taken(x: Any, axis: int, runs: Sequence[tuple[int, Any]]) -> Any:
    before = (slice(None),) * axis
    parts = [x[(*before, slice(start, start + count))] for start, count in runs]
    return parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=axis)


def _linear(part: Whole, layer: Layer, inputs: Sequence[Any]) -> Any:
    """The layer without norm and activation."""
    if layer.kind in WEIGHTED:
        x = _PRODUCTS[layer.kind](layer, inputs[0], part.kernel(layer))
        return x if layer.norm else x + part.vector(layer, "bias")
    if layer.kind in ("add", "multiply"):
        return part.joined(layer, *inputs)
    return _PLAIN[layer.kind](layer, inputs)


def _norm(part: Whole, layer: Layer, x: Any, seen: Moments | None) -> Any:
    gamma, beta = part.vector(layer, "gamma"), part.vector(layer, "beta")
    if seen is None:
        return normalized(x, gamma, beta)
    seen[layer.name] = moments_of(x)
    return normalized(x, gamma, beta, seen[layer.name])


def _conv(layer: Layer, x: Any, kernel: Any) -> Any:
    return ops.conv(x, kernel, layer.strides, layer.padding, "channels_last")


def _depthwise(layer: Layer, x: Any, kernel: Any) -> Any:
    return depthwise(x, kernel, layer.strides, layer.padding)


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
    "flatten": lambda layer, inputs: ops.squeeze(inputs[0], (1, 2)),
    "activation": lambda layer, inputs: inputs[0],
}
