"""Ops that put all values of a tensor in another order, or repeat them.

TRANSPOSE, REVERSE_V2, SPACE_TO_DEPTH, DEPTH_TO_SPACE, BATCH_TO_SPACE_ND, SPACE_TO_BATCH_ND,
BROADCAST_TO, MIRROR_PAD.
"""

from __future__ import annotations

from tflm_opt.codegen.axes import strides
from tflm_opt.codegen.call import Call, Lowered, Pointer, Struct, dims
from tflm_opt.codegen.lower import lowers
from tflm_opt.codegen.walk import along, copy, dense, listed
from tflm_opt.errors import UnsupportedModel
from tflm_opt.graph.ir import Op, Tensor
from tflm_opt.graph.operands import axis_of, constant, has_shape, moved
from tflm_opt.graph.options import DepthToSpaceOptions, MirrorPadOptions, SpaceToDepthOptions


@lowers("TRANSPOSE")
def transpose(op: Op) -> Lowered:
    """TRANSPOSE by a constant permutation of up to five axes."""
    tensor = moved(op, 0, "int8", "int16", "float32", rank=5)
    rank = len(tensor.shape)
    order = constant(op, 1, "permutation", rank)
    if sorted(order) != list(range(rank)):
        raise UnsupportedModel(f"{order} is no permutation of the axes", tensor=tensor.name)
    has_shape(op, op.output, tuple(tensor.shape[axis] for axis in order))
    axes = dense(tensor.shape)
    return Lowered((copy(tensor, op.output, [axes[axis] for axis in order]),))


@lowers("REVERSE_V2")
def reverse(op: Op) -> Lowered:
    """REVERSE_V2 along neighbouring axes, which is what TFLM can do."""
    tensor = moved(op, 0, "int8", "uint8", "int16", "int32", "int64", "float32", "bool", rank=6)
    chosen = sorted(axis_of(op, a, len(tensor.shape)) for a in constant(op, 1, "axis"))
    if not chosen or chosen != list(range(chosen[0], chosen[0] + len(chosen))):
        raise UnsupportedModel(
            f"TFLM reverses neighbouring axes only, and these are {chosen}", tensor=tensor.name
        )
    has_shape(op, op.output, tensor.shape)
    axes, offset = dense(tensor.shape), 0
    for axis in chosen:
        size, step = tensor.shape[axis], strides(tensor.shape)[axis]
        axes[axis] = along(size, -step)
        offset += (size - 1) * step
    return Lowered((copy(tensor, op.output, axes, offset),))


def _image(op: Op, tensor: Tensor) -> tuple[int, int, int, int]:
    """The shape of an NHWC tensor."""
    if len(tensor.shape) != 4:
        raise UnsupportedModel(
            f"{op.kind} wants [n, h, w, c], and this has {len(tensor.shape)} axes",
            tensor=tensor.name,
        )
    n, h, w, c = tensor.shape
    return n, h, w, c


