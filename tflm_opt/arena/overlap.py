"""Safe distances: how far an op's output must lie below its input to be written over it.

The idea: a kernel that writes its output in memory order, each element once, and reads for an
element only that element's own window, is done with an input byte once every output element that
reads it has been written. Output and input may then share memory if, whenever the kernel writes,
the end of what is written has not passed the lowest input byte that is still to be read:

    memory      |<- d ->|
    output      [wwwwwwwwwwww>              ]      w: written so far
    input               [.....rrrrrrrrrrrrrrr]     r: still to be read,  .: dead

So `d` is the maximum, over the output elements, of (bytes written with this element) - (lowest
input byte that later elements read). Any larger distance is safe too. A `d` below 0 would mean
that the output may even start above the input; nothing gains from that, so it becomes 0.

Which ops a kernel of ours runs in that order is what the kernel table says. A kernel that works on
several pixels, or on a whole row, at a time may have written all of them while it still reads their
windows: `block`, in output elements, stands for that.

Sources of the idea: DMO (Blacker, Bridges, Hadfield: "Rapid Deployment of DNNs for Edge
Computing via Structured Pruning at Initialization", and "Diagonal Memory Optimisation for
Machine Learning on Micro-controllers", 2020) and vMCU (MLSys 2024).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tflm_opt.graph.ir import Op, Tensor
from tflm_opt.graph.optable import OPS, ShapeError
from tflm_opt.graph.options import ConcatenationOptions, ConvOptions, Padding, PoolOptions

# Above every position in an input: "reads nothing".
NOTHING = np.iinfo(np.int64).max // 4

# fmt: off
UNARY = frozenset({
    "ABS", "CAST", "CEIL", "COS", "DEQUANTIZE", "ELU", "EXP", "FLOOR", "GELU", "HARD_SWISH",
    "LEAKY_RELU", "LOG", "LOGICAL_NOT", "LOGISTIC", "NEG", "QUANTIZE", "RELU", "RELU6",
    "RELU_0_TO_1", "RELU_N1_TO_1", "ROUND", "RSQRT", "SIGN", "SIN", "SQRT", "SQUARE", "TANH",
})
BINARY = frozenset({
    "ADD", "DIV", "EQUAL", "FLOOR_DIV", "FLOOR_MOD", "GREATER", "GREATER_EQUAL", "LESS",
    "LESS_EQUAL", "LOGICAL_AND", "LOGICAL_OR", "MAXIMUM", "MINIMUM", "MUL", "NOT_EQUAL", "POW",
    "PRELU", "SQUARED_DIFFERENCE", "SUB",
})
REDUCTIONS = frozenset({"MEAN", "REDUCE_ALL", "REDUCE_ANY", "REDUCE_MAX", "REDUCE_MIN", "SUM"})

# Ops that stock TFLM and CMSIS-NN compute element by element, reading position i before writing
# position i, so that output and input may be the same memory.
TFLM_IN_PLACE = frozenset({
    "ADD", "HARD_SWISH", "LEAKY_RELU", "LOGISTIC", "MAXIMUM", "MINIMUM", "MUL", "RELU", "RELU6",
    "SUB", "TANH",
})
# fmt: on


def safe_distance(op: Op, position: int, block: int = 1) -> int | None:
    """Bytes that input `position` must lie above the op's output, or None: never overlap.

    Example:
        >>> safe_distance(pointwise_8_to_16, 0)     # 100 pixels: 800 bytes in, 1600 out
        792

    Args:
        op: any op; None for those whose reading order is not modelled, and for several outputs.
        position: of a computed input, in `op.inputs`.
        block: output elements that may be written, in any order, before the reads of the first
            of them are done. 1 is the order above.
    """
    source = op.inputs[position]
    reads = lowest_reads(op, position)
    if reads is None or source is None:
        return None
    count = reads.size
    ahead = np.minimum.accumulate(reads[::-1])[::-1]
    # With block 1, an element is written after its own reads: only later ones matter.
    first = np.arange(1, count) if block == 1 else np.arange(0, count, block)
    written = np.minimum(first if block == 1 else first + block, count) * op.output.itemsize
    needed = ahead[first]
    held = needed < NOTHING
    gaps = written[held] - needed[held] * source.itemsize
    return max(int(gaps.max(initial=0)), 0)


def lowest_reads(op: Op, position: int) -> np.ndarray | None:
    """The lowest element of input `position` that each output element reads (int64, flat).

    `NOTHING` where it reads none of it; None if the op's reading order is not modelled. It may be
    too low, never too high.
    """
    source = op.inputs[position]
    rule = _RULES.get(op.kind)
    if rule is None or source is None or len(op.outputs) != 1 or not _whole_bytes(op, source):
        return None
    reads = rule(op, position)
    if reads is None or reads.size != op.output.elements:
        return None
    return reads


def in_place_in_tflm(op: Op, position: int) -> bool:
    """Whether stock TFLM may write the op's output over input `position`.

    Same shape and type on all computed sides, and a kernel that works element by element both in
    TFLM's reference and in CMSIS-NN.
    """
    source = op.inputs[position]
    if op.kind not in TFLM_IN_PLACE or len(op.outputs) != 1 or source is None:
        return False
    same = [t is None or t.shape == op.output.shape for t in op.inputs]
    return all(same) and source.dtype == op.output.dtype


def _whole_bytes(op: Op, source: Tensor) -> bool:
    return not {"int4", "uint4"} & {source.dtype, op.output.dtype} and 0 not in (
        source.elements,
        op.output.elements,
    )


def _positions(tensor: Tensor) -> np.ndarray:
    return np.arange(tensor.elements, dtype=np.int64).reshape(tensor.shape)


def _source(op: Op, position: int) -> Tensor:
    tensor = op.inputs[position]
    if tensor is None:
        raise ValueError(f"{op!r} has no input {position}")
    return tensor


def _constant(op: Op, position: int) -> np.ndarray | None:
    tensor = op.inputs[position] if position < len(op.inputs) else None
    return None if tensor is None or tensor.data is None else tensor.data


def _elementwise(op: Op, position: int) -> np.ndarray | None:
    """Unary and binary ops; a broadcast input is read again and again."""
    try:
        return np.broadcast_to(_positions(_source(op, position)), op.output.shape).ravel()
    except ValueError:
        return None


def _window(op: Op, position: int) -> np.ndarray | None:
    """Convolution and pooling: the window's first row and column inside, and its channel."""
    source = _source(op, position)
    geometry = _geometry(op)
    if position != 0 or geometry is None or len(source.shape) != 4 or source.shape[0] != 1:
        return None
    kernel, stride, dilation, padding = geometry
    _, height, width, channels = source.shape
    _, rows, columns, depth = op.output.shape
    y = _first_inside(rows, kernel[0], stride[0], dilation[0], padding.top, height)
    x = _first_inside(columns, kernel[1], stride[1], dilation[1], padding.left, width)
    pixel = np.where(
        (y[:, None] < NOTHING) & (x[None, :] < NOTHING),
        y[:, None] * width + x[None, :],
        NOTHING // channels - channels,
    )
    reads = pixel[:, :, None] * channels + _first_channel(op, channels, depth)[None, None, :]
    empty = pixel >= NOTHING // channels - channels
    return np.where(empty[:, :, None], NOTHING, reads).ravel()


