"""Receptive fields: which input places each kind of op reads, by input and axis.

Each rule is called as `rule(op, index, axis)` and describes input `index` along `axis` of the
first output, counted from the front of the output's shape.
"""

from __future__ import annotations

import numpy as np

from .. import options
from ..ir import Op
from . import lines, shapes, shapes_move
from .reach import Reach, elementwise, everything, mapped, nothing, shifted, transposed, window
from .spec import operand


def same_place(op: Op, index: int, axis: int) -> Reach:
    """Elementwise ops, with broadcasting: an input of size 1 is read by every place."""
    source, out = operand(op, index).shape, op.outputs[0].shape
    at = axis - (len(out) - len(source))
    if at < 0:
        return everything(1, out[axis])
    if source[at] == 1 and out[axis] != 1:
        return everything(1, out[axis])
    return elementwise(out[axis])


def every_place(op: Op, index: int, axis: int) -> Reach:
    """Ops whose rows can't be told apart: reshapes, reductions, matrices, gathers."""
    source, out = operand(op, index).shape, op.outputs[0].shape
    return everything(source[axis] if axis < len(source) else 1, out[axis])


def convolution(op: Op, index: int, axis: int) -> Reach:
    source, kernel, out = operand(op, 0).shape, operand(op, 1).shape, op.outputs[0].shape
    record = op.options
    if index != 0:
        return nothing(1, out[axis])
    if axis not in (1, 2) or not isinstance(record, options.ConvOptions):
        return _other_axis(op, source, out, axis)
    return window(
        size=source[axis],
        out=out[axis],
        kernel=kernel[axis],
        stride=record.stride[axis - 1],
        dilation=record.dilation[axis - 1],
        before=record.padding.top if axis == 1 else record.padding.left,
    )


def pooling(op: Op, index: int, axis: int) -> Reach:
    source, out, record = operand(op, 0).shape, op.outputs[0].shape, op.options
    if axis not in (1, 2) or not isinstance(record, options.PoolOptions):
        return elementwise(out[axis])
    return window(
        size=source[axis],
        out=out[axis],
        kernel=record.kernel[axis - 1],
        stride=record.stride[axis - 1],
        before=record.padding.top if axis == 1 else record.padding.left,
    )


