"""Random arithmetic ops for tests, each from a generator.

Scales are drawn so that most outputs lie inside the range and some saturate: the output's scale
follows from the sum's spread, times a random factor.
"""

from __future__ import annotations

import math

import numpy as np
from opgraph import Cases

from tflm_opt.graph.ir import Op, Quantization, Tensor
from tflm_opt.graph.options import (
    AddOptions,
    BatchMatMulOptions,
    ConvOptions,
    FullyConnectedOptions,
    MulOptions,
    Options,
    Padding,
    PoolOptions,
    ReducerOptions,
    SubOptions,
    TransposeConvOptions,
    out_size,
    same_padding,
)

Rng = np.random.Generator
Shape = tuple[int, ...]
ACTIVATIONS = ("NONE", "RELU", "RELU6", "RELU_N1_TO_1")
CHANNELS = (1, 2, 3, 4, 5, 7, 8, 11, 16, 17, 31, 32, 33, 67)
OPTIONS: dict[str, type[Options]] = {"ADD": AddOptions, "SUB": SubOptions, "MUL": MulOptions}
PAIRS = ("ADD", "SUB", "MUL", "SQUARED_DIFFERENCE")


def zero_point(rng: Rng) -> int:
    return int(rng.choice([-128, 127, 0, *rng.integers(-128, 128, 3)]))


def scale(rng: Rng, low: float = -3.0, high: float = 1.0) -> float:
    return float(np.float32(10 ** rng.uniform(low, high)))


def weights(rng: Rng, shape: tuple[int, ...], axis: int | None, name: str = "w") -> Tensor:
    """int8 values with one scale, or one for each slice of `axis`; -128 may occur."""
    data = rng.integers(-128, 128, shape).astype(np.int8)
    if axis is None:
        quant = Quantization.per_tensor(float(np.float32(10 ** rng.uniform(-4, -1))))
    else:
        count = shape[axis]
        scales = (10 ** rng.uniform(-4, -1) * rng.uniform(0.3, 3, count)).astype(np.float32)
        quant = Quantization(scales, np.zeros(count, np.int64), axis)
    return Tensor(name, shape, "int8", quant, data)


def bias(rng: Rng, channels: int, scale: np.ndarray, spread: float) -> Tensor:
    data = np.round(rng.normal(0, spread, channels)).astype(np.int32)
    quant = Quantization(scale.astype(np.float32), np.zeros(scale.size, np.int64), 0)
    return Tensor("b", (channels,), "int32", quant, data)


def output_quant(rng: Rng, source: Tensor, filters: Tensor, terms: int) -> dict[str, float | int]:
    """A scale under which sums of that many products mostly fit."""
    assert filters.quant is not None
    spread = 74 * 74 * math.sqrt(terms) * source.scale * float(filters.quant.scale.mean())
    factor = 10 ** rng.uniform(-0.7, 1) / 50
    if rng.random() < 0.1:  # far too fine or far too coarse
        factor *= float(rng.choice([1e-5, 1e-3, 1e3, 1e6]))
    # Below 1e-8, 6.0 / scale does not fit an int32 and both we and TFLM refuse RELU6.
    return {"scale": float(np.float32(max(spread * factor, 1e-8))), "zero_point": zero_point(rng)}


def source_tensor(cases: Cases, rng: Rng, shape: tuple[int, ...]) -> Tensor:
    scale = float(np.float32(10 ** rng.uniform(-3, 0)))
    return cases.input(shape, scale=scale, zero_point=zero_point(rng))


