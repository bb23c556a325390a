"""Layers as they occur in nets for microcontrollers, each a model of one op, and what to reach.

    for case in sweep():
        tflite, macs, outputs = model(case)

Weights, biases and scales are drawn from a seed: weights from a normal distribution, as training
leaves them. Layers that make fewer channels of many are linear, all others end in a ReLU.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tflm_opt import graph
from tflm_opt.graph import ir
from tflm_opt.graph import options as opt

Shape = tuple[int, ...]

POINTWISE = ((8, 48), (16, 48), (16, 96), (24, 144), (48, 16), (64, 64), (128, 128), (240, 40))
MAPS = (40, 20, 10, 5, 3)
ROWS = (40, 20, 10, 5)
PAIRS: dict[str, type[opt.AddOptions] | type[opt.MulOptions]] = {
    "ADD": opt.AddOptions,
    "MUL": opt.MulOptions,
}
FLOATS = ("QUANTIZE", "DEQUANTIZE")


@dataclass(frozen=True, slots=True)
class Case:
    """One layer: `filter` is the shape of its weights in the file, None for ops without."""

    kind: str
    source: Shape
    filter: Shape | None = None
    window: tuple[int, int] = (1, 1)
    stride: int = 1
    dilation: int = 1
    same: bool = True

    @property
    def name(self) -> str:
        parts = ["x".join(map(str, self.source[1:]))]
        if self.kind in ("CONV_2D", "FULLY_CONNECTED") and self.filter is not None:
            parts.append(f"to {self.filter[0]}")
        elif self.filter is not None and self.filter[3] != self.depth:  # depthwise
            parts.append(f"to {self.filter[3]}")
        if self.window != (1, 1):
            parts.append(f"{self.window[0]}x{self.window[1]}")
        if self.stride != 1:
            parts.append(f"stride {self.stride}")
        if self.dilation != 1:
            parts.append(f"dilation {self.dilation}")
        return " ".join(parts + ([] if self.same else ["valid"]))

    @property
    def depth(self) -> int:
        """Input channels."""
        return self.source[-1]


def conv(size: int, channels: int, out: int, k: int = 1, **more: Any) -> Case:
    return Case("CONV_2D", (1, size, size, channels), (out, k, k, channels), (k, k), **more)


def row(width: int, channels: int, out: int) -> Case:
    """A pointwise convolution of one row, as streamed stages call it."""
    return Case("CONV_2D", (1, 1, width, channels), (out, 1, 1, channels))


def depthwise(size: int, channels: int, k: int, **more: Any) -> Case:
    shape = (1, size, size, channels)
    return Case("DEPTHWISE_CONV_2D", shape, (1, k, k, channels), (k, k), **more)


def dense(depth: int, out: int) -> Case:
    return Case("FULLY_CONNECTED", (1, depth), (out, depth))


def sweep() -> Iterator[Case]:
    """Every kernel on the shapes of real nets, and what is odd about them."""
    for channels, out in POINTWISE:
        yield from (conv(size, channels, out) for size in MAPS)
    for width in ROWS:
        yield from (row(width, 16, 96), row(width, 64, 64))
    yield from (conv(10, 137, 24), conv(20, 5, 3), conv(20, 16, 32, stride=2))
    for channels in (16, 32, 64):
        yield from (conv(size, channels, channels, 3) for size in (32, 16, 8, 3))
    yield from (conv(16, 16, 32, 3, stride=2), conv(16, 32, 32, 3, same=False))
    yield from (conv(16, 16, 16, 3, dilation=2), conv(80, 3, 16, 3, stride=2))
    yield from (conv(32, 3, 16, 3, stride=2), conv(32, 3, 16, 3), conv(16, 1, 8, 5))
    yield Case("CONV_2D", (1, 49, 10, 1), (64, 10, 4, 1), (10, 4), 2)
    for size, channels in ((40, 16), (20, 48), (10, 96), (6, 144), (3, 240)):
        yield from (depthwise(size, channels, 3), depthwise(size, channels, 3, stride=2))
    for k in (5, 7):
        yield from (depthwise(20, 48, k), depthwise(10, 96, k), depthwise(5, 200, k))
        yield depthwise(10, 96, k, stride=2)
    yield from (depthwise(10, 47, 3), depthwise(20, 48, 3, same=False))
    yield from (depthwise(16, 16, 3, dilation=2), depthwise(20, 48, 3, dilation=2))
    yield Case("DEPTHWISE_CONV_2D", (1, 16, 16, 8), (1, 3, 3, 32), (3, 3))
    yield Case("DEPTHWISE_CONV_2D", (1, 49, 40, 1), (1, 10, 8, 8), (10, 8), 2)
    yield from (dense(640, 128), dense(128, 128), dense(128, 8))
    for kind in PAIRS:
        yield from (Case(kind, (1, size, size, 16)) for size in (20, 3))
    yield from (pool("AVERAGE", 8, 64, 8, 8), pool("AVERAGE", 16, 16, 3, 1))
    yield from (pool("MAX", 16, 16, 2, 2), pool("MAX", 16, 16, 3, 1))
    yield from (Case("MEAN", (1, 8, 8, 64)), Case("SOFTMAX", (1, 12)))
    yield from (Case(kind, (1, 32, 32, 3)) for kind in FLOATS)


def pool(kind: str, size: int, channels: int, k: int, stride: int) -> Case:
    shape = (1, size, size, channels)
    return Case(f"{kind}_POOL_2D", shape, None, (k, k), stride, same=stride == 1)


def goal(case: Case, board: str) -> float | None:
    """Instructions per multiply-accumulate to stay below, or None."""
    if board == "qemu_m4":
        return _goal_dsp(case)
    if board == "qemu_m55":
        if case.kind == "CONV_2D" and case.window == (1, 1) and case.depth == 64:
            return 0.25
        single = case.filter is not None and case.filter[-1] == case.depth
        if case.kind == "DEPTHWISE_CONV_2D" and case.window == (3, 3) and single:
            return 1.5
    return None


def _goal_dsp(case: Case) -> float | None:
    if case.kind == "FULLY_CONNECTED":
        return 1.35
    if case.kind == "DEPTHWISE_CONV_2D":
        if case.filter is not None and case.filter[3] != case.depth:
            return None
        if case.window == (3, 3):
            return 2.0 if case.stride == 1 else 2.6
        return {5: 1.6, 7: 1.3}.get(case.window[0]) if case.stride == 1 else None
    if case.kind != "CONV_2D":
        return None
    if case.window == (1, 1):
        return 0.85 if case.depth >= 48 else 1.1 if case.depth >= 16 else None
    if case.window == (3, 3):
        return 0.85 if case.depth >= 16 else 1.1
    return None


def padding(case: Case) -> tuple[opt.Padding, tuple[int, int]]:
    """SAME or VALID padding, and the output's height and width."""
    sizes = case.source[1:3]
    if not case.same:
        reach = [(k - 1) * case.dilation + 1 for k in case.window]
        made = [(n - r) // case.stride + 1 for n, r in zip(sizes, reach, strict=True)]
        return opt.Padding(), (made[0], made[1])
    pads = [
        opt.same_padding(n, k, case.stride, case.dilation)
        for n, k in zip(sizes, case.window, strict=True)
    ]
    return opt.Padding(*pads[0], *pads[1]), (
        -(-sizes[0] // case.stride),
        -(-sizes[1] // case.stride),
    )


def tensor(name: str, shape: Shape, scale: float, zero_point: int = 0) -> ir.Tensor:
    return ir.Tensor(name, shape, "int8", ir.Quantization.per_tensor(scale, zero_point))


def constants(case: Case, rng: np.random.Generator) -> tuple[ir.Tensor, ir.Tensor]:
    """Weights and biases, with one scale for each output channel but in fully connected ops."""
    assert case.filter is not None
    axis = 3 if case.kind == "DEPTHWISE_CONV_2D" else 0
    channels = case.filter[axis]
    count = 1 if case.kind == "FULLY_CONNECTED" else channels
    scale = rng.uniform(0.5, 2.0, count).astype(np.float32) / 128
    zeros = np.zeros(count, np.int64)
    values = np.clip(np.round(rng.normal(0, 32, case.filter)), -127, 127).astype(np.int8)
    bias = rng.integers(-3000, 3000, channels, dtype=np.int32)
    return (
        ir.Tensor("w", case.filter, "int8", ir.Quantization(scale, zeros, axis), values),
        ir.Tensor("b", (channels,), "int32", ir.Quantization(scale * 0.05, zeros), bias),
    )


def model(case: Case, seed: int = 0) -> tuple[bytes, int, int]:
    """The case as a `.tflite`, its multiply-accumulates and its output elements."""
    rng = np.random.default_rng(seed)
    source = tensor("x", case.source, 0.05, -128)
    weights = list(constants(case, rng)) if case.filter is not None else []
    inputs = (source, *weights)
    steps, stretch = (case.stride, case.stride), (case.dilation, case.dilation)
    result = case.source
    record: opt.Options | None = None
    if case.kind in ("CONV_2D", "DEPTHWISE_CONV_2D"):
        borders, size = padding(case)
        result = (1, *size, weights[1].shape[0])
        record = opt.ConvOptions(steps, borders, stretch)
    elif case.kind == "FULLY_CONNECTED":
        result = (1, weights[1].shape[0])
        record = opt.FullyConnectedOptions()
    elif case.kind.endswith("POOL_2D"):
        borders, size = padding(case)
        result = (1, *size, case.source[3])
        record = opt.PoolOptions(case.window, steps, borders)
    elif case.kind in PAIRS:
        inputs = (tensor("x", case.source, 0.05, -7), tensor("y", case.source, 0.07, 3))
        record = PAIRS[case.kind]()
    elif case.kind == "MEAN":
        result = (1, case.depth)
        inputs = (source, ir.Tensor("axes", (2,), "int32", None, np.array([1, 2], np.int32)))
        record = opt.ReducerOptions()
    elif case.kind == "QUANTIZE":
        inputs = (ir.Tensor("x", case.source, "float32"),)
    elif case.kind == "SOFTMAX":
        record = opt.SoftmaxOptions(beta=1.0)
    output = tensor("out", result, *_output_scale(case))
    if case.kind == "DEQUANTIZE":
        output = ir.Tensor("out", result, "float32")
    op = ir.Op(case.kind, inputs, (output,), record)
    free = tuple(t for t in inputs if t.data is None)
    elements = int(np.prod(result))
    taps = int(np.prod(weights[0].shape)) // weights[1].shape[0] if weights else 0
    return graph.write(ir.Graph((op,), free, (output,))), elements * taps, elements


def _output_scale(case: Case) -> tuple[float, int]:
    if case.kind == "SOFTMAX":
        return 1 / 256, -128
    if case.kind.endswith("POOL_2D"):
        return 0.05, -128
    made = case.filter[0] if case.filter is not None else 0
    linear = case.kind in PAIRS or (case.kind != "DEPTHWISE_CONV_2D" and made < case.depth)
    return 0.3, -10 if linear else -128