def _other_axis(op: Op, source: tuple[int, ...], out: tuple[int, ...], axis: int) -> Reach:
    """Batch: its own place. Channels: a convolution reads all, a depthwise one its own."""
    if axis == 0:
        return elementwise(out[0])
    if op.kind == "DEPTHWISE_CONV_2D":
        multiplier = out[3] // source[3]
        return mapped(source[3], ((c // multiplier, c // multiplier + 1) for c in range(out[3])))
    return everything(source[3], out[3])


def transpose_conv(op: Op, index: int, axis: int) -> Reach:
    kernel, source, out = operand(op, 1).shape, operand(op, 2).shape, op.outputs[0].shape
    record = op.options
    if index != 2:
        return nothing(1, out[axis])
    if axis not in (1, 2) or not isinstance(record, options.TransposeConvOptions):
        return elementwise(out[0]) if axis == 0 else everything(source[3], out[3])
    return transposed(
        size=source[axis],
        out=out[axis],
        kernel=kernel[axis],
        stride=record.stride[axis - 1],
        before=record.padding.top if axis == 1 else record.padding.left,
    )


def fully_connected(op: Op, index: int, axis: int) -> Reach:
    source, out = operand(op, 0).shape, op.outputs[0].shape
    if index != 0:
        return nothing(1, out[axis])
    if axis < len(out) - 1 and source[:-1] == out[:-1]:
        return elementwise(out[axis])
    return every_place(op, 0, axis)


def reduction(op: Op, index: int, axis: int) -> Reach:
    source, out = operand(op, 0).shape, op.outputs[0].shape
    if index != 0:
        return nothing(1, out[axis])
    if len(source) == len(out) and axis not in shapes.reduced_axes(op):
        return elementwise(out[axis])
    return every_place(op, 0, axis)


def pad(op: Op, index: int, axis: int) -> Reach:
    source, out = operand(op, 0).shape, op.outputs[0].shape
    if index != 0:
        return nothing(1, out[axis])
    before = shapes_move.paddings(op)[axis][0]
    return shifted(source[axis], out[axis], -before)


def mirror_pad(op: Op, index: int, axis: int) -> Reach:
    source, out = operand(op, 0).shape, op.outputs[0].shape
    if index != 0:
        return nothing(1, out[axis])
    before, size = shapes_move.paddings(op)[axis][0], source[axis]
    edge = getattr(op.options, "mode", 0)
    places = []
    for i in range(out[axis]):
        at = i - before
        at = -at - edge if at < 0 else at
        at = 2 * (size - 1) - at + edge if at >= size else at
        places.append((at, at + 1))
    return mapped(size, places)


def concatenation(op: Op, index: int, axis: int) -> Reach:
    out = op.outputs[0].shape
    size = operand(op, index).shape[axis]
    if axis != shapes_move.concat_axis(op):
        return elementwise(out[axis])
    start = sum(operand(op, i).shape[axis] for i in range(index))
    return shifted(size, out[axis], -start)


def slice_(op: Op, index: int, axis: int) -> Reach:
    source, out = operand(op, 0).shape, op.outputs[0].shape
    if index != 0:
        return nothing(1, out[axis])
    begin, _ = shapes_move.slice_bounds(op)
    return shifted(source[axis], out[axis], begin[axis])


def strided_slice(op: Op, index: int, axis: int) -> Reach:
    source, out = operand(op, 0).shape, op.outputs[0].shape
    if index != 0:
        return nothing(1, out[axis])
    if len(source) != len(out):
        return every_place(op, 0, axis)
    start, _, step = shapes_move.slice_ranges(op)[axis]
    return shifted(source[axis], out[axis], start, step)


def split(op: Op, index: int, axis: int) -> Reach:
    """Of the first output; output n starts n parts later."""
    data = 1 if op.kind == "SPLIT" else 0
    source, out = operand(op, data).shape, op.outputs[0].shape
    if index != data:
        return nothing(1, out[axis])
    return shifted(source[axis], out[axis], 0)


def transpose(op: Op, index: int, axis: int) -> Reach:
    source, out = operand(op, 0).shape, op.outputs[0].shape
    if index != 0:
        return nothing(1, out[axis])
    if shapes_move.permutation(op)[axis] == axis:
        return elementwise(out[axis])
    return everything(source[axis], out[axis])


def depth_to_space(op: Op, index: int, axis: int) -> Reach:
    source, out = operand(op, 0).shape, op.outputs[0].shape
    if axis not in (1, 2):
        return every_place(op, 0, axis)
    block = getattr(op.options, "block_size", 1)
    return mapped(source[axis], ((i // block, i // block + 1) for i in range(out[axis])))


def space_to_depth(op: Op, index: int, axis: int) -> Reach:
    source, out = operand(op, 0).shape, op.outputs[0].shape
    if axis not in (1, 2):
        return every_place(op, 0, axis)
    block = getattr(op.options, "block_size", 1)
    return window(size=source[axis], out=out[axis], kernel=block, stride=block)


def resize_bilinear(op: Op, index: int, axis: int) -> Reach:
    """The two rows around each sampling point, as TFLM's integer kernel finds them."""
    source, out = operand(op, 0).shape, op.outputs[0].shape
    if index != 0:
        return nothing(1, out[axis])
    if axis not in (1, 2):
        return elementwise(out[axis])
    size, line = source[axis], lines.bilinear_line(op, axis)
    places = []
    for i in range(out[axis]):
        at = i * line.step + line.start
        low = max(_div(at, lines.ONE), 0)
        high = min(_div(at + lines.ONE - 1, lines.ONE), size - 1)
        low, high = min(low, size - 1), max(high, 0)
        places.append((min(low, high), max(low, high) + 1))
    return mapped(size, places)


def _div(a: int, b: int) -> int:
    """Division that rounds towards zero, as C's."""
    return a // b if a >= 0 else -(-a // b)


def resize_nearest(op: Op, index: int, axis: int) -> Reach:
    """The row nearest to each sampling point."""
    source, out = operand(op, 0).shape, op.outputs[0].shape
    if index != 0:
        return nothing(1, out[axis])
    if axis not in (1, 2):
        return elementwise(out[axis])
    record, size = op.options, source[axis]
    if axis == 1 and isinstance(record, options.BandResizeNearestOptions):
        at = (np.arange(out[axis]) * record.step + record.start) // record.unit
        nearest = np.minimum(at, size - 1)
    else:
        nearest = lines.nearest_places(op, axis)
    return mapped(size, ((int(i), int(i) + 1) for i in nearest))


def softmax(op: Op, index: int, axis: int) -> Reach:
    out = op.outputs[0].shape
    if axis == len(out) - 1:
        return everything(out[axis], out[axis])
    return elementwise(out[axis])


def reverse(op: Op, index: int, axis: int) -> Reach:
    out = op.outputs[0].shape
    if index != 0:
        return nothing(1, out[axis])
    axes = {shapes.axis_of(a, len(out)) for a in shapes.integers(op, 1)}
    if axis not in axes:
        return elementwise(out[axis])
    return shifted(out[axis], out[axis], out[axis] - 1, -1)