@lowers("SPACE_TO_DEPTH")
def space_to_depth(op: Op) -> Lowered:
    """Blocks of b x b pixels become pixels with b * b times the channels."""
    tensor = moved(op, 0, "int8", "float32")
    n, h, w, c = _image(op, tensor)
    block = op.options.block_size if isinstance(op.options, SpaceToDepthOptions) else 0
    if block < 1 or h % block or w % block:
        raise UnsupportedModel(f"{h} x {w} is not made of blocks of {block}", tensor=tensor.name)
    has_shape(op, op.output, (n, h // block, w // block, c * block * block))
    axes = [
        along(n, h * w * c),
        along(h // block, block * w * c),
        along(w // block, block * c),
        along(block, w * c),
        along(block, c),
        along(c, 1),
    ]
    return Lowered((copy(tensor, op.output, axes),))


@lowers("DEPTH_TO_SPACE")
def depth_to_space(op: Op) -> Lowered:
    """Pixels with b * b * c channels become blocks of b x b pixels with c channels."""
    tensor = moved(op, 0, "int8", "float32")
    n, h, w, c = _image(op, tensor)
    block = op.options.block_size if isinstance(op.options, DepthToSpaceOptions) else 0
    if block < 1 or c % (block * block):
        raise UnsupportedModel(f"{c} channels are not blocks of {block}", tensor=tensor.name)
    depth = c // (block * block)
    has_shape(op, op.output, (n, h * block, w * block, depth))
    axes = [
        along(n, h * w * c),
        along(h, w * c),
        along(block, block * depth),
        along(w, c),
        along(block, depth),
        along(depth, 1),
    ]
    return Lowered((copy(tensor, op.output, axes),))


def _batched(op: Op, tensor: Tensor) -> tuple[int, int, int, int]:
    """The shape as [n, h, w, c], where [n, h, c] is read with a width of 1."""
    if len(tensor.shape) == 3:
        n, h, c = tensor.shape
        return n, h, 1, c
    return _image(op, tensor)


def _blocks(op: Op, tensor: Tensor) -> tuple[int, int, list[int]]:
    """(block height, block width, [top, bottom, left, right]) of SPACE_TO_BATCH_ND's inputs."""
    spatial = 2 if len(tensor.shape) == 4 else 1
    block = constant(op, 1, "block shape", spatial)
    border = constant(op, 2, "paddings or crops", 2 * spatial)
    if min(block) < 1 or min(border) < 0:
        raise UnsupportedModel(
            f"{op.kind} has a block of {block} and borders of {border}", tensor=tensor.name
        )
    if spatial == 1:
        return block[0], 1, [*border, 0, 0]
    return block[0], block[1], border


@lowers("BATCH_TO_SPACE_ND")
def batch_to_space(op: Op) -> Lowered:
    """Images of a batch interleaved into larger ones, then cropped."""
    tensor = moved(op, 0, "int8", "float32")
    n, h, w, c = _batched(op, tensor)
    block_h, block_w, (top, bottom, left, right) = _blocks(op, tensor)
    count = n // (block_h * block_w)
    out_h, out_w = h * block_h - top - bottom, w * block_w - left - right
    spatial = (out_h, out_w) if len(tensor.shape) == 4 else (out_h,)
    if count * block_h * block_w != n or out_h < 1 or out_w < 1:
        raise UnsupportedModel(
            f"a batch of {n} does not make images of blocks of {block_h} x {block_w}",
            tensor=tensor.name,
        )
    has_shape(op, op.output, (count, *spatial, c))
    image, row = h * w * c, w * c
    rows = tuple(
        (y % block_h) * block_w * count * image + y // block_h * row
        for y in range(top, top + out_h)
    )
    columns = tuple(
        (x % block_w) * count * image + x // block_w * c for x in range(left, left + out_w)
    )
    axes = [along(count, image), listed(rows), listed(columns), along(c, 1)]
    return Lowered((copy(tensor, op.output, axes),))


@lowers("SPACE_TO_BATCH_ND")
def space_to_batch(op: Op) -> Lowered:
    """Every block_h-th row and block_w-th column become images of their own.

    TFLM never sets the value that it pads with (it is zero in practice), so padding is taken
    only where zero bytes are right: at a zero point of 0, and for floats.
    """
    tensor = moved(op, 0, "int8", "float32")
    n, h, w, c = _batched(op, tensor)
    block_h, block_w, (top, bottom, left, right) = _blocks(op, tensor)
    if (h + top + bottom) % block_h or (w + left + right) % block_w:
        raise UnsupportedModel(
            f"the padded image is not made of blocks of {block_h} x {block_w}", tensor=tensor.name
        )
    if any((top, bottom, left, right)) and tensor.quant is not None and op.output.zero_point != 0:
        raise UnsupportedModel(
            "TFLM does not pad SPACE_TO_BATCH_ND with the zero point",
            tensor=op.output.name,
            remedy="Pad with PAD before it, or use a dilated convolution",
        )
    out = (n * block_h * block_w, (h + top + bottom) // block_h, (w + left + right) // block_w)
    has_shape(op, op.output, (*out[: len(tensor.shape) - 1], c))
    params = Struct("tflm_opt_space_to_batch_params", "params", ((block_w, block_h), top, left))
    row = c * tensor.itemsize
    arguments = (
        params,
        Pointer(tensor),
        dims("input_dims", (n, h, w, row)),
        Pointer(op.output),
        dims("output_dims", (*out, row)),
    )
    return Lowered((Call("tflm_opt_space_to_batch", arguments, status=False),))


@lowers("BROADCAST_TO")
def broadcast_to(op: Op) -> Lowered:
    """Axes of size 1, and new ones in front, repeated to the output's shape."""
    tensor = moved(op, 0, "int8", "uint8", "int16", "int32", "int64", "float32", "bool", rank=5)
    has_shape(op, op.output, tuple(constant(op, 1, "shape")))
    missing = len(op.output.shape) - len(tensor.shape)
    shape = (1,) * missing + tensor.shape
    if missing < 0 or any(a not in (1, b) for a, b in zip(shape, op.output.shape, strict=True)):
        raise UnsupportedModel(
            f"{list(tensor.shape)} does not broadcast to {list(op.output.shape)}",
            tensor=tensor.name,
        )
    axes = [
        along(size, step if full > 1 else 0)
        for size, full, step in zip(op.output.shape, shape, strides(shape), strict=True)
    ]
    return Lowered((copy(tensor, op.output, axes),))


@lowers("MIRROR_PAD")
def mirror_pad(op: Op) -> Lowered:
    """Borders that repeat the inside backwards, without the edge (REFLECT) or with it."""
    tensor = moved(op, 0, "int8", "float32")
    reflect = not isinstance(op.options, MirrorPadOptions) or op.options.mode == 0
    border = constant(op, 1, "paddings", 2 * len(tensor.shape))
    axes, shape = [], []
    for axis, step in enumerate(strides(tensor.shape)):
        before, after = border[2 * axis : 2 * axis + 2]
        size = tensor.shape[axis]
        if min(before, after) < 0 or max(before, after) > size - reflect:
            raise UnsupportedModel(
                f"MIRROR_PAD cannot mirror {before} and {after} positions of an axis of {size}",
                tensor=tensor.name,
            )
        places = _mirrored(size, before, after, reflect)
        axes.append(listed(place * step for place in places))
        shape.append(len(places))
    has_shape(op, op.output, tuple(shape))
    return Lowered((copy(tensor, op.output, axes),))


def _mirrored(size: int, before: int, after: int, reflect: bool) -> list[int]:
    """Positions along a padded axis.

    >>> _mirrored(3, 2, 1, reflect=True), _mirrored(3, 2, 1, reflect=False)
    ([2, 1, 0, 1, 2, 1], [1, 0, 0, 1, 2, 2])
    """
    head = range(before, 0, -1) if reflect else range(before - 1, -1, -1)
    last = size - 1 - reflect
    return [*head, *range(size), *range(last, last - after, -1)]
