"""Small nets for bands in stock TFLM: any kernel, stride, dilation and padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from small_models import Net

from tflm_opt.graph import Graph, Tensor, options


@dataclass(frozen=True)
class Layer:
    """One layer: `kind` is "conv", "depthwise", "max", "average", "point", "add" or "concat"."""

    kind: str
    kernel: tuple[int, int] = (3, 3)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] | None = None  # None: SAME
    dilation: tuple[int, int] = (1, 1)
    channels: int = 8
    activation: str = "RELU"


def net(shape: tuple[int, int, int], layers: list[Layer], seed: int = 0) -> Graph:
    """A chain of layers; "add" and "concat" take what an earlier layer of its size made, too."""
    made = Net((1, *shape), seed)
    x, before = made.input, []
    for layer in layers:
        before.append(x)
        x = append(made, x, layer, before)
    return made.graph(x)


def random_net(seed: int) -> Graph:
    """Two to seven layers on odd sizes; residuals and concatenations among them."""
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(9, 24)), int(rng.integers(5, 18)), int(rng.integers(1, 6)))
    layers = []
    kinds = ["conv", "depthwise", "point", "max", "add", "depthwise", "average", "concat"]
    for _ in range(int(rng.integers(2, 8))):
        kind = str(rng.choice(kinds))
        kernel = tuple(int(k) for k in rng.integers(1, 8, 2))
        stride = tuple(int(s) for s in rng.choice([1, 1, 2, 3], 2))
        dilation = (1, 1)
        if rng.random() < 0.2 and kind != "max":
            dilation, stride = (2, int(rng.integers(1, 3))), (1, 1)
        padding = None
        if rng.random() < 0.5:
            limits = [k - 1 for k in (kernel[0], kernel[0], kernel[1], kernel[1])]
            padding = tuple(int(rng.integers(0, limit + 1)) for limit in limits)
        layers.append(
            Layer(kind, kernel, stride, padding, dilation, int(rng.choice([4, 5, 8, 16])))  # type: ignore[arg-type]
        )
    return net(shape, layers, seed)


def kept_net(rng: np.random.Generator) -> Graph:
    """Layers whose bands can keep rows: windows padded on one side, sums and masks before them.

    Rows of 16 bytes are frequent, which kept rows and new ones must have to lie side by side.
    """
    shape = (
        int(rng.integers(8, 22)),
        int(rng.choice([3, 4, 5, 8, 12])),
        int(rng.choice([2, 4, 8])),
    )
    layers = []
    for _ in range(int(rng.integers(2, 9))):
        kind = str(rng.choice(["conv", "depthwise", "point", "max", "add", "add", "add"]))
        kernel = (int(rng.choice([1, 2, 3, 3, 5])), int(rng.choice([1, 3, 3, 4])))
        stride = (int(rng.choice([1, 1, 2])), int(rng.choice([1, 1, 2])))
        halo, columns = max(kernel[0] - stride[0], 0), (kernel[1] - 1) // 2
        above = int(rng.choice([0, halo]))
        padding = (above, halo - above, columns, columns)
        if kind == "max" or rng.random() < 0.2:
            padding = None if rng.random() < 0.5 else (0, 0, 0, 0)
        activation = "RELU" if rng.random() < 0.8 else "NONE"
        channels = int(rng.choice([shape[2], shape[2], 3, 16]))
        layers.append(Layer(kind, kernel, stride, padding, (1, 1), channels, activation))
    return net(shape, layers, int(rng.integers(0, 2**31)))


def append(made: Net, x: Tensor, layer: Layer, before: Sequence[Tensor] = ()) -> Tensor:
    if layer.kind == "add":
        alike = [t for t in before[:-1] if t.shape == x.shape]
        return made.add(x, alike[-1]) if alike else made.conv(x, x.shape[3], 1)
    if layer.kind == "concat":
        alike = [t for t in before[:-1] if t.shape[1:3] == x.shape[1:3] and _alike(t, x)]
        return _concat(made, x, alike[-1]) if alike else made.conv(x, x.shape[3], 1)
    if layer.kind == "point":
        return made.conv(x, layer.channels, 1, activation=layer.activation)
    kernel, dilation = layer.kernel, layer.dilation
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    pads = layer.padding or (
        *options.same_padding(x.shape[1], kernel[0], layer.stride[0], dilation[0]),
        *options.same_padding(x.shape[2], kernel[1], layer.stride[1], dilation[1]),
    )
    sizes = [
        options.out_size(
            x.shape[a + 1], kernel[a], layer.stride[a], dilation[a], pads[2 * a], pads[2 * a + 1]
        )
        for a in (0, 1)
    ]
    if min(sizes) < 1 or any(s > n for s, n in zip(spans, x.shape[1:3], strict=True)):
        return made.conv(x, layer.channels, 1)
    if layer.kind == "max":
        record = options.PoolOptions(kernel, layer.stride, options.Padding(*pads))
        shape = (1, *sizes, x.shape[3])
        return made._append("MAX_POOL_2D", (x,), shape, x.quant, record)
    if layer.kind == "average":
        record = options.PoolOptions(kernel, layer.stride, options.Padding())
        sizes = [
            (n - k) // s + 1 for n, k, s in zip(x.shape[1:3], kernel, layer.stride, strict=True)
        ]
        return made._append("AVERAGE_POOL_2D", (x,), (1, *sizes, x.shape[3]), x.quant, record)
    return _convolution(made, x, layer, pads, sizes)


def _alike(a: Tensor, b: Tensor) -> bool:
    return a.quant is not None and a.quant.same_as(b.quant)


def _concat(made: Net, a: Tensor, b: Tensor) -> Tensor:
    shape = (*a.shape[:3], a.shape[3] + b.shape[3])
    record = options.ConcatenationOptions(axis=3)
    return made._append("CONCATENATION", (a, b), shape, a.quant, record)


def _convolution(
    made: Net, x: Tensor, layer: Layer, pads: tuple[int, ...], sizes: list[int]
) -> Tensor:
    deep = layer.kind == "depthwise"
    inputs, channels = x.shape[3], x.shape[3] if deep else layer.channels
    fan = layer.kernel[0] * layer.kernel[1] * (1 if deep else inputs)
    shape = (1, *layer.kernel, channels) if deep else (channels, *layer.kernel, inputs)
    weights, scale = made._weights(shape, 3 if deep else 0, fan)
    record = options.ConvOptions(
        layer.stride, options.Padding(*pads), layer.dilation, layer.activation
    )
    zero = -128 if layer.activation == "RELU" else 3
    return made._append(
        "DEPTHWISE_CONV_2D" if deep else "CONV_2D",
        (x, weights, made._bias(x, scale)),
        (1, *sizes, channels),
        made.quant(1 / 128, zero),
        record,
    )


def with_output(graph: Graph, tensor: Tensor) -> Graph:
    """The ops up to the one that makes `tensor`, which becomes the output."""
    stop = next(i for i, op in enumerate(graph.ops) if tensor in op.outputs) + 1
    return replace(graph, ops=graph.ops[:stop], outputs=(tensor,), tensors=())
