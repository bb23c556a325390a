"""Ops on int16 data, with int8 weights ("16x8"): what the lowerings of their kinds ask for.

All zero points are 0. TFLM keeps sums of products in 64 bits and scales them once, by a factor of
16 bits; with an int32 bias it does as for int8. A fully connected op is a convolution of 1x1
windows, whose kernel takes both.
"""

from __future__ import annotations

import math

import numpy as np

from tflm_opt.codegen.axes import broadcast, reduction
from tflm_opt.codegen.call import Call, Constant, Lowered, Null, Pointer, Scratch, Struct, dims
from tflm_opt.errors import UnsupportedModel
from tflm_opt.graph.ir import Op, Tensor
from tflm_opt.graph.operands import addressable, of_type, per_tensor, source, weights
from tflm_opt.graph.options import (
    ConvOptions,
    FullyConnectedOptions,
    LeakyReluOptions,
    Padding,
    SoftmaxOptions,
)
from tflm_opt.quant import wide_tables
from tflm_opt.quant.numerics import (
    RANGES,
    SumParameters,
    activation_range,
    channel_multipliers,
    quantize_multiplier,
    quantized_value,
)

UNARY = ("RELU", "RELU6", "LEAKY_RELU", "LOGISTIC", "TANH")
_INT32 = 2  # in a file's `quantized_bias_type`
_WIDE_SHIFTS = range(-31, 8)


def is_wide(op: Op) -> bool:
    """Whether an op's input is int16."""
    return source(op).dtype == "int16"


def int16(op: Op, tensor: Tensor) -> Tensor:
    """The tensor, if it has int16 values quantized per tensor and symmetrically."""
    per_tensor(op, of_type(op, addressable(op, tensor), "int16"))
    if tensor.zero_point != 0:
        raise UnsupportedModel(
            f"int16 data has zero point 0, and here it is {tensor.zero_point}",
            tensor=tensor.name,
            remedy="Quantize the float model again",
        )
    return tensor


