"""Ops that take parts of a tensor: SLICE, STRIDED_SLICE, SPLIT, SPLIT_V, UNPACK, GATHER."""

from __future__ import annotations

from tflm_opt.codegen.axes import strides
from tflm_opt.codegen.call import Call, Lowered
from tflm_opt.codegen.lower import lowers
from tflm_opt.codegen.walk import along, copy, dense, listed
from tflm_opt.errors import UnsupportedModel
from tflm_opt.graph.ir import Op, Tensor
from tflm_opt.graph.operands import axis_of, constant, has_shape, moved, product, source
from tflm_opt.graph.options import GatherOptions, StridedSliceOptions, UnpackOptions


@lowers("SLICE")
def slice_(op: Op) -> Lowered:
    """SLICE with constant begin and size; a size of -1 goes to the end."""
    tensor = moved(op, 0, "int8", "int16", "int32", "float32", "bool", rank=5)
    rank = len(tensor.shape)
    begin = constant(op, 1, "begin", rank)
    sizes = constant(op, 2, "size", rank)
    shape = []
    for first, size, full in zip(begin, sizes, tensor.shape, strict=True):
        size = full - first if size == -1 else size
        if first < 0 or size < 1 or first + size > full:
            raise UnsupportedModel(
                f"SLICE takes {size} from position {first} of an axis of {full}",
                tensor=tensor.name,
            )
        shape.append(size)
    has_shape(op, op.output, tuple(shape))
    return _part(tensor, op.output, begin)


def _part(tensor: Tensor, target: Tensor, begin: list[int]) -> Lowered:
    """A dense box of the tensor, of the target's shape, from `begin`."""
    return Lowered((_part_call(tensor, target, begin),))


def _part_call(tensor: Tensor, target: Tensor, begin: list[int]) -> Call:
    steps = strides(tensor.shape)
    axes = [along(size, step) for size, step in zip(target.shape, steps, strict=True)]
    offset = sum(first * step for first, step in zip(begin, steps, strict=True))
    return copy(tensor, target, axes, offset)


@lowers("STRIDED_SLICE")
def strided_slice(op: Op) -> Lowered:
    """STRIDED_SLICE with constants; masks for begin, end and shrinking, negative strides.

    TFLM ignores the ellipsis and new-axis masks, so models that have them are refused.
    """
    tensor = moved(op, 0, "int8", "int16", "int32", "float32", "bool", rank=4)
    options = op.options if isinstance(op.options, StridedSliceOptions) else StridedSliceOptions()
    if options.ellipsis_mask or options.new_axis_mask or options.offset:
        raise UnsupportedModel(
            "TFLM ignores STRIDED_SLICE's ellipsis and new-axis masks and its offset flag",
            tensor=op.output.name,
            remedy="Write the slice with one range for each axis, and a reshape",
        )
    rank = len(tensor.shape)
    begin = constant(op, 1, "begin", rank)
    end = constant(op, 2, "end", rank)
    stride = constant(op, 3, "strides", rank)
    axes, offset, shape = [], 0, []
    for axis, step in enumerate(strides(tensor.shape)):
        chosen = _positions(options, axis, tensor.shape[axis], begin[axis], end[axis], stride[axis])
        if not chosen:
            raise UnsupportedModel("STRIDED_SLICE takes nothing", tensor=op.output.name)
        axes.append(along(len(chosen), stride[axis] * step))
        offset += chosen[0] * step
        if not options.shrink_axis_mask >> axis & 1:
            shape.append(len(chosen))
    has_shape(op, op.output, tuple(shape))
    return Lowered((copy(tensor, op.output, axes, offset),))


def _positions(
    options: StridedSliceOptions, axis: int, size: int, begin: int, end: int, stride: int
) -> range:
    """The positions taken along one axis, as TFLite clamps them."""
    if stride == 0:
        raise UnsupportedModel("STRIDED_SLICE has a stride of 0")
    low, high = (0, size) if stride > 0 else (-1, size - 1)
    first = min(max(begin + size if begin < 0 else begin, low), high)
    if options.begin_mask >> axis & 1:
        first = 0 if stride > 0 else size - 1
    if options.shrink_axis_mask >> axis & 1:
        return range(first, min(first + 1, size)) if first >= 0 else range(0)
    last = min(max(end + size if end < 0 else end, low), high)
    if options.end_mask >> axis & 1:
        last = size if stride > 0 else -1
    return range(first, last, stride)


