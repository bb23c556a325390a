"""Working memory that TFLM's CMSIS-NN kernels ask for, by the instructions that a core has.

What the kernels keep there, and so what they ask for (int8, GCC or Clang; CMSIS-NN 7 as TFLM pins
it, its `arm_…_get_buffer_size` functions):

    op                    plain C, "dsp"                     "mve"
    convolution           two windows (im2col), int16        four windows, int8, in 16s
    ... 1x1, unpadded     nothing                            nothing
    ... 1xn on one row    as others                          the padded ends of the row
    depthwise             dsp: filter window of all          four windows of 124 channels
                          channels, int16; nothing in C
    ... 3x3, padding <= 1 nothing                            as others
    ... one input channel nothing                            as a convolution, and its filter
    ... dilated           nothing                            nothing
    average pooling       dsp: an int32 sum a channel        nothing
    fully connected       nothing                            an int32 sum an output
    ... as 1x1, one scale a multiplier and a shift for every output, int32
    transposed            rows of int32 sums, or the windows of a convolution and its filter turned

Other ops run TFLM's reference kernels, or ask for what those ask for. The armclang compiler's
1x1 convolution on "dsp" takes 4 bytes an input channel more.
"""

from __future__ import annotations

from collections.abc import Callable

from tflm_opt.graph.ir import Op, Tensor
from tflm_opt.graph.options import ConvOptions, TransposeConvOptions

INSTRUCTIONS = ("c", "dsp", "mve")
_INT = 4
_MVE_CHANNELS = 124  # that a depthwise convolution takes at once
_TURNED = 16  # input channels above which a transposed convolution runs as a convolution

# The instructions of each core of `boards.toml`, as the compiler's flags for it give them.
OF_CORE = {
    "cortex-m0plus": "c",
    "cortex-m3": "c",
    "cortex-m4": "dsp",
    "cortex-m7": "dsp",
    "cortex-m33": "dsp",
    "cortex-m55": "mve",
    "rv32imc": "c",
    "xtensa-lx7": "c",
}


def cmsis_sizes(op: Op, instructions: str) -> tuple[int, ...] | None:
    """Bytes of each scratch buffer of an int8 op; None if CMSIS-NN has no say in it.

    Example:
        >>> cmsis_sizes(conv_3x3_of_8_channels, "dsp")      # 2 windows x 72 x 2 bytes
        (288,)

    Raises:
        ValueError: an unknown set of instructions.
    """
    if instructions not in INSTRUCTIONS:
        raise ValueError(f"{instructions!r} is none of {', '.join(INSTRUCTIONS)}")
    rule = _RULES.get(op.kind)
    position = 2 if op.kind == "TRANSPOSE_CONV" else 0
    source = op.inputs[position] if len(op.inputs) > position else None
    if rule is None or source is None or source.dtype != "int8":
        return None
    return tuple(size for size in rule(op, source, instructions) if size)


def _convolution(op: Op, source: Tensor, instructions: str) -> tuple[int, ...]:
    weights, options = op.inputs[1], op.options
    assert weights is not None
    assert isinstance(options, ConvOptions)
    return (_windows(source, op.output, weights.shape, options, instructions),)


def _windows(
    source: Tensor, out: Tensor, weights: tuple[int, ...], options: ConvOptions, instructions: str
) -> int:
    """Bytes for the windows of a convolution with a filter of (out, h, w, in)."""
    (_, high, wide, depth), channels = weights, source.shape[3]
    pads = options.padding
    plain = options.dilation == (1, 1) and depth == channels
    if plain and (high, wide, pads.top, pads.left) == (1, 1, 0, 0):
        return 0
    if instructions != "mve":
        return _im2col(high * wide * channels)
    flat = source.shape[1] == 1 and high == 1 and options.dilation[1] == 1 and depth == channels
    if flat and options.stride[1] * channels % 4 == 0:
        return _one_row(source, out, wide, options)
    return _mve_windows(high * wide * channels)


def _im2col(window: int) -> int:
    return 2 * 2 * (-(-window // 4) * 4)


def _mve_windows(window: int) -> int:
    return 4 * 16 * -(-window // 16)


def _one_row(source: Tensor, out: Tensor, kernel: int, options: ConvOptions) -> int:
    """A 1 x n convolution on one row: its first and its last window, padding included."""
    channels, stride, left = source.shape[3], options.stride[1], options.padding.left
    columns = out.shape[2]
    odd = ((columns - 1) * stride + kernel - source.shape[2]) % 2
    right_count = max(1, -(-(left + odd) // stride)) if left + odd else 0
    left_count = max(1, -(-left // stride)) if left else 0
    if right_count + left_count > columns:
        return _mve_windows(kernel * channels)
    right = right_count * channels if odd else left * channels
    return max((kernel + left) * channels, (kernel - 1) * channels + right)


def _depthwise(op: Op, source: Tensor, instructions: str) -> tuple[int, ...]:
    weights, options = op.inputs[1], op.options
    assert weights is not None
    assert isinstance(options, ConvOptions)
    (one, high, wide, outputs), channels = weights.shape, source.shape[3]
    if instructions == "mve" and channels == 1 and outputs > 1:
        turned = (outputs, high, wide, one)
        windows = _windows(source, op.output, turned, options, instructions)
        return (windows + weights.elements,)
    if channels != outputs or source.shape[0] != 1 or options.dilation != (1, 1):
        return ()
    if instructions == "mve":
        return (4 * _MVE_CHANNELS * high * wide,)
    small = (high, wide) == (3, 3) and max(options.padding.top, options.padding.left) <= 1
    return (2 * channels * high * wide,) if instructions == "dsp" and not small else ()


def _fully_connected(op: Op, source: Tensor, instructions: str) -> tuple[int, ...]:
    weights = op.inputs[1]
    assert weights is not None
    if weights.dtype != "int8":
        return ()
    outputs = op.output.shape[-1]
    if len(op.output.shape) > 2 and weights.shape[-1] % 4 == 0:
        scales = weights.quant.scale.size if weights.quant is not None else 1
        return () if scales > 1 else (2 * _INT * outputs,)
    return (_INT * outputs,) if instructions == "mve" else ()


def _average_pool(op: Op, source: Tensor, instructions: str) -> tuple[int, ...]:
    return (_INT * source.shape[3],) if instructions == "dsp" else ()


def _transposed(op: Op, source: Tensor, instructions: str) -> tuple[int, ...]:
    weights, options = op.inputs[1], op.options
    assert weights is not None
    assert isinstance(options, TransposeConvOptions)
    _, high, wide, depth = weights.shape
    if max(options.stride) <= 2 and depth > _TURNED:
        windows = _mve_windows if instructions == "mve" else _im2col
        return windows(high * wide * depth), weights.elements
    tall = options.stride[0]
    columns = (source.shape[2] - 1) * options.stride[1] + max(wide, tall)
    return (_INT * columns * op.output.shape[3] * max(high, tall),)


_RULES: dict[str, Callable[[Op, Tensor, str], tuple[int, ...]]] = {
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _fully_connected,
    "AVERAGE_POOL_2D": _average_pool,
    "TRANSPOSE_CONV": _transposed,
}