def padded(kind: str, size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    return same_padding(size, kernel, stride, dilation) if kind == "SAME" else (0, 0)


def add_convolution(
    cases: Cases,
    rng: Rng,
    *,
    depthwise: bool = False,
    groups: int = 1,
    kernel: tuple[int, int] | None = None,
    padding: Padding | None = None,
    channels: int | None = None,
) -> Op:
    """One random convolution; `padding` None means SAME or VALID."""
    depth = channels or int(rng.choice(CHANNELS)) * groups
    size = tuple(int(v) for v in rng.integers(1, 12, 2))
    kernel = kernel or tuple(int(v) for v in rng.integers(1, 8, 2))
    stride = tuple(int(v) for v in rng.integers(1, 4, 2))
    dilation = tuple(int(v) for v in rng.integers(1, 4, 2)) if rng.random() < 0.3 else (1, 1)
    if padding is None:
        reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
        fits = all(r <= s for r, s in zip(reach, size, strict=True))
        kind = str(rng.choice(["SAME", "VALID"])) if fits else "SAME"
        sides = [padded(kind, size[i], kernel[i], stride[i], dilation[i]) for i in range(2)]
        padding = Padding(*sides[0], *sides[1])
    source = source_tensor(cases, rng, (1, *size, depth))
    out = [
        out_size(size[0], kernel[0], stride[0], dilation[0], padding.top, padding.bottom),
        out_size(size[1], kernel[1], stride[1], dilation[1], padding.left, padding.right),
    ]
    per_channel = rng.random() < 0.8
    if depthwise:
        out_channels = depth * int(rng.choice([1, 1, 1, 2, 3, 5]))
        filters = weights(rng, (1, *kernel, out_channels), 3 if per_channel else None)
        terms = kernel[0] * kernel[1]
    else:
        out_channels = int(rng.choice(CHANNELS[:12])) * groups
        shape = (out_channels, *kernel, depth // groups)
        filters = weights(rng, shape, 0 if per_channel else None)
        terms = kernel[0] * kernel[1] * depth // groups
    target = cases.tensor((1, *out, out_channels), **output_quant(rng, source, filters, terms))
    inputs = [source, filters]
    if rng.random() < 0.8:
        assert filters.quant is not None
        scale = filters.quant.scale * source.scale
        inputs.append(bias(rng, out_channels, scale, 3000 * math.sqrt(terms)))
    options = ConvOptions(stride, padding, dilation, str(rng.choice(ACTIVATIONS)))
    kind = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
    cases.op(kind, inputs, [target], options)
    return cases.ops[-1]


def add_pair(
    cases: Cases, rng: Rng, kind: str, first: Shape, second: Shape, *, constant: bool = False
) -> None:
    a, b = scale(rng), scale(rng)
    natural = {"MUL": a * b * 60, "SQUARED_DIFFERENCE": max(a, b) ** 2 * 60}.get(kind, max(a, b))
    factor = 10 ** rng.uniform(-1.5, 1.5)
    if kind == "MUL" and rng.random() < 0.2:
        factor = float(rng.choice([1e-7, 1e-5, 1e5]))
    x = cases.input(first, scale=a, zero_point=zero_point(rng))
    if constant:
        values = rng.integers(-128, 128, second)
        y = cases.constant(values, "int8", scale=b, zero_point=zero_point(rng))
    else:
        y = cases.input(second, scale=b, zero_point=zero_point(rng))
    out = np.broadcast_shapes(first, second)
    target = cases.tensor(
        out, scale=float(np.float32(natural * factor)), zero_point=zero_point(rng)
    )
    operands = [x, y] if rng.random() < 0.7 else [y, x]
    activation = str(rng.choice(ACTIVATIONS))
    options = OPTIONS[kind](activation=activation) if kind in OPTIONS else None  # type: ignore[call-arg]
    cases.op(kind, operands, [target], options)


def add_pool(cases: Cases, rng: Rng, kind: str) -> None:
    size = tuple(int(v) for v in rng.integers(1, 14, 2))
    kernel = tuple(int(v) for v in rng.integers(1, 8, 2))
    stride = tuple(int(v) for v in rng.integers(1, 4, 2))
    fits = all(k <= s for k, s in zip(kernel, size, strict=True))
    same = rng.random() < 0.5 or not fits
    sides = [same_padding(size[i], kernel[i], stride[i]) if same else (0, 0) for i in range(2)]
    out = [out_size(size[i], kernel[i], stride[i], 1, *sides[i]) for i in range(2)]
    channels = int(rng.choice([1, 3, 4, 8, 17, 33]))
    quant = {"scale": scale(rng), "zero_point": zero_point(rng)}
    source = cases.input((1, *size, channels), **quant)
    target = cases.tensor((1, *out, channels), **quant)
    options = PoolOptions(
        kernel, stride, Padding(*sides[0], *sides[1]), str(rng.choice(ACTIVATIONS))
    )
    cases.op(kind, [source], [target], options)


def add_reduction(cases: Cases, rng: Rng, kind: str, shape: Shape, axes: list[int]) -> None:
    a, zero = scale(rng), zero_point(rng)
    keep = bool(rng.random() < 0.5)
    folded = {axis % len(shape) for axis in axes}
    out = [1 if i in folded else size for i, size in enumerate(shape) if keep or i not in folded]
    if kind in ("MEAN", "SUM"):
        factor = 10 ** rng.uniform(-1, 1)
        if kind == "SUM":
            factor *= math.sqrt(math.prod(shape[i] for i in folded))
        quant = {"scale": float(np.float32(a * factor)), "zero_point": zero_point(rng)}
    else:
        quant = {"scale": a, "zero_point": zero}
    source = cases.input(shape, scale=a, zero_point=zero)
    axis = cases.constant(np.array(axes, np.int32))
    cases.op(kind, [source, axis], [cases.tensor(out, **quant)], ReducerOptions(keep))


def add_transpose_conv(cases: Cases, rng: Rng) -> None:
    """One random transposed convolution, SAME or VALID with any output that fits."""
    depth, channels = (int(rng.choice(CHANNELS[:11])) for _ in range(2))
    kernel = tuple(int(v) for v in rng.integers(1, 6, 2))
    stride = tuple(int(v) for v in rng.integers(1, 4, 2))
    source = source_tensor(cases, rng, (1, *(int(v) for v in rng.integers(1, 8, 2)), depth))
    if rng.random() < 0.5:  # SAME
        out = tuple(source.shape[1 + i] * stride[i] for i in range(2))
        sides = [same_padding(out[i], kernel[i], stride[i]) for i in range(2)]
    else:
        out = tuple(
            (source.shape[1 + i] - 1) * stride[i] + kernel[i] + int(rng.integers(0, stride[i]))
            for i in range(2)
        )
        sides = [(0, 0), (0, 0)]
    filters = weights(rng, (channels, *kernel, depth), 0 if rng.random() < 0.8 else None)
    target = cases.tensor(
        (1, *out, channels), **output_quant(rng, source, filters, kernel[0] * kernel[1] * depth)
    )
    inputs = [cases.constant(target.shape), filters, source]
    if rng.random() < 0.7:
        assert filters.quant is not None
        inputs.append(bias(rng, channels, filters.quant.scale * source.scale, 3000))
    options = TransposeConvOptions(
        stride, Padding(*sides[0], *sides[1]), str(rng.choice(ACTIVATIONS))
    )
    cases.op("TRANSPOSE_CONV", inputs, [target], options)


def add_fully_connected(cases: Cases, rng: Rng) -> None:
    """One random fully connected, per tensor or per channel, of one or more rows."""
    depth = int(rng.choice([1, 2, 3, 5, 8, 17, 64, 131]))
    channels = int(rng.choice(CHANNELS))
    lead = [(1,), (3,), (1, 4), (2, 3)][int(rng.integers(0, 4))]
    source = source_tensor(cases, rng, (*lead, depth))
    keep = bool(rng.random() < 0.5)
    rows = math.prod(lead)
    filters = weights(rng, (channels, depth), 0 if rng.random() < 0.5 else None)
    target = cases.tensor(
        (*lead, channels) if keep else (rows, channels),
        **output_quant(rng, source, filters, depth),
    )
    inputs = [source, filters]
    if rng.random() < 0.7:
        assert filters.quant is not None
        scale = (filters.quant.scale * np.float32(source.scale)).astype(np.float32)
        inputs.append(bias(rng, channels, scale, 5000))
    options = FullyConnectedOptions(str(rng.choice(ACTIVATIONS)), keep_num_dims=keep)
    cases.op("FULLY_CONNECTED", inputs, [target], options)


def add_batch_matmul(cases: Cases, rng: Rng) -> None:
    """One random product of matrices, in batches that may broadcast, either side transposed."""
    rows, depth, columns = (int(v) for v in rng.integers(1, 12, 3))
    batches = [
        ((), ()),
        ((3,), (3,)),
        ((2, 3), (2, 3)),
        ((1,), (4,)),
        ((2, 3), (3,)),
        ((2, 1), (1, 3)),
    ]
    left_batch, right_batch = batches[int(rng.integers(len(batches)))]
    adj_x, adj_y = bool(rng.random() < 0.3), bool(rng.random() < 0.5)
    left_shape = (*left_batch, *((depth, rows) if adj_x else (rows, depth)))
    right_shape = (*right_batch, *((columns, depth) if adj_y else (depth, columns)))
    a, b = scale(rng), scale(rng)
    left = cases.input(left_shape, scale=a, zero_point=zero_point(rng))
    right = cases.input(right_shape, scale=b, zero_point=zero_point(rng))
    batch = np.broadcast_shapes(left_batch, right_batch)
    factor = 74 * 74 * math.sqrt(depth) / 50 * 10 ** rng.uniform(-1, 1)
    quant = {"scale": float(np.float32(a * b * factor)), "zero_point": zero_point(rng)}
    target = cases.tensor((*batch, rows, columns), **quant)
    cases.op("BATCH_MATMUL", [left, right], [target], BatchMatMulOptions(adj_x, adj_y))