def convolution(op: Op, axis: int) -> Lowered:
    """CONV_2D, or DEPTHWISE_CONV_2D with filters along axis 3; sizes are checked."""
    image, output = int16(op, source(op)), int16(op, op.output)
    filters = source(op, 1)
    values, scales = weights(op, 1, axis, 4)
    options = op.options
    assert isinstance(options, ConvOptions)
    channels = output.shape[3]
    factors = channel_multipliers(image.scale, scales, output.scale, channels)
    extra = (channels // image.shape[3],) if axis == 3 else ()
    if axis == 3:
        function, kind = "arm_depthwise_conv_wrapper_s16", "cmsis_nn_dw_conv_params"
        bias = _bias(op, channels, "int64")
        added: Constant | Null | Struct = Null() if bias is None else Constant("bias", bias)
        _check_shifts(op, factors[1])
    else:
        function, kind = "arm_convolve_wrapper_s16", "cmsis_nn_conv_params"
        added = _either_bias(op, channels, factors[1], options.quantized_bias_type)
    return _products(
        function, kind, extra, image, filters.shape, values, factors, added, output, options
    )


def fully_connected(op: Op) -> Lowered:
    """A convolution of rows of pixels by windows of one; sizes are checked."""
    vectors, output = int16(op, source(op)), int16(op, op.output)
    values, scales = weights(op, 1, 0, 2)
    options = op.options
    assert isinstance(options, FullyConnectedOptions)
    channels, depth = values.shape
    factors = channel_multipliers(vectors.scale, scales, output.scale, channels)
    added = _either_bias(op, channels, factors[1], options.quantized_bias_type)
    rows = output.elements // channels
    return _products(
        "arm_convolve_wrapper_s16",
        "cmsis_nn_conv_params",
        (),
        vectors,
        (channels, 1, 1, depth),
        values,
        factors,
        added,
        output,
        ConvOptions((1, 1), Padding(), (1, 1), options.activation),
        ((1, 1, rows, depth), (1, 1, rows, channels)),
    )


def _products(
    function: str,
    kind: str,
    extra: tuple[int, ...],
    image: Tensor,
    filters: tuple[int, ...],
    values: np.ndarray,
    factors: tuple[np.ndarray, np.ndarray],
    added: Constant | Null | Struct,
    output: Tensor,
    options: ConvOptions,
    shapes: tuple[tuple[int, ...], tuple[int, ...]] | None = None,
) -> Lowered:
    """The call; `shapes` of input and output where they are not the tensors' own."""
    before, after = shapes or (image.shape, output.shape)
    params = (
        0,
        0,
        *extra,
        (options.stride[1], options.stride[0]),
        (options.padding.left, options.padding.top),
        (options.dilation[1], options.dilation[0]),
        activation_range(options.activation, output.scale, 0, "int16"),
    )
    scaling = (Constant("multiplier", factors[0]), Constant("shift", factors[1]))
    arguments = (
        Scratch(),
        Struct(kind, "params", params),
        Struct("cmsis_nn_per_channel_quant_params", "quant", scaling),
        dims("input_dims", before),
        Pointer(image),
        dims("filter_dims", filters),
        Constant("weights", values),
        dims("bias_dims", (after[3],)),
        added,
        dims("output_dims", after),
        Pointer(output),
    )
    return Lowered((Call(function, arguments),))


def _bias(op: Op, channels: int, *allowed: str) -> np.ndarray | None:
    """Bias values, one an output channel, or None where the op has no bias."""
    if len(op.inputs) < 3 or op.inputs[2] is None:
        return None
    tensor = of_type(op, source(op, 2), *allowed)
    if tensor.data is None or tensor.elements != channels:
        raise UnsupportedModel(
            f"the bias of {op.kind} must be {channels} constants", tensor=tensor.name
        )
    return tensor.data.reshape(-1)


def _either_bias(op: Op, channels: int, shifts: np.ndarray, bias_type: int) -> Struct:
    """Bias of 32 or 64 bits, which says in how many sums are kept; without one, an option does."""
    bias = _bias(op, channels, "int32", "int64")
    narrow = bias_type == _INT32 if bias is None else bias.dtype == np.int32
    if not narrow:
        _check_shifts(op, shifts)
    fields = (Null() if bias is None else Constant("bias", bias), int(narrow))
    return Struct("cmsis_nn_bias_data", "bias", fields)


def _check_shifts(op: Op, shifts: np.ndarray) -> None:
    if shifts.max() not in _WIDE_SHIFTS:
        raise UnsupportedModel(
            f"its scales make a factor of 2^{shifts.max()}, and TFLM's 64-bit sums take up to 2^7",
            tensor=op.output.name,
            remedy="The input's scale is far too large for the output's: calibrate again",
        )


def pair(function: str, op: Op, factors: SumParameters, activation: str) -> Lowered:
    """ADD or SUB."""
    first, second, output = (int16(op, t) for t in (source(op, 0), source(op, 1), op.output))
    fields = (
        factors.left_shift,
        0,
        factors.input1,
        0,
        factors.input2,
        0,
        factors.output,
        activation_range(activation, output.scale, 0, "int16"),
    )
    params = Struct("tflm_opt_sum_params", "params", fields)
    return _broadcast(function, params, first, second, output)


def product(op: Op, factor: tuple[int, int], activation: str) -> Lowered:
    """MUL."""
    first, second, output = (int16(op, t) for t in (source(op, 0), source(op, 1), op.output))
    bounds = activation_range(activation, output.scale, 0, "int16")
    params = Struct("tflm_opt_product_params", "params", (0, 0, 0, factor, bounds))
    return _broadcast("tflm_opt_broadcast_mul_s16", params, first, second, output)


def _broadcast(
    function: str, params: Struct, first: Tensor, second: Tensor, output: Tensor
) -> Lowered:
    shape = broadcast("shape", first.shape, second.shape, output.shape)
    return Lowered(
        (Call(function, (params, shape, Pointer(first), Pointer(second), Pointer(output))),)
    )


def total(op: Op, axes: frozenset[int], factor: tuple[int, int]) -> Lowered:
    """MEAN or SUM: the sum of the elements along `axes` times a factor."""
    tensor, output = int16(op, source(op)), int16(op, op.output)
    count = math.prod(tensor.shape[axis] for axis in axes)
    if count >= 1 << 16:
        raise UnsupportedModel(
            f"{count} int16 values may add up to more than TFLM's 32 bits", tensor=tensor.name
        )
    params = Struct("tflm_opt_reduce_params", "params", (0, 0, factor))
    shape = reduction("shape", tensor.shape, axes)
    return Lowered((Call("tflm_opt_sum_s16", (params, shape, Pointer(tensor), Pointer(output))),))


def unary(op: Op) -> Lowered:
    """RELU, RELU6, LEAKY_RELU, LOGISTIC or TANH; TFLM's way to each."""
    tensor, output = int16(op, source(op)), int16(op, op.output)
    if op.kind in ("LOGISTIC", "TANH"):
        function = "tflm_opt_logistic_s16" if op.kind == "LOGISTIC" else "tflm_opt_tanh_of_s16"
        return _sigmoid(function, op, tensor, output)
    low, high = RANGES["int16"]
    ratio = tensor.scale / output.scale
    if op.kind == "RELU6":  # TFLM does not look at the output's scale here
        bounds = 0, min(quantized_value(6.0, tensor.scale, 0), high)
        factors = (0, 0), quantize_multiplier(1.0)
    elif op.kind == "RELU":
        bounds, factors = (0, high), ((0, 0), quantize_multiplier(ratio))
    else:
        alpha = op.options.alpha if isinstance(op.options, LeakyReluOptions) else 0.0
        if alpha < 0:
            raise UnsupportedModel(f"LEAKY_RELU of int16 with alpha {alpha:g}", tensor=output.name)
        below = quantize_multiplier(tensor.scale * float(np.float32(alpha)) / output.scale)
        bounds, factors = (low, high), (below, quantize_multiplier(ratio))
    slopes = Struct("tflm_opt_slopes", "slopes", (*factors, bounds))
    arguments = (slopes, Pointer(tensor), tensor.elements, Pointer(output))
    return Lowered((Call("tflm_opt_leaky_relu_s16", arguments, status=False),))


def _sigmoid(function: str, op: Op, tensor: Tensor, output: Tensor) -> Lowered:
    """The input on a scale of 3 * 2^12 for 1: 15 bits of a factor, as TFLM cuts them off."""
    if output.scale != 1 / 32768:
        raise UnsupportedModel(
            f"its output has scale {output.scale:g}, and int16 {op.kind} needs 1/32768",
            tensor=output.name,
            remedy="Quantize the float model again",
        )
    exact = {1 / 4096: 0, 1 / 2048: 1} if op.kind == "TANH" else {1 / 4096: 0}
    if tensor.scale in exact:
        multiplier, shift = 3 << exact[tensor.scale], 0
    else:
        real, shift = tensor.scale * 4096.0 * 3.0, 0
        while real <= 32767.0 / 2.0 and shift <= 30:
            real, shift = 2.0 * real, shift + 1
        multiplier = int(real)
    if multiplier > 32767:
        raise UnsupportedModel(
            f"TFLM does not define {op.kind} for an input scale of {tensor.scale:g}",
            tensor=tensor.name,
            remedy="Check the calibration of this tensor",
        )
    arguments = (Pointer(tensor), multiplier, shift, tensor.elements, Pointer(output))
    return Lowered((Call(function, arguments, status=False),))


def softmax(op: Op) -> Lowered:
    """By tables of exp and 1 / (1 + x)."""
    logits, output = int16(op, source(op)), int16(op, op.output)
    if abs(output.scale * 32768 - 1) > 0.001 or output.shape != logits.shape or not output.shape:
        raise UnsupportedModel(
            f"its output has scale {output.scale:g}, and int16 softmax needs 1/32768",
            tensor=output.name,
            remedy="Quantize the float model again",
        )
    beta = op.options.beta if isinstance(op.options, SoftmaxOptions) else 1.0
    factor = quantize_multiplier(logits.scale * float(np.float32(beta)) / (10.0 / 65535.0))
    exp, inverse = wide_tables.softmax()
    row = logits.shape[-1]
    tables = (Constant("exp", exp), Constant("inverse", inverse))
    arguments = (
        Pointer(logits),
        logits.elements // row,
        row,
        *factor,
        Struct("cmsis_nn_softmax_lut_s16", "tables", tables),
        Pointer(output),
    )
    return Lowered((Call("arm_softmax_s16", arguments),))
