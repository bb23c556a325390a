"""Ops on int16 data with int8 weights, as cases of one model: all that the wheel of TFLM runs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from opgraph import Cases

from tflm_opt.graph import ir, options

SCALE = 0.0003
SIDE = 1 / 32768


class Builder:
    """Adds ops to one `Cases`, each on inputs of its own."""

    def __init__(self, seed: int = 0) -> None:
        self.cases = Cases()
        self.rng = np.random.default_rng(seed)

    def data(self, *shape: int, scale: float = SCALE) -> ir.Tensor:
        return self.cases.input(shape, "int16", scale=scale)

    def numbers(self, *values: int) -> ir.Tensor:
        return self.cases.constant(list(values))

    def filters(self, shape: Sequence[int], axis: int | None) -> ir.Tensor:
        """Per channel along an axis, or with one scale."""
        values = self.rng.integers(-127, 128, shape).astype(np.int8)
        count = 1 if axis is None else shape[axis]
        scale = self.rng.uniform(0.004, 0.008, count).astype(np.float32)
        quant = ir.Quantization(scale, np.zeros(count, np.int64), axis or 0)
        self.cases.count += 1
        return ir.Tensor(f"w{self.cases.count}", tuple(shape), "int8", quant, values)

    def bias(self, filters: ir.Tensor, count: int, dtype: str | None) -> list[ir.Tensor]:
        """int64 ones beyond 32 bits among them; None: no bias."""
        if dtype is None:
            return []
        most = 1 << (35 if dtype == "int64" else 22)
        values = self.rng.integers(-most, most, count)
        assert filters.quant is not None
        scale = (filters.quant.scale * np.float32(SCALE)).astype(np.float32)
        quant = ir.Quantization(scale, np.zeros(scale.size, np.int64), 0)
        self.cases.count += 1
        return [ir.Tensor(f"b{self.cases.count}", (count,), dtype, quant, values.astype(dtype))]

    def add(
        self,
        kind: str,
        inputs: Sequence[ir.Tensor],
        *shapes: Sequence[int],
        record: options.Options | None = None,
        scale: float = SCALE,
        zero_point: int = 0,
        dtype: str = "int16",
    ) -> None:
        outputs = [self.cases.tensor(s, dtype, scale, zero_point) for s in shapes]
        self.cases.op(kind, inputs, outputs, record)


def _sides(size: int, kernel: int, stride: int, dilation: int, same: bool) -> tuple[int, int, int]:
    """(before, after, output size)"""
    extent = (kernel - 1) * dilation + 1
    if not same:
        return 0, 0, (size - extent) // stride + 1
    out = math.ceil(size / stride)
    total = max((out - 1) * stride + extent - size, 0)
    return total // 2, total - total // 2, out


def convolutions(b: Builder) -> None:
    """Both kinds, with all biases; channels that fill words and that don't."""
    biases = itertools.cycle(("int64", "int32", None))
    types = itertools.cycle((0, 2, 4))
    names = itertools.cycle(("NONE", "RELU", "RELU6", "RELU_N1_TO_1"))
    shapes = ((1, 4, 6), (2, 3, 5), (3, 8, 8), (3, 1, 3), (5, 60, 3))
    for (kernel, depth, channels), stride, dilation, same in itertools.product(
        shapes, (1, 2), (1, 2), (True, False)
    ):
        if dilation > 1 and stride > 1:
            continue
        height, width = 9, 10
        top, bottom, rows = _sides(height, kernel, stride, dilation, same)
        left, right, columns = _sides(width, kernel, stride, dilation, same)
        padding = options.Padding(top, bottom, left, right)
        spread = SCALE * 0.006 * 100 * math.sqrt(kernel * kernel * depth)
        dtype, axis = next(biases), (0 if depth != 3 else None)
        filters = b.filters((channels, kernel, kernel, depth), axis)
        record = options.ConvOptions(
            (stride, stride), padding, (dilation, dilation), next(names), next(types)
        )
        b.add(
            "CONV_2D",
            [b.data(1, height, width, depth), filters, *b.bias(filters, channels, dtype)],
            (1, rows, columns, channels),
            record=record,
            scale=spread,
        )
        if kernel == 5:
            continue
        for multiplier in (1, 2):
            made = depth * multiplier
            filters = b.filters((1, kernel, kernel, made), 3)
            bias = b.bias(filters, made, "int64" if dtype else None)
            b.add(
                "DEPTHWISE_CONV_2D",
                [b.data(1, height, width, depth), filters, *bias],
                (1, rows, columns, made),
                record=record,
                scale=SCALE * 0.006 * 100 * kernel,
            )


def pools(b: Builder) -> None:
    for kernel, stride, same in itertools.product((2, 3), (1, 2), (True, False)):
        top, bottom, rows = _sides(7, kernel, stride, 1, same)
        left, right, columns = _sides(8, kernel, stride, 1, same)
        record = options.PoolOptions(
            (kernel, kernel), (stride, stride), options.Padding(top, bottom, left, right), "RELU6"
        )
        for kind in ("AVERAGE_POOL_2D", "MAX_POOL_2D"):
            b.add(kind, [b.data(1, 7, 8, 3)], (1, rows, columns, 3), record=record)


