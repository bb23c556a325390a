"""Shape rules of the ops that only move data: pad, reshape, slice, split, transpose, gather, …

As in `shapes`: from inputs and options alone, ShapeError where they don't go together.
"""

from __future__ import annotations

from .. import options
from ..ir import Op
from . import shapes
from .spec import Shape, ShapeError, axis_of, integers, operand


def pad(op: Op) -> tuple[Shape, ...]:
    source, sides = operand(op, 0).shape, paddings(op)
    return (tuple(size + a + b for size, (a, b) in zip(source, sides, strict=True)),)


def paddings(op: Op) -> tuple[tuple[int, int], ...]:
    """(before, after) for each axis of a PAD, PADV2 or MIRROR_PAD."""
    flat, rank = integers(op, 1), len(operand(op, 0).shape)
    if len(flat) != 2 * rank or (flat and min(flat) < 0):
        raise ShapeError(f"its paddings {list(flat)} do not fit {rank} dimensions")
    return tuple(zip(flat[::2], flat[1::2], strict=True))


def concatenation(op: Op) -> tuple[Shape, ...]:
    shapes = [operand(op, i).shape for i in range(len(op.inputs))]
    axis = concat_axis(op)
    rest = {(*s[:axis], *s[axis + 1 :]) for s in shapes}
    if len({len(s) for s in shapes}) != 1 or len(rest) != 1:
        raise ShapeError(f"{[list(s) for s in shapes]} do not join along axis {axis}")
    first = shapes[0]
    return ((*first[:axis], sum(s[axis] for s in shapes), *first[axis + 1 :]),)


def concat_axis(op: Op) -> int:
    if not isinstance(op.options, options.ConcatenationOptions):
        raise ShapeError("its options are missing")
    return axis_of(op.options.axis, len(operand(op, 0).shape))


