"""Safe distances against a simulation of the access order, element by element.

The simulation knows TFLite's definition of each op, not the planner's formulas: for every output
element it lists the input elements that the definition reads.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import product

import numpy as np
import pytest

from tflm_opt.arena.overlap import in_place_in_tflm, safe_distance
from tflm_opt.graph.ir import Op, Tensor
from tflm_opt.graph.options import (
    ConcatenationOptions,
    ConvOptions,
    Options,
    Padding,
    PoolOptions,
    ReducerOptions,
    ResizeBilinearOptions,
    ResizeNearestNeighborOptions,
    SoftmaxOptions,
    TransposeConvOptions,
    out_size,
)

Reads = list[set[int]]


def tensor(*shape: int, dtype: str = "int8", data: np.ndarray | None = None) -> Tensor:
    return Tensor("t", shape, dtype, data=data)


def constant(values: object) -> Tensor:
    data = np.array(values, np.int32)
    return tensor(*data.shape, dtype="int32", data=data)


def is_safe(reads: Reads, in_size: int, out_size: int, distance: int, block: int) -> bool:
    """Write the output over the input and see whether a byte that is still needed gets lost."""
    lost: set[int] = set()
    for first in range(0, len(reads), block):
        members = range(first, min(first + block, len(reads)))
        # In a block of more than one, any write may come before any read.
        if block > 1:
            lost.update(range(members[0] * out_size, (members[-1] + 1) * out_size))
        for element in members:
            for item in reads[element]:
                start = item * in_size + distance
                if not lost.isdisjoint(range(start, start + in_size)):
                    return False
        lost.update(range(members[0] * out_size, (members[-1] + 1) * out_size))
    return True


def least_safe_distance(reads: Reads, in_size: int, out_size: int, block: int = 1) -> int:
    """The least distance from which on every larger one is safe too, by trying."""
    top = len(reads) * out_size + 1
    best = top
    for distance in range(top, -1, -1):
        if not is_safe(reads, in_size, out_size, distance, block):
            break
        best = distance
    return best


def window_reads(
    op: Op, shape: tuple[int, ...], channels: Callable[[int], Iterator[int] | range]
) -> Reads:
    """What convolution and pooling read, from their definition."""
    options = op.options
    assert isinstance(options, ConvOptions | PoolOptions)
    kernel = options.kernel if isinstance(options, PoolOptions) else op.inputs[1].shape[1:3]  # type: ignore[union-attr]
    dilation = options.dilation if isinstance(options, ConvOptions) else (1, 1)
    _, height, width, depth = shape
    reads: Reads = []
    _, rows, columns, out_depth = op.output.shape
    for oy, ox, oc in product(range(rows), range(columns), range(out_depth)):
        found = set()
        for ky, kx in product(range(kernel[0]), range(kernel[1])):
            y = oy * options.stride[0] - options.padding.top + ky * dilation[0]
            x = ox * options.stride[1] - options.padding.left + kx * dilation[1]
            if 0 <= y < height and 0 <= x < width:
                found.update((y * width + x) * depth + c for c in channels(oc))
        reads.append(found)
    return reads


def random_window_case(rng: random.Random) -> tuple[Op, Reads, int]:
    """A random convolution, depthwise convolution or pooling, what it reads, and its item size."""
    while True:
        height, width = rng.randint(1, 6), rng.randint(1, 6)
        kernel = (rng.randint(1, 4), rng.randint(1, 4))
        stride = (rng.randint(1, 3), rng.randint(1, 3))
        dilation = (rng.randint(1, 2), rng.randint(1, 2))
        padding = Padding(*(rng.randint(0, 2) for _ in range(4)))
        kind = rng.choice(["CONV_2D", "DEPTHWISE_CONV_2D", "AVERAGE_POOL_2D", "MAX_POOL_2D"])
        if kind.endswith("POOL_2D"):
            dilation = (1, 1)
        rows = out_size(height, kernel[0], stride[0], dilation[0], padding.top, padding.bottom)
        columns = out_size(width, kernel[1], stride[1], dilation[1], padding.left, padding.right)
        if rows > 0 and columns > 0:
            break
    group, groups, multiplier = rng.randint(1, 3), rng.randint(1, 2), rng.randint(1, 3)
    depth = group * groups
    size = rng.choice([1, 1, 2])
    dtype = {1: "int8", 2: "int16"}[size]
    source = tensor(1, height, width, depth, dtype=dtype)
    options: Options = ConvOptions(stride, padding, dilation)
    if kind == "CONV_2D":
        per_group = multiplier
        weights = constant(np.zeros((per_group * groups, *kernel, group)))
        out, inputs = per_group * groups, (source, weights)

        def channels(oc: int) -> range:
            return range(oc // per_group * group, (oc // per_group + 1) * group)

    elif kind == "DEPTHWISE_CONV_2D":
        weights = constant(np.zeros((1, *kernel, depth * multiplier)))
        out, inputs = depth * multiplier, (source, weights)

        def channels(oc: int) -> range:
            return range(oc // multiplier, oc // multiplier + 1)

    else:
        options = PoolOptions(kernel, stride, padding)
        out, inputs = depth, (source,)

        def channels(oc: int) -> range:
            return range(oc, oc + 1)

    op = Op(kind, inputs, (tensor(1, rows, columns, out, dtype=dtype),), options)
    return op, window_reads(op, source.shape, channels), size


def test_windows_of_every_geometry_exactly() -> None:
    rng = random.Random(7)
    for _ in range(400):
        op, reads, size = random_window_case(rng)
        for block in (1, rng.randint(2, 7)):
            expected = least_safe_distance(reads, size, size, block)
            assert safe_distance(op, 0, block) == expected, (op, op.options, block)


def simple_cases() -> Iterator[tuple[str, Op, int, Reads]]:
    """Ops of other kinds: name, op, input position, what each output element reads of it."""
    x = tensor(1, 3, 4, 5)
    same = [{i} for i in range(60)]
    yield "unary", Op("RELU", (x,), (tensor(1, 3, 4, 5),)), 0, same
    yield "to float", Op("DEQUANTIZE", (x,), (tensor(1, 3, 4, 5, dtype="float32"),)), 0, same
    real = tensor(1, 3, 4, 5, dtype="float32")
    yield "from float", Op("QUANTIZE", (real,), (x,)), 0, same
    y = tensor(1, 3, 4, 5)
    yield "first of two", Op("ADD", (x, y), (tensor(1, 3, 4, 5),)), 0, same
    yield "second of two", Op("ADD", (x, y), (tensor(1, 3, 4, 5),)), 1, same
    gate = tensor(1, 1, 1, 5)
    gated = Op("MUL", (x, gate), (tensor(1, 3, 4, 5),))
    yield "gated", gated, 0, same
    yield "broadcast over pixels", gated, 1, [{i % 5} for i in range(60)]
    per_pixel = Op("MUL", (x, tensor(1, 3, 4, 1)), (tensor(1, 3, 4, 5),))
    yield "broadcast over channels", per_pixel, 1, [{i // 5} for i in range(60)]
    dense = Op("FULLY_CONNECTED", (tensor(3, 4), constant(np.zeros((7, 4)))), (tensor(3, 7),))
    yield "dense", dense, 0, [set(range(i // 7 * 4, i // 7 * 4 + 4)) for i in range(21)]
    soft = Op("SOFTMAX", (tensor(3, 4),), (tensor(3, 4),), SoftmaxOptions(1.0))
    yield "softmax", soft, 0, [set(range(i // 4 * 4, i // 4 * 4 + 4)) for i in range(12)]
    places = np.arange(60).reshape(1, 3, 4, 5)
    none = -1
    padded = np.pad(places, [(0, 0), (1, 2), (0, 1), (2, 0)], constant_values=none)
    widths = constant([[0, 0], [1, 2], [0, 1], [2, 0]])
    yield "pad", Op("PAD", (x, widths), (tensor(*padded.shape),)), 0, flat(padded)
    for axis in (1, 2, 3, -1):
        for position in (0, 1):
            parts = [np.full(places.shape, none), np.full(places.shape, none)]
            parts[position] = places
            joined = np.concatenate(parts, axis)
            options = ConcatenationOptions(axis)
            op = Op("CONCATENATION", (x, y), (tensor(*joined.shape),), options)
            yield f"concatenation {axis} {position}", op, position, flat(joined)
    turned = places.transpose(0, 3, 1, 2)
    order = constant([0, 3, 1, 2])
    yield "transpose", Op("TRANSPOSE", (x, order), (tensor(*turned.shape),)), 0, flat(turned)
    cut = places[:, 1:3, 2:3, 1:4]
    at, size = constant([0, 1, 2, 1]), constant([1, 2, 1, -1])
    yield "slice", Op("SLICE", (x, at, size), (tensor(*cut.shape),)), 0, flat(cut)
    for axes in ([1, 2], [2], [3], [-1, 1]):
        chosen = tuple(axes)
        moved = np.moveaxis(places, chosen, range(-len(chosen), 0))
        kept = moved.reshape(-1, int(np.prod([places.shape[a] for a in chosen])))
        op = Op("MEAN", (x, constant(axes)), (tensor(len(kept)),), ReducerOptions())
        yield f"mean {axes}", op, 0, [set(row.tolist()) for row in kept]


def flat(places: np.ndarray) -> Reads:
    return [{i} - {-1} for i in places.ravel().tolist()]


CASES = list(simple_cases())


@pytest.mark.parametrize(("name", "op", "position", "reads"), CASES, ids=[c[0] for c in CASES])
def test_other_kinds_exactly(name: str, op: Op, position: int, reads: Reads) -> None:
    source = op.inputs[position]
    assert source is not None
    for block in (1, 4):
        expected = least_safe_distance(reads, source.itemsize, op.output.itemsize, block)
        assert safe_distance(op, position, block) == expected


@pytest.mark.parametrize("corners", [False, True])
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("shape", [(2, 3, 4, 6), (3, 5, 7, 7), (4, 4, 4, 4), (5, 3, 2, 2)])
def test_resize_is_never_too_near(
    corners: bool, half: bool, shape: tuple[int, int, int, int]
) -> None:
    """TFLite's own arithmetic for the rows and columns that are read."""
    height, width, rows, columns = shape

    def nearest(o: int, size: int, count: int) -> set[int]:
        scale = (size - 1) / (count - 1) if corners and count > 1 else size / count
        place = (o + 0.5) * scale if half else o * scale
        return {min(int(np.floor(place + 0.5) if corners else np.floor(place)), size - 1)}

    def bilinear(o: int, size: int, count: int) -> set[int]:
        scale = (size - 1) / (count - 1) if corners and count > 1 else size / count
        place = (o + 0.5) * scale - 0.5 if half else o * scale
        low = max(int(np.floor(place)), 0)
        return {min(low, size - 1), min(low + 1, size - 1)}

    cases = (
        ("RESIZE_NEAREST_NEIGHBOR", ResizeNearestNeighborOptions(corners, half), nearest),
        ("RESIZE_BILINEAR", ResizeBilinearOptions(corners, half), bilinear),
    )
    for kind, options, taps in cases:
        source = tensor(1, height, width, 2)
        target = tensor(1, rows, columns, 2)
        op = Op(kind, (source, constant([rows, columns])), (target,), options)
        reads = [
            {
                (y * width + x) * 2 + c
                for y in taps(oy, height, rows)
                for x in taps(ox, width, columns)
            }
            for oy, ox, c in product(range(rows), range(columns), range(2))
        ]
        distance = safe_distance(op, 0)
        assert distance is not None
        assert distance >= least_safe_distance(reads, 1, 1)


