"""One op of every kind and its variants, as cases of one model: shapes that TFLM accepts.

`all_cases()` gives a `kernels.opgraph.Cases` whose ops cover the whole op table, with odd sizes,
strides, dilations, both paddings and all flags, so that one run of TFLM answers for all of them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from kernels.opgraph import Cases

from tflm_opt.graph import ir, options


class Builder:
    """Adds ops to one `Cases`, every one on inputs of its own."""

    def __init__(self, seed: int = 0) -> None:
        self.cases = Cases()
        self.rng = np.random.default_rng(seed)

    def data(self, *shape: int) -> ir.Tensor:
        return self.cases.input(shape, scale=0.02, zero_point=int(self.rng.integers(-20, 20)))

    def numbers(self, *values: int) -> ir.Tensor:
        return self.cases.constant(list(values))

    def filters(self, shape: Sequence[int], axis: int) -> ir.Tensor:
        values = self.rng.integers(-127, 128, shape).astype(np.int8)
        scale = self.rng.uniform(0.004, 0.008, shape[axis]).astype(np.float32)
        quant = ir.Quantization(scale, np.zeros(shape[axis], np.int64), axis)
        self.cases.count += 1
        return ir.Tensor(f"w{self.cases.count}", tuple(shape), "int8", quant, values)

    def add(
        self,
        kind: str,
        inputs: Sequence[ir.Tensor],
        *shapes: Sequence[int],
        record: options.Options | None = None,
        scale: float = 0.02,
        zero_point: int = 3,
        dtype: str = "int8",
    ) -> None:
        outputs = [self.cases.tensor(s, dtype, scale, zero_point) for s in shapes]
        self.cases.op(kind, inputs, outputs, record)

    def move(
        self,
        kind: str,
        inputs: Sequence[ir.Tensor],
        *shapes: Sequence[int],
        record: options.Options | None = None,
    ) -> None:
        """Data only moves: the outputs keep the quantization of the first int8 input."""
        source = next(t for t in inputs if t.dtype == "int8")
        self.add(
            kind, inputs, *shapes, record=record, scale=source.scale, zero_point=source.zero_point
        )


def same(size: int, kernel: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """TFLite's SAME padding, written from its documentation and not with the code under test."""
    total = max((math.ceil(size / stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2


def windows(b: Builder) -> None:
    """Convolutions and pooling, SAME and VALID."""
    for height, kernel, stride, dilation, valid in itertools.product(
        (7, 8), (1, 2, 3), (1, 2, 3), (1, 2), (False, True)
    ):
        width, extent = height + 1, (kernel - 1) * dilation + 1
        if dilation > 1 and stride > 1:
            continue
        sizes = [
            (n - extent) // stride + 1 if valid else math.ceil(n / stride) for n in (height, width)
        ]
        sides = [(0, 0) if valid else same(n, kernel, stride, dilation) for n in (height, width)]
        padding = options.Padding(*sides[0], *sides[1])
        conv = options.ConvOptions((stride, stride), padding, (dilation, dilation))
        spread = 0.02 * 0.006 * 100 * math.sqrt(kernel * kernel)
        b.add(
            "CONV_2D",
            [b.data(1, height, width, 2), b.filters((3, kernel, kernel, 2), 0)],
            (1, *sizes, 3),
            record=conv,
            scale=2 * spread,
        )
        b.add(
            "DEPTHWISE_CONV_2D",
            [b.data(1, height, width, 2), b.filters((1, kernel, kernel, 4), 3)],
            (1, *sizes, 4),
            record=conv,
            scale=spread,
        )
        if dilation == 1:
            pool = options.PoolOptions((kernel, kernel), (stride, stride), padding)
            for kind in ("AVERAGE_POOL_2D", "MAX_POOL_2D"):
                source = b.data(1, height, width, 2)
                b.move(kind, [source], (1, *sizes, 2), record=pool)


def transposed(b: Builder) -> None:
    for kernel, stride, valid in itertools.product((2, 3, 4), (1, 2, 3), (False, True)):
        height, width = 4, 3
        out = [(n - 1) * stride + kernel if valid else n * stride for n in (height, width)]
        sides = [(0, 0) if valid else same(n, kernel, stride) for n in out]
        record = options.TransposeConvOptions(
            (stride, stride), options.Padding(*sides[0], *sides[1])
        )
        b.add(
            "TRANSPOSE_CONV",
            [
                b.numbers(1, *out, 3),
                b.filters((3, kernel, kernel, 2), 0),
                b.data(1, height, width, 2),
            ],
            (1, *out, 3),
            record=record,
            scale=0.02 * 0.006 * 200,
        )


def elementwise(b: Builder) -> None:
    shape = (1, 5, 4, 3)
    for kind in ("RELU", "RELU6", "ELU", "HARD_SWISH", "ABS"):
        b.add(kind, [b.data(*shape)], shape)
    b.add("TANH", [b.data(*shape)], shape, scale=1 / 128, zero_point=0)
    b.add("LOGISTIC", [b.data(*shape)], shape, scale=1 / 256, zero_point=-128)
    b.add("LEAKY_RELU", [b.data(*shape)], shape, record=options.LeakyReluOptions(0.25))
    positive = b.cases.input(shape, scale=0.02, zero_point=-128)
    b.add("RSQRT", [positive], shape, scale=0.05, zero_point=-128)
    b.add("QUANTIZE", [b.data(*shape)], shape, scale=0.03)
    b.add("QUANTIZE", [b.cases.input(shape, "float32")], shape, scale=0.5)
    b.add("DEQUANTIZE", [b.data(*shape)], shape, dtype="float32")
    b.add(
        "SOFTMAX",
        [b.data(*shape)],
        shape,
        record=options.SoftmaxOptions(1.0),
        scale=1 / 256,
        zero_point=-128,
    )
    records = {
        "ADD": options.AddOptions(),
        "SUB": options.SubOptions(),
        "MUL": options.MulOptions("RELU"),
        "SQUARED_DIFFERENCE": None,
        "MINIMUM": None,
        "MAXIMUM": None,
    }
    for kind, record in records.items():
        for other in (shape, (1, 1, 1, 3), (3,), (1, 5, 1, 1)):
            scale = 0.02 if kind in ("MINIMUM", "MAXIMUM") else 0.04
            b.add(kind, [b.data(*shape), b.data(*other)], shape, record=record, scale=scale)
    b.add("PRELU", [b.data(*shape), b.data(1, 1, 3)], shape)


def dense(b: Builder) -> None:
    record = options.FullyConnectedOptions
    for shape, out, keep in (
        ((1, 6), (1, 4), False),
        ((1, 2, 3), (1, 4), False),
        ((1, 5, 6), (1, 5, 4), True),
        ((1, 3, 5, 6), (15, 4), False),
    ):
        values = b.rng.integers(-127, 128, (4, 6)).astype(np.int8)
        weights = b.cases.tensor((4, 6), scale=0.006, data=values)
        b.add(
            "FULLY_CONNECTED",
            [b.data(*shape), weights],
            out,
            record=record(keep_num_dims=keep),
            scale=0.02 * 0.006 * 300,
        )

    for flip_a, flip_b in itertools.product((False, True), repeat=2):
        a, c = (4, 3) if flip_a else (3, 4), (5, 4) if flip_b else (4, 5)
        b.add(
            "BATCH_MATMUL",
            [b.data(1, 2, *a), b.data(1, 1, *c)],
            (1, 2, 3, 5),
            record=options.BatchMatMulOptions(flip_a, flip_b),
            scale=0.1,
        )


def reductions(b: Builder) -> None:
    shape = (1, 5, 4, 3)
    for kind, axes, keep in itertools.product(
        ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN"), ((1, 2), (2,), (-1,), (1,)), (False, True)
    ):
        at = {axis % 4 for axis in axes}
        out = [1 if i in at else n for i, n in enumerate(shape) if keep or i not in at]
        inputs = [b.data(*shape), b.numbers(*axes)]
        if kind in ("MEAN", "SUM"):
            b.add(kind, inputs, out, record=options.ReducerOptions(keep), scale=0.03)
        else:
            b.move(kind, inputs, out, record=options.ReducerOptions(keep))


def joins_and_cuts(b: Builder) -> None:
    join = options.ConcatenationOptions
    for axis in (1, 2, 3, -1):
        first = b.data(1, 4, 3, 2)
        second_shape = [1, 4, 3, 2]
        second_shape[axis] += 1
        second = b.cases.input(second_shape, scale=first.scale, zero_point=first.zero_point)
        out = [1, 4, 3, 2]
        out[axis] += second_shape[axis]
        b.move("CONCATENATION", [first, second], out, record=join(axis))
    b.move(
        "SLICE", [b.data(1, 7, 6, 2), b.numbers(0, 2, 1, 0), b.numbers(1, 3, -1, 2)], (1, 3, 5, 2)
    )
    cut = options.StridedSliceOptions
    for begin, end, stride, out, record in (
        ((0, 1, 0, 0), (1, 7, 6, 2), (1, 2, 1, 1), (1, 3, 6, 2), cut()),
        ((0, -2, 5, 0), (1, 7, -7, 2), (1, 1, -1, 1), (1, 2, 6, 2), cut()),
        ((0, 3, 0, 0), (1, 4, 6, 2), (1, 1, 1, 1), (1, 6, 2), cut(shrink_axis_mask=2)),
        ((0, 3, 4, 0), (0, 0, 0, 0), (1, 1, 1, 1), (1, 4, 2, 2), cut(0b1001, 0b1111)),
    ):
        if record.begin_mask:
            begin, out = (0, 3, 4, 0), (1, 4, 2, 2)
        b.move(
            "STRIDED_SLICE",
            [b.data(1, 7, 6, 2), b.numbers(*begin), b.numbers(*end), b.numbers(*stride)],
            out,
            record=record,
        )
    b.move(
        "SPLIT",
        [b.numbers(1), b.data(1, 6, 3, 2)],
        *[(1, 2, 3, 2)] * 3,
        record=options.SplitOptions(3),
    )
    b.move(
        "SPLIT_V",
        [b.data(1, 6, 3, 2), b.numbers(1, 2, 3), b.numbers(1)],
        (1, 1, 3, 2),
        (1, 2, 3, 2),
        (1, 3, 3, 2),
        record=options.SplitVOptions(3),
    )
    first = b.data(4, 3)
    second = b.cases.input((4, 3), scale=first.scale, zero_point=first.zero_point)
    b.move("PACK", [first, second], (4, 2, 3), record=options.PackOptions(2, 1))
    b.move("UNPACK", [b.data(1, 2, 3)], (1, 3), (1, 3), record=options.UnpackOptions(2, 1))
    b.move(
        "GATHER", [b.data(1, 5, 3), b.numbers(4, 0, 2)], (1, 3, 3), record=options.GatherOptions(1)
    )


def moves(b: Builder) -> None:
    sides = b.cases.constant([[0, 0], [1, 2], [2, 1], [0, 0]])
    b.move("PAD", [b.data(1, 4, 5, 2), sides], (1, 7, 8, 2))
    source = b.data(1, 4, 5, 2)
    value = b.cases.constant([5], "int8", scale=source.scale, zero_point=source.zero_point)
    b.move("PADV2", [source, sides, value], (1, 7, 8, 2))
    for mode in (0, 1):
        b.move(
            "MIRROR_PAD",
            [b.data(1, 4, 5, 2), sides],
            (1, 7, 8, 2),
            record=options.MirrorPadOptions(mode),
        )
    b.move(
        "RESHAPE", [b.data(1, 4, 5, 2), b.numbers(1, -1)], (1, 40), record=options.ReshapeOptions()
    )
    b.move("SQUEEZE", [b.data(1, 4, 1, 2)], (1, 4, 2), record=options.SqueezeOptions((2,)))
    b.move("EXPAND_DIMS", [b.data(1, 4, 2), b.numbers(-2)], (1, 4, 1, 2))
    for order in itertools.permutations((1, 2, 3)):
        shape = (1, 4, 5, 2)
        b.move("TRANSPOSE", [b.data(*shape), b.numbers(0, *order)], (1, *(shape[i] for i in order)))
    b.move("REVERSE_V2", [b.data(1, 4, 5, 2), b.numbers(1)], (1, 4, 5, 2))
    b.move("BROADCAST_TO", [b.data(1, 1, 5, 1), b.numbers(1, 4, 5, 3)], (1, 4, 5, 3))
    b.move(
        "SPACE_TO_DEPTH", [b.data(1, 4, 6, 2)], (1, 2, 3, 8), record=options.SpaceToDepthOptions(2)
    )
    b.move(
        "DEPTH_TO_SPACE", [b.data(1, 4, 3, 8)], (1, 8, 6, 2), record=options.DepthToSpaceOptions(2)
    )
    flat = b.cases.input((1, 4, 6, 2), scale=0.02, zero_point=0)
    b.move(
        "SPACE_TO_BATCH_ND",
        [flat, b.numbers(2, 2), b.cases.constant([[1, 1], [0, 2]])],
        (4, 3, 4, 2),
    )
    b.move(
        "BATCH_TO_SPACE_ND",
        [b.data(4, 3, 4, 2), b.numbers(2, 2), b.cases.constant([[1, 1], [0, 2]])],
        (1, 4, 6, 2),
    )


def resizes(b: Builder) -> None:
    for size, out in ((4, 8), (5, 7), (7, 4), (3, 10), (1, 3), (4, 1)):
        for corners, centers in ((False, False), (True, False), (False, True)):
            record = options.ResizeBilinearOptions(corners, centers)
            b.move(
                "RESIZE_BILINEAR",
                [b.data(1, size, size + 1, 2), b.numbers(out, out)],
                (1, out, out, 2),
                record=record,
            )
            near = options.ResizeNearestNeighborOptions(corners, centers)
            b.move(
                "RESIZE_NEAREST_NEIGHBOR",
                [b.data(1, size, size + 1, 2), b.numbers(out, out)],
                (1, out, out, 2),
                record=near,
            )


def all_cases() -> Cases:
    b = Builder()
    for add in (
        windows,
        transposed,
        elementwise,
        dense,
        reductions,
        joins_and_cuts,
        moves,
        resizes,
    ):
        add(b)
    return b.cases