def reshape(op: Op) -> tuple[Shape, ...]:
    source = operand(op, 0)
    wish = _reshape_wish(op)
    if wish is None:
        # TFLM never looks at the values of a shape that is computed: it takes the output's.
        wish = op.outputs[0].shape
    if wish.count(-1) > 1 or any(size < -1 for size in wish):
        raise ShapeError(f"its new shape is {list(wish)}")
    known = 1
    for size in wish:
        known *= size if size != -1 else 1
    shape = tuple(
        size if size != -1 else (source.elements // known if known else 0) for size in wish
    )
    elements = 1
    for size in shape:
        elements *= size
    if elements != source.elements:
        raise ShapeError(f"{list(source.shape)} does not reshape to {list(wish)}")
    return (shape,)


def _reshape_wish(op: Op) -> Shape | None:
    given = op.inputs[1] if len(op.inputs) > 1 else None
    if given is not None:
        if given.data is None and given.elements:
            return None
        return () if given.data is None else integers(op, 1)
    if isinstance(op.options, options.ReshapeOptions):
        # Old converters wrote [0] for a scalar.
        return () if op.options.new_shape == (0,) else op.options.new_shape
    raise ShapeError("its new shape is missing")


def squeeze(op: Op) -> tuple[Shape, ...]:
    source = operand(op, 0).shape
    record = op.options
    asked = record.squeeze_dims if isinstance(record, options.SqueezeOptions) else ()
    dims = {axis_of(axis, len(source)) for axis in asked} or {
        i for i, size in enumerate(source) if size == 1
    }
    if any(source[i] != 1 for i in dims):
        raise ShapeError(f"{list(source)} has more than one element along {sorted(dims)}")
    return (tuple(size for i, size in enumerate(source) if i not in dims),)


def expand_dims(op: Op) -> tuple[Shape, ...]:
    source = operand(op, 0).shape
    axes = integers(op, 1)
    if len(axes) != 1:
        raise ShapeError(f"its axis is {list(axes)}")
    axis = axis_of(axes[0], len(source) + 1)
    return ((*source[:axis], 1, *source[axis:]),)


def slice_(op: Op) -> tuple[Shape, ...]:
    return (slice_bounds(op)[1],)


def slice_bounds(op: Op) -> tuple[Shape, Shape]:
    """(begin, size) of a SLICE, with -1 resolved."""
    source, begin, size = operand(op, 0).shape, integers(op, 1), integers(op, 2)
    if not len(source) == len(begin) == len(size):
        raise ShapeError(f"begin {list(begin)} and size {list(size)} do not fit {list(source)}")
    sizes = tuple(
        n if n != -1 else have - b for n, b, have in zip(size, begin, source, strict=True)
    )
    for b, n, have in zip(begin, sizes, source, strict=True):
        if b < 0 or n < 0 or b + n > have:
            raise ShapeError(f"begin {list(begin)}, size {list(size)} leave {list(source)}")
    return begin, sizes


def strided_slice(op: Op) -> tuple[Shape, ...]:
    record = op.options
    if not isinstance(record, options.StridedSliceOptions):
        raise ShapeError("its options are missing")
    shape = []
    for i, (start, stop, step) in enumerate(slice_ranges(op)):
        if not record.shrink_axis_mask >> i & 1:
            shape.append(len(range(start, stop, step)))
    return (tuple(shape),)


def slice_ranges(op: Op) -> tuple[tuple[int, int, int], ...]:
    """(start, stop, step) of a STRIDED_SLICE along each input axis, as of Python's `range`."""
    record = op.options
    source = operand(op, 0).shape
    begin, end, stride = (integers(op, i) for i in (1, 2, 3))
    if not isinstance(record, options.StridedSliceOptions):
        raise ShapeError("its options are missing")
    if not len(source) >= len(begin) == len(end) == len(stride):
        raise ShapeError(f"begin {list(begin)} and end {list(end)} do not fit {list(source)}")
    ranges = []
    for i, size in enumerate(source):
        if i >= len(begin):
            ranges.append((0, size, 1))
            continue
        if stride[i] == 0:
            raise ShapeError("a stride is 0")
        if record.shrink_axis_mask >> i & 1:
            at = begin[i] + size if begin[i] < 0 else begin[i]
            if not 0 <= at < size:
                raise ShapeError(f"place {begin[i]} of an axis with {size}")
            ranges.append((at, at + 1, 1))
            continue
        start = None if record.begin_mask >> i & 1 else begin[i]
        stop = None if record.end_mask >> i & 1 else end[i]
        ranges.append(slice(start, stop, stride[i]).indices(size))
    return tuple(ranges)


def split(op: Op) -> tuple[Shape, ...]:
    source, axis = operand(op, 1).shape, split_axis(op)
    count = len(op.outputs)
    if count < 1 or source[axis] % count:
        raise ShapeError(f"{list(source)} does not split into {count} along axis {axis}")
    part = (*source[:axis], source[axis] // count, *source[axis + 1 :])
    return (part,) * count


def split_axis(op: Op) -> int:
    """The axis of a SPLIT or SPLIT_V."""
    data, at = (1, 0) if op.kind == "SPLIT" else (0, 2)
    axes = integers(op, at)
    if len(axes) != 1:
        raise ShapeError(f"its axis is {list(axes)}")
    return axis_of(axes[0], len(operand(op, data).shape))


def split_v(op: Op) -> tuple[Shape, ...]:
    source, axis, sizes = operand(op, 0).shape, split_axis(op), list(integers(op, 1))
    if sizes.count(-1) == 1:
        at = sizes.index(-1)
        sizes[at] = source[axis] - sum(sizes) - 1
    if len(sizes) != len(op.outputs) or sum(sizes) != source[axis] or min(sizes) < 0:
        raise ShapeError(f"{list(source)} does not split into {sizes} along axis {axis}")
    return tuple((*source[:axis], size, *source[axis + 1 :]) for size in sizes)


def pack(op: Op) -> tuple[Shape, ...]:
    shapes = {operand(op, i).shape for i in range(len(op.inputs))}
    if len(shapes) != 1 or not isinstance(op.options, options.PackOptions):
        raise ShapeError(f"tensors of shapes {sorted(shapes)} do not stack")
    (shape,) = shapes
    axis = axis_of(op.options.axis, len(shape) + 1)
    return ((*shape[:axis], len(op.inputs), *shape[axis:]),)


def unpack(op: Op) -> tuple[Shape, ...]:
    source = operand(op, 0).shape
    if not isinstance(op.options, options.UnpackOptions):
        raise ShapeError("its options are missing")
    axis = axis_of(op.options.axis, len(source))
    if source[axis] != len(op.outputs):
        raise ShapeError(f"{list(source)} does not unstack into {len(op.outputs)}")
    return ((*source[:axis], *source[axis + 1 :]),) * len(op.outputs)


def transpose(op: Op) -> tuple[Shape, ...]:
    source = operand(op, 0).shape
    return (tuple(source[axis] for axis in permutation(op)),)


def permutation(op: Op) -> Shape:
    """The input axis of each output axis of a TRANSPOSE."""
    rank = len(operand(op, 0).shape)
    axes = tuple(axis_of(axis, rank) for axis in integers(op, 1))
    if sorted(axes) != list(range(rank)):
        raise ShapeError(f"{list(axes)} is no permutation of {rank} axes")
    return axes


def gather(op: Op) -> tuple[Shape, ...]:
    source, places = operand(op, 0).shape, operand(op, 1).shape
    if not isinstance(op.options, options.GatherOptions):
        raise ShapeError("its options are missing")
    axis = axis_of(op.options.axis, len(source))
    batch = op.options.batch_dims
    batch = batch + len(places) if batch < 0 else batch
    if not 0 <= batch <= min(axis, len(places)) or source[:batch] != places[:batch]:
        raise ShapeError(f"batch_dims {batch} does not fit {list(source)} and {list(places)}")
    return ((*source[:axis], *places[batch:], *source[axis + 1 :]),)


def space_to_depth(op: Op) -> tuple[Shape, ...]:
    source = operand(op, 0).shape
    block = _block_size(op, source)
    if source[1] % block or source[2] % block:
        raise ShapeError(f"blocks of {block} do not tile {list(source)}")
    return ((source[0], source[1] // block, source[2] // block, source[3] * block * block),)


def depth_to_space(op: Op) -> tuple[Shape, ...]:
    source = operand(op, 0).shape
    block = _block_size(op, source)
    if source[3] % (block * block):
        raise ShapeError(f"{source[3]} channels do not make blocks of {block}")
    return ((source[0], source[1] * block, source[2] * block, source[3] // (block * block)),)


def _block_size(op: Op, source: Shape) -> int:
    block = getattr(op.options, "block_size", 0)
    if block < 1 or len(source) != 4:
        raise ShapeError(f"blocks of {block} on {list(source)}")
    return block


def space_to_batch(op: Op) -> tuple[Shape, ...]:
    source, block, sides = _batch_blocks(op)
    spatial = []
    for size, n, (a, b) in zip(source[1:], block, sides, strict=False):
        if (size + a + b) % n:
            raise ShapeError(f"blocks {block} do not tile {list(source)}")
        spatial.append((size + a + b) // n)
    return ((source[0] * _product(block), *spatial, *source[1 + len(block) :]),)


def batch_to_space(op: Op) -> tuple[Shape, ...]:
    source, block, sides = _batch_blocks(op)
    if source[0] % _product(block):
        raise ShapeError(f"batch {source[0]} does not make blocks {block}")
    spatial = [size * n - a - b for size, n, (a, b) in zip(source[1:], block, sides, strict=False)]
    if min(spatial, default=1) < 1:
        raise ShapeError(f"crops {sides} leave nothing of {list(source)}")
    return ((source[0] // _product(block), *spatial, *source[1 + len(block) :]),)


def _batch_blocks(op: Op) -> tuple[Shape, Shape, tuple[tuple[int, int], ...]]:
    source, block, flat = operand(op, 0).shape, integers(op, 1), integers(op, 2)
    if len(flat) != 2 * len(block) or len(source) < 1 + len(block) or min(block, default=0) < 1:
        raise ShapeError(f"blocks {block} and sides {flat} do not fit {list(source)}")
    if min(flat) < 0:
        raise ShapeError(f"sides {flat} are negative")
    return source, block, tuple(zip(flat[::2], flat[1::2], strict=True))


def _product(sizes: Shape) -> int:
    result = 1
    for size in sizes:
        result *= size
    return result


def broadcast_to(op: Op) -> tuple[Shape, ...]:
    source, shape = operand(op, 0).shape, integers(op, 1)
    if shapes.broadcast_shapes(source, shape) != shape:
        raise ShapeError(f"{list(source)} does not broadcast to {list(shape)}")
    return (shape,)
