"""Shape rules of the ops that compute: windows, matrices, elementwise, reductions.

Each rule takes an op and gives the shapes of its outputs from its inputs and options alone, as
TFLM would; it raises ShapeError where they don't go together. None of them looks at the shape
that the file gives the output: `check` compares the two.
"""

from __future__ import annotations

from .. import options
from ..ir import Op, Tensor
from .spec import Shape, ShapeError, axis_of, integers, operand


def rank_4(tensor: Tensor, what: str) -> Shape:
    if len(tensor.shape) != 4:
        raise ShapeError(f"its {what} has {len(tensor.shape)} dimensions instead of 4")
    if min(tensor.shape) < 1:
        raise ShapeError(f"its {what} is empty: {list(tensor.shape)}")
    return tensor.shape


def same_as_input(op: Op) -> tuple[Shape, ...]:
    return (operand(op, 0).shape,)


def broadcast(op: Op) -> tuple[Shape, ...]:
    return (broadcast_shapes(operand(op, 0).shape, operand(op, 1).shape),)


def broadcast_shapes(a: Shape, b: Shape) -> Shape:
    rank = max(len(a), len(b))
    sizes = []
    for x, y in zip(_padded(a, rank), _padded(b, rank), strict=True):
        if x != y and 1 not in (x, y):
            raise ShapeError(f"{list(a)} and {list(b)} do not broadcast")
        sizes.append(y if x == 1 else x)
    return tuple(sizes)


def _padded(shape: Shape, rank: int) -> Shape:
    return (1,) * (rank - len(shape)) + shape


def window_size(
    size: Shape,
    kernel: Shape,
    stride: tuple[int, int],
    dilation: tuple[int, int],
    padding: options.Padding,
) -> tuple[int, int]:
    """(rows, columns) of a window op's output on an NHWC input of shape `size`.

    `kernel` is (rows, columns) too."""
    if min(*kernel, *stride, *dilation) < 1:
        raise ShapeError(f"kernel {kernel}, stride {stride} or dilation {dilation} is below 1")
    sides = ((padding.top, padding.bottom), (padding.left, padding.right))
    rows, columns = (
        options.out_size(size[1 + i], kernel[i], stride[i], dilation[i], *sides[i])
        for i in range(2)
    )
    if min(rows, columns) < 1:
        raise ShapeError(f"a window of {kernel} does not fit into {list(size)} with {padding}")
    return rows, columns


def conv_2d(op: Op) -> tuple[Shape, ...]:
    source, kernel = rank_4(operand(op, 0), "input"), rank_4(operand(op, 1), "filter")
    record = op.options
    if not isinstance(record, options.ConvOptions):
        raise ShapeError("its options are missing")
    groups = source[3] // kernel[3]
    if groups * kernel[3] != source[3] or groups < 1 or kernel[0] % groups:
        raise ShapeError(f"a filter {list(kernel)} does not fit {source[3]} input channels")
    _check_bias(op, 2, kernel[0])
    rows, columns = window_size(source, kernel[1:3], record.stride, record.dilation, record.padding)
    return ((source[0], rows, columns, kernel[0]),)


def depthwise_conv_2d(op: Op) -> tuple[Shape, ...]:
    source, kernel = rank_4(operand(op, 0), "input"), rank_4(operand(op, 1), "filter")
    record = op.options
    if not isinstance(record, options.ConvOptions):
        raise ShapeError("its options are missing")
    if kernel[0] != 1 or kernel[3] % source[3]:
        raise ShapeError(f"a depthwise filter {list(kernel)} does not fit {source[3]} channels")
    _check_bias(op, 2, kernel[3])
    rows, columns = window_size(source, kernel[1:3], record.stride, record.dilation, record.padding)
    return ((source[0], rows, columns, kernel[3]),)


def _check_bias(op: Op, index: int, channels: int) -> None:
    bias = op.inputs[index] if index < len(op.inputs) else None
    if bias is not None and bias.elements != channels:
        raise ShapeError(f"its bias has {bias.elements} elements for {channels} output channels")