@lowers("SPLIT")
def split(op: Op) -> Lowered:
    """SPLIT into equal parts; the axis is the first input."""
    (axis,) = constant(op, 0, "axis", 1)
    if len({output.shape for output in op.outputs}) != 1:
        raise UnsupportedModel(
            "the parts of SPLIT differ in shape", tensor=op.outputs[0].name, remedy="Use SPLIT_V"
        )
    return _split(op, 1, axis)


@lowers("SPLIT_V")
def split_v(op: Op) -> Lowered:
    """SPLIT_V: the parts' sizes are the outputs' shapes."""
    (axis,) = constant(op, 2, "axis", 1)
    return _split(op, 0, axis)


def _split(op: Op, index: int, axis: int) -> Lowered:
    tensor = moved(op, index, "int8", "int16", "int32", "float32")
    axis = axis_of(op, axis, len(tensor.shape))
    calls, first = [], 0
    for output in op.outputs:
        size = output.shape[axis] if axis < len(output.shape) else 0
        has_shape(op, output, (*tensor.shape[:axis], size, *tensor.shape[axis + 1 :]))
        begin = [0] * len(tensor.shape)
        begin[axis] = first
        calls.append(_part_call(tensor, output, begin))
        first += size
    if first != tensor.shape[axis]:
        raise UnsupportedModel(
            f"{op.kind} makes {first} slices of an axis of {tensor.shape[axis]}",
            tensor=tensor.name,
        )
    return Lowered(tuple(calls))


@lowers("UNPACK")
def unpack(op: Op) -> Lowered:
    """UNPACK: one output for each position of an axis."""
    tensor = moved(op, 0, "int8", "int16", "int32", "float32")
    options = op.options if isinstance(op.options, UnpackOptions) else UnpackOptions()
    axis = axis_of(op, options.axis, len(tensor.shape))
    if len(op.outputs) != tensor.shape[axis]:
        raise UnsupportedModel(
            f"UNPACK has {len(op.outputs)} outputs for an axis of {tensor.shape[axis]}",
            tensor=tensor.name,
        )
    rest, step = dense(tensor.shape), strides(tensor.shape)[axis]
    del rest[axis]
    calls = []
    for position, output in enumerate(op.outputs):
        has_shape(op, output, tensor.shape[:axis] + tensor.shape[axis + 1 :])
        calls.append(copy(tensor, output, rest, position * step))
    return Lowered(tuple(calls))


@lowers("GATHER")
def gather(op: Op) -> Lowered:
    """GATHER with constant int32 indices, and at most batch axes of size 1."""
    tensor = moved(op, 0, "int8", "float32")
    options = op.options if isinstance(op.options, GatherOptions) else GatherOptions()
    axis = axis_of(op, options.axis, len(tensor.shape))
    indices = source(op, 1)
    batch_dims = options.batch_dims
    batch_dims += len(indices.shape) if batch_dims < 0 else 0
    if not 0 <= batch_dims <= axis or product(tensor.shape[:batch_dims]) != 1:
        raise UnsupportedModel(
            "GATHER with indices of their own for each batch is not supported",
            tensor=op.output.name,
        )
    size = tensor.shape[axis]
    chosen = constant(op, 1, "indices")
    if any(not 0 <= index < size for index in chosen):
        raise UnsupportedModel(
            f"GATHER has indices outside its axis of {size}", tensor=indices.name
        )
    shape = tensor.shape[:axis] + indices.shape[batch_dims:] + tensor.shape[axis + 1 :]
    has_shape(op, op.output, shape)
    axes, step = dense(tensor.shape), strides(tensor.shape)[axis]
    axes[axis] = listed(index * step for index in chosen)
    return Lowered((copy(tensor, op.output, axes),))