@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("before", [0, 1])
def test_a_transposed_convolution_exactly(kernel: int, stride: int, before: int) -> None:
    """Scattered, as the op is defined: input (y, x) adds to kernel x kernel outputs."""
    source = tensor(1, 4, 3, 2)
    rows, columns = ((n - 1) * stride + kernel - before for n in (4, 3))
    if min(rows, columns) < 1:
        return
    target = tensor(1, rows, columns, 3)
    filters = constant(np.zeros((3, kernel, kernel, 2), np.int8))
    options = TransposeConvOptions((stride, stride), Padding(before, 0, before, 0))
    op = Op("TRANSPOSE_CONV", (constant(target.shape), filters, source), (target,), options)
    reads: list[set[int]] = [set() for _ in range(target.elements)]
    for y, x, c, ky, kx in product(range(4), range(3), range(2), range(kernel), range(kernel)):
        oy, ox = y * stride + ky - before, x * stride + kx - before
        if 0 <= oy < rows and 0 <= ox < columns:
            for channel in range(3):
                reads[(oy * columns + ox) * 3 + channel].add((y * 3 + x) * 2 + c)
    assert safe_distance(op, 2) == least_safe_distance(reads, 1, 1)


def test_unknown_orders_never_overlap() -> None:
    x = tensor(1, 4, 4, 2)
    assert safe_distance(Op("CUSTOM", (x,), (tensor(1, 4, 4, 2),)), 0) is None
    assert safe_distance(Op("CUMSUM", (x, constant(1)), (x,)), 0) is None
    halves = (tensor(1, 4, 4, 1), tensor(1, 4, 4, 1))
    assert safe_distance(Op("SPLIT", (constant(3), x), halves), 1) is None
    batch = tensor(2, 4, 4, 2)
    pool = Op("MAX_POOL_2D", (batch,), (tensor(2, 4, 4, 2),), PoolOptions((1, 1)))
    assert safe_distance(pool, 0) is None


def test_in_place_in_tflm_needs_equal_shapes_and_types() -> None:
    x, y = tensor(1, 4, 4, 2), tensor(1, 4, 4, 2)
    assert in_place_in_tflm(Op("ADD", (x, y), (tensor(1, 4, 4, 2),)), 1)
    assert not in_place_in_tflm(Op("ADD", (x, tensor(2)), (tensor(1, 4, 4, 2),)), 0)
    assert not in_place_in_tflm(Op("RELU", (x,), (tensor(1, 4, 4, 2, dtype="int16"),)), 0)
    assert not in_place_in_tflm(Op("MAX_POOL_2D", (x,), (y,), PoolOptions((1, 1))), 0)
