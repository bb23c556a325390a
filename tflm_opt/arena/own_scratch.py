"""Working memory that TFLM asks of this library's kernels in CMSIS-NN's place (docs/cmsis_nn.md).

What their `arm_…_get_buffer_size` functions say of int8 ops, by the instructions that a core has:

    op                    plain C      "dsp"                            "mve"
    convolution           nothing      36 times the window, in words    20 times; nothing for
                                                                        1x1, unpadded, stride 1
    depthwise             nothing      four rows of words, four         rows of words, and the
                                       channels at once                 taps' words
    fully connected       nothing      as a 1x1 convolution, where TFLM takes it for one
    ... as 1x1, one scale a multiplier and a shift for every output, int32: TFLM's own

Tests compare these with the functions themselves, on emulated cores.
"""

from __future__ import annotations

from collections.abc import Callable

from tflm_opt.graph.ir import Op, Tensor
from tflm_opt.graph.options import ConvOptions

_FORMS = 36  # bytes of a pair of weights' short forms
_TOOLS = 248  # bytes of what the assembly is told
_LARGEST = 7  # rows or columns of a depthwise filter that runs on words
_TALL, _COLUMN = 4, 64  # rows of a tile, bytes of a column of it, in Helium's


def own_sizes(op: Op, instructions: str) -> tuple[int, ...] | None:
    """Bytes of each scratch buffer of an int8 op; None if these kernels have no say in it.

    Example:
        >>> own_sizes(conv_3x3_of_8_channels, "dsp")      # 36 x 72 + 36
        (2628,)
    """
    rule = _RULES.get(op.kind)
    source = op.inputs[0] if op.inputs else None
    if rule is None or source is None or source.dtype != "int8":
        return None
    return tuple(size for size in rule(op, source, instructions) if size)


def _convolution(op: Op, source: Tensor, instructions: str) -> tuple[int, ...]:
    weights = op.inputs[1]
    assert weights is not None
    assert isinstance(op.options, ConvOptions)
    _, high, wide, depth = weights.shape
    pads = op.options.padding
    alone = (high, wide, depth, pads.top, pads.left) == (1, 1, source.shape[3], 0, 0)
    if alone and op.options.stride == (1, 1) and op.output.shape[1:3] == source.shape[1:3]:
        return (_pointwise(depth, instructions),)
    return (_windows(high * wide * depth, instructions),)


def _windows(depth: int, instructions: str) -> int:
    words = -(-depth // 4) * 4
    return {"c": 0, "dsp": 36 * words + _FORMS, "mve": 20 * words + _FORMS}[instructions]


def _pointwise(depth: int, instructions: str) -> int:
    return 0 if instructions == "mve" else _windows(depth, instructions)


def _depthwise(op: Op, source: Tensor, instructions: str) -> tuple[int, ...]:
    weights = op.inputs[1]
    assert weights is not None
    assert isinstance(op.options, ConvOptions)
    _, high, wide, outputs = weights.shape
    if instructions == "mve":
        return (_tiles(high, wide, source.shape[2]),)
    if instructions != "dsp" or max(high, wide) > _LARGEST:
        return ()
    if outputs != source.shape[3] or outputs < 4:
        return ()
    strides = [(down, across) for down in (1, 2) for across in (1, 2)]
    return (max(_words(high, wide, source.shape[2], *stride) for stride in strides),)


def _tiles(high: int, wide: int, columns: int) -> int:
    if max(high, wide) > 2 * _TALL:
        return 0
    tiles = 2 if max(high, wide) > _TALL else 1
    return tiles * _COLUMN * (tiles * _TALL + columns + wide + 3 * _TALL)


def _words(high: int, wide: int, columns: int, down: int, across: int) -> int:
    """Bytes for four rows of a depthwise convolution with strides, four channels at once."""
    if high == 3 and wide <= 3 and down == across:
        width, tap_rows = 3, 2
    else:
        width = 5 if max(high, wide) <= 5 else 7
        tap_rows = (high + 1) // 2 + (high // 2 + 1 if down % 2 else 0)
    pairs = (3 * down + high + 1) // 2
    row = (-(-columns // across) - 1) * across + width
    return 16 * (tap_rows * width + 7 + pairs * row) + 12 * (pairs + tap_rows + 4) + _TOOLS


def _fully_connected(op: Op, source: Tensor, instructions: str) -> tuple[int, ...]:
    weights = op.inputs[1]
    assert weights is not None
    if weights.dtype != "int8" or len(op.output.shape) <= 2 or weights.shape[-1] % 4:
        return ()
    scales = weights.quant.scale.size if weights.quant is not None else 1
    shared = 0 if scales > 1 else 2 * 4 * op.output.shape[-1]
    return shared, _pointwise(weights.shape[-1], instructions)


def _nothing(op: Op, source: Tensor, instructions: str) -> tuple[int, ...]:
    return ()


_RULES: dict[str, Callable[[Op, Tensor, str], tuple[int, ...]]] = {
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _fully_connected,
    "AVERAGE_POOL_2D": _nothing,
    "TRANSPOSE_CONV": _nothing,
}