def _geometry(
    op: Op,
) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int], Padding] | None:
    options = op.options
    if isinstance(options, PoolOptions):
        return options.kernel, options.stride, (1, 1), options.padding
    weights = op.inputs[1] if len(op.inputs) > 1 else None
    if isinstance(options, ConvOptions) and weights is not None:
        kernel = (weights.shape[1], weights.shape[2])
        return kernel, options.stride, options.dilation, options.padding
    return None


def _first_inside(
    count: int, kernel: int, stride: int, dilation: int, before: int, size: int
) -> np.ndarray:
    """First input row (or column) that each output row reads; NOTHING if its window is outside."""
    start = np.arange(count, dtype=np.int64) * stride - before
    tap = np.maximum(0, -(start // dilation))
    first = start + tap * dilation
    return np.where((tap < kernel) & (first < size), first, NOTHING)


def _first_channel(op: Op, channels: int, depth: int) -> np.ndarray:
    out = np.arange(depth, dtype=np.int64)
    if op.kind == "CONV_2D":
        weights = _source(op, 1)
        groups = channels // weights.shape[3]
        return out // (depth // groups) * weights.shape[3]
    return out // (depth // channels)


def _fully_connected(op: Op, position: int) -> np.ndarray | None:
    weights = op.inputs[1]
    if position != 0 or weights is None or len(weights.shape) != 2:
        return None
    units, depth = weights.shape
    rows = _source(op, 0).elements // depth
    return np.repeat(np.arange(rows, dtype=np.int64) * depth, units)


def _softmax(op: Op, position: int) -> np.ndarray | None:
    """Every element needs its whole row: for the maximum and the sum."""
    source = _source(op, position)
    depth = source.shape[-1] if source.shape else 1
    return np.arange(source.elements, dtype=np.int64) // depth * depth


def _pad(op: Op, position: int) -> np.ndarray | None:
    widths = _constant(op, 1)
    source = _source(op, 0)
    if position != 0 or widths is None or widths.shape != (len(source.shape), 2):
        return None
    return np.pad(_positions(source), widths.tolist(), constant_values=NOTHING).ravel()


def _concatenation(op: Op, position: int) -> np.ndarray | None:
    options = op.options
    if not isinstance(options, ConcatenationOptions):
        return None
    parts = [
        _positions(t) if i == position else np.full(t.shape, NOTHING)
        for i, t in enumerate(op.inputs)
        if t is not None
    ]
    return np.concatenate(parts, axis=options.axis).ravel()


def _reduction(op: Op, position: int) -> np.ndarray | None:
    axes = _constant(op, 1)
    if position != 0 or axes is None:
        return None
    return _positions(_source(op, 0)).min(axis=tuple(np.atleast_1d(axes).tolist())).ravel()


def _transpose(op: Op, position: int) -> np.ndarray | None:
    order = _constant(op, 1)
    if position != 0 or order is None:
        return None
    return _positions(_source(op, 0)).transpose(order.tolist()).ravel()


def _slice(op: Op, position: int) -> np.ndarray | None:
    begin = _constant(op, 1)
    if position != 0 or begin is None:
        return None
    cut = tuple(slice(b, b + n) for b, n in zip(begin.tolist(), op.output.shape, strict=True))
    return _positions(_source(op, 0))[cut].ravel()


def _stretched(op: Op, position: int) -> np.ndarray | None:
    """Resizes and transposed convolutions: the first row and column that each place reads."""
    data = 2 if op.kind == "TRANSPOSE_CONV" else 0
    source = _source(op, data)
    if position != data or len(source.shape) != 4 or source.shape[0] != 1:
        return None
    try:
        y, x = (OPS[op.kind].reach(op, data, axis) for axis in (1, 2))
    except ShapeError:
        return None
    _, _, width, channels = source.shape
    rows, columns = (np.where(np.less(r.starts, r.stops), r.starts, NOTHING) for r in (y, x))
    reads = (rows[:, None] < NOTHING) & (columns[None, :] < NOTHING)
    pixel = np.where(reads, rows[:, None] * width + columns[None, :], 0)
    depth = op.output.shape[3]
    every = np.zeros(depth, np.int64) if op.kind == "TRANSPOSE_CONV" else np.arange(depth)
    places = pixel[:, :, None] * channels + every
    return np.where(reads[:, :, None], places, NOTHING).ravel()


_RULES: dict[str, Callable[[Op, int], np.ndarray | None]] = {
    **dict.fromkeys(UNARY | BINARY, _elementwise),
    **dict.fromkeys(REDUCTIONS, _reduction),
    **dict.fromkeys(("CONV_2D", "DEPTHWISE_CONV_2D", "AVERAGE_POOL_2D", "MAX_POOL_2D"), _window),
    **dict.fromkeys(("PAD", "PADV2"), _pad),
    **dict.fromkeys(("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "TRANSPOSE_CONV"), _stretched),
    "CONCATENATION": _concatenation,
    "FULLY_CONNECTED": _fully_connected,
    "SLICE": _slice,
    "SOFTMAX": _softmax,
    "TRANSPOSE": _transpose,
}