def transpose_conv(op: Op) -> tuple[Shape, ...]:
    out = integers(op, 0)
    kernel, source = rank_4(operand(op, 1), "filter"), rank_4(operand(op, 2), "input")
    record = op.options
    if not isinstance(record, options.TransposeConvOptions):
        raise ShapeError("its options are missing")
    if len(out) != 4 or min(out) < 1:
        raise ShapeError(f"its output shape is {list(out)}")
    if kernel[3] != source[3]:
        raise ShapeError(f"a filter {list(kernel)} does not fit {source[3]} input channels")
    _check_bias(op, 3, kernel[0])
    back = window_size(out, kernel[1:3], record.stride, (1, 1), record.padding)
    if back != source[1:3]:
        raise ShapeError(
            f"an output of {list(out)} comes from an input of {back[0]}×{back[1]}, "
            f"not {source[1]}×{source[2]}"
        )
    return ((source[0], out[1], out[2], kernel[0]),)


def pool_2d(op: Op) -> tuple[Shape, ...]:
    source, record = rank_4(operand(op, 0), "input"), op.options
    if not isinstance(record, options.PoolOptions):
        raise ShapeError("its options are missing")
    rows, columns = window_size(source, record.kernel, record.stride, (1, 1), record.padding)
    return ((source[0], rows, columns, source[3]),)


def fully_connected(op: Op) -> tuple[Shape, ...]:
    source, weights = operand(op, 0), operand(op, 1)
    if len(weights.shape) != 2 or min(weights.shape) < 1:
        raise ShapeError(f"its weights have the shape {list(weights.shape)}, not [outputs, inputs]")
    outputs, depth = weights.shape
    if source.elements % depth or not source.elements:
        raise ShapeError(f"an input of {list(source.shape)} does not fit weights for {depth}")
    _check_bias(op, 2, outputs)
    record = op.options
    if isinstance(record, options.FullyConnectedOptions) and record.keep_num_dims:
        if not source.shape or source.shape[-1] != depth:
            raise ShapeError(f"an input of {list(source.shape)} does not end in {depth}")
        return ((*source.shape[:-1], outputs),)
    return ((source.elements // depth, outputs),)


def reduce(op: Op) -> tuple[Shape, ...]:
    source, axes = operand(op, 0).shape, reduced_axes(op)
    keep = isinstance(op.options, options.ReducerOptions) and op.options.keep_dims
    if keep:
        return (tuple(1 if i in axes else size for i, size in enumerate(source)),)
    return (tuple(size for i, size in enumerate(source) if i not in axes),)


def reduced_axes(op: Op) -> frozenset[int]:
    """The axes that a reduction sums over, 0 ≤ axis < rank."""
    rank = len(operand(op, 0).shape)
    return frozenset(axis_of(axis, rank) for axis in integers(op, 1))


def resize(op: Op) -> tuple[Shape, ...]:
    source, size = rank_4(operand(op, 0), "input"), integers(op, 1)
    if len(size) != 2 or min(size) < 1:
        raise ShapeError(f"its size is {list(size)} instead of [rows, columns]")
    return ((source[0], size[0], size[1], source[3]),)


def prelu(op: Op) -> tuple[Shape, ...]:
    shape = operand(op, 0).shape
    if broadcast_shapes(shape, operand(op, 1).shape) != shape:
        raise ShapeError(f"slopes {list(operand(op, 1).shape)} are larger than {list(shape)}")
    return (shape,)


def batch_matmul(op: Op) -> tuple[Shape, ...]:
    a, b = operand(op, 0).shape, operand(op, 1).shape
    record = op.options
    if min(len(a), len(b)) < 2:
        raise ShapeError(f"{list(a)} and {list(b)} are not matrices")
    flipped = (
        (record.adj_x, record.adj_y)
        if isinstance(record, options.BatchMatMulOptions)
        else (False, False)
    )
    rows, inner = a[-2:] if not flipped[0] else (a[-1], a[-2])
    inner_b, columns = b[-2:] if not flipped[1] else (b[-1], b[-2])
    if inner != inner_b:
        raise ShapeError(f"{list(a)} and {list(b)} do not multiply")
    return ((*broadcast_shapes(a[:-2], b[:-2]), rows, columns),)