def dense(b: Builder) -> None:
    cases = itertools.product((6, 8, 1100), (None, 0), ("int64", "int32", None), (0, 2, 4))
    for depth, axis, dtype, bias_type in cases:
        if dtype and bias_type:
            continue
        filters = b.filters((5, depth), axis)
        b.add(
            "FULLY_CONNECTED",
            [b.data(1, 3, depth), filters, *b.bias(filters, 5, dtype)],
            (1, 3, 5),
            record=options.FullyConnectedOptions(keep_num_dims=True, quantized_bias_type=bias_type),
            scale=SCALE * 0.006 * 60 * math.sqrt(depth),
        )


def elementwise(b: Builder) -> None:
    shape = (1, 5, 4, 3)
    for scale in (SCALE, 3 * SCALE):
        b.add("RELU", [b.data(*shape)], shape, scale=scale)
        b.add("RELU6", [b.data(*shape)], shape, scale=SCALE)
        b.add(
            "LEAKY_RELU", [b.data(*shape)], shape, record=options.LeakyReluOptions(0.1), scale=scale
        )
    for scale in (1 / 4096, 1 / 2048, 1 / 1024, 0.00001, 0.00031, 0.0009):
        for kind in ("LOGISTIC", "TANH"):
            b.add(kind, [b.data(1, 9, 9, 9, scale=scale)], (1, 9, 9, 9), scale=SIDE)
    for scale, size in ((0.0001, 10), (0.0005, 3), (0.002, 40), (0.00002, 200)):
        b.add(
            "SOFTMAX",
            [b.data(1, 7, size, scale=scale)],
            (1, 7, size),
            record=options.SoftmaxOptions(1.0),
            scale=SIDE,
        )
    records = {
        "ADD": options.AddOptions("RELU6"),
        "SUB": options.SubOptions("NONE"),
        "MUL": options.MulOptions("RELU"),
    }
    for kind, record in records.items():
        for other in (shape, (1, 1, 1, 3), (3,), (1, 5, 1, 1)):
            for scale in (SCALE, 0.4 * SCALE):
                inputs = [b.data(*shape, scale=scale), b.data(*other)]
                b.add(kind, inputs, shape, record=record, scale=4 * SCALE)


def reductions(b: Builder) -> None:
    shape = (1, 5, 4, 3)
    for kind, axes, keep in itertools.product(
        ("MEAN", "SUM"), ((1, 2), (2,), (-1,), (1,)), (False, True)
    ):
        at = {axis % 4 for axis in axes}
        out = [1 if i in at else n for i, n in enumerate(shape) if keep or i not in at]
        inputs = [b.data(*shape), b.numbers(*axes)]
        b.add(kind, inputs, out, record=options.ReducerOptions(keep), scale=1.7 * SCALE)


def conversions(b: Builder) -> None:
    shape = (1, 5, 4, 3)
    b.add("QUANTIZE", [b.cases.input(shape, "float32")], shape, scale=0.01)
    b.add("DEQUANTIZE", [b.data(*shape)], shape, dtype="float32")
    b.add("QUANTIZE", [b.data(*shape)], shape, scale=0.7 * SCALE)
    b.add("QUANTIZE", [b.data(*shape)], shape, scale=200 * SCALE, zero_point=-7, dtype="int8")
    b.add("QUANTIZE", [b.cases.input(shape, scale=0.02, zero_point=9)], shape, scale=SCALE)


def moves(b: Builder) -> None:
    sides = b.cases.constant([[0, 0], [1, 2], [2, 1], [0, 0]])
    b.add("PAD", [b.data(1, 4, 5, 2), sides], (1, 7, 8, 2))
    for axis in (1, 2, 3):
        out = [1, 4, 3, 2]
        out[axis] *= 2
        b.add(
            "CONCATENATION",
            [b.data(1, 4, 3, 2), b.data(1, 4, 3, 2)],
            out,
            record=options.ConcatenationOptions(axis),
        )
    b.add(
        "RESHAPE", [b.data(1, 4, 5, 2), b.numbers(1, -1)], (1, 40), record=options.ReshapeOptions()
    )
    b.add("TRANSPOSE", [b.data(1, 4, 5, 2), b.numbers(0, 3, 1, 2)], (1, 2, 4, 5))
    b.add(
        "SLICE", [b.data(1, 7, 6, 2), b.numbers(0, 2, 1, 0), b.numbers(1, 3, -1, 2)], (1, 3, 5, 2)
    )
    b.add(
        "SPLIT",
        [b.numbers(1), b.data(1, 6, 3, 2)],
        *[(1, 2, 3, 2)] * 3,
        record=options.SplitOptions(3),
    )


def all_cases(seed: int = 0) -> Cases:
    b = Builder(seed)
    for add in (convolutions, pools, dense, elementwise, reductions, conversions, moves):
        add(b)
    return b.cases
