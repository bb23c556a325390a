"""CONV_2D and DEPTHWISE_CONV_2D.

Both hold explicit padding; the kernels take what lies above and to the left, and the output's
size says the rest. Multipliers and shifts of all output channels are computed here, and without
padding the input's zero point goes into the bias.
"""

from __future__ import annotations

import numpy as np

from tflm_opt.codegen.call import Call, Constant, Lowered, Null, Pointer, Scratch, Struct, dims
from tflm_opt.codegen.fold import folded
from tflm_opt.codegen.lower import lowers, wide
from tflm_opt.codegen.settle import settled, sums
from tflm_opt.codegen.unpacked import needed, packed_words
from tflm_opt.errors import UnsupportedModel
from tflm_opt.graph.ir import Op, Tensor
from tflm_opt.graph.operands import bias, int8, of_rank, source, weights
from tflm_opt.graph.options import BandConvOptions, ConvOptions, out_size
from tflm_opt.quant.numerics import activation_range, channel_multipliers


@lowers("CONV_2D")
def conv_2d(op: Op) -> Lowered:
    """Filter [out, kh, kw, in / groups]; the groups follow from the two channel counts."""
    image, filters, options = _operands(op)
    out_channels, height, width, depth = filters.shape
    channels = image.shape[3]
    if channels % depth or op.output.shape[3] != out_channels or out_channels % (channels // depth):
        raise UnsupportedModel(
            f"a filter of {list(filters.shape)} does not fit {channels} input and "
            f"{op.output.shape[3]} output channels",
            tensor=filters.name,
        )
    _check_size(image, op.output, (height, width), options)
    if wide.is_wide(op):
        return wide.convolution(op, axis=0)
    # What the wrapper would find out at run time, each time.
    plain = options.stride == (1, 1) and options.padding.empty and channels == depth
    pointwise = plain and (height, width) == (1, 1)
    function = "arm_convolve_1x1_s8_fast" if pointwise else "arm_convolve_wrapper_s8"
    return _call(function, "cmsis_nn_conv_params", op, axis=0)


@lowers("DEPTHWISE_CONV_2D")
def depthwise_conv_2d(op: Op) -> Lowered:
    """Filter [1, kh, kw, in * multiplier]."""
    image, filters, options = _operands(op)
    one, height, width, out_channels = filters.shape
    channels = image.shape[3]
    if one != 1 or out_channels % channels or op.output.shape[3] != out_channels:
        raise UnsupportedModel(
            f"a filter of {list(filters.shape)} does not fit {channels} input and "
            f"{op.output.shape[3]} output channels",
            tensor=filters.name,
        )
    _check_size(image, op.output, (height, width), options)
    if wide.is_wide(op):
        return wide.convolution(op, axis=3)
    multiplier = out_channels // channels
    return _call(
        "arm_depthwise_conv_wrapper_s8",
        "cmsis_nn_dw_conv_params",
        op,
        axis=3,
        extra=(multiplier,),
    )


def _operands(op: Op) -> tuple[Tensor, Tensor, ConvOptions]:
    data = wide.int16 if wide.is_wide(op) else int8
    image = of_rank(op, data(op, source(op)), 4)
    filters = of_rank(op, source(op, 1), 4)
    of_rank(op, data(op, op.output), 4)
    if not isinstance(op.options, ConvOptions):
        raise UnsupportedModel("its options are missing", remedy="Export the model again")
    return image, filters, op.options


def _check_size(
    image: Tensor, output: Tensor, kernel: tuple[int, int], options: ConvOptions
) -> None:
    """The output's height and width are those that padding, stride and dilation make."""
    pad = options.padding
    sides = ((pad.top, pad.bottom), (pad.left, pad.right))
    made = tuple(
        out_size(image.shape[1 + i], kernel[i], options.stride[i], options.dilation[i], *sides[i])
        for i in range(2)
    )
    if min(*options.stride, *options.dilation) < 1 or min(*sides[0], *sides[1]) < 0:
        raise UnsupportedModel("its stride, dilation or padding is out of range")
    if made != output.shape[1:3] or image.shape[0] != output.shape[0]:
        raise UnsupportedModel(
            f"its output is {list(output.shape)} where its options make {list(made)} "
            "rows and columns",
            tensor=output.name,
        )


def _call(
    function: str,
    params_type: str,
    op: Op,
    *,
    axis: int,
    extra: tuple[int, ...] = (),
) -> Lowered:
    """The call: parameters, quantization, then dims and data in pairs."""
    image, filters, options = _operands(op)
    values, scales = weights(op, 1, axis, 4)
    output = op.output
    pad = options.padding
    channels = output.shape[3]
    multipliers, shifts = channel_multipliers(image.scale, scales, output.scale, channels)
    added, offset = bias(op, 2, channels), -image.zero_point
    # All bands of a convolution share one bias, so padding anywhere keeps the zero point out of it.
    whole = options.whole if isinstance(options, BandConvOptions) else pad
    bounds = activation_range(options.activation, output.scale, output.zero_point)
    reach = sums(values, axis, added, offset)
    fitted = settled(multipliers, shifts, reach, output.zero_point, bounds)
    if fitted.added.any():
        added = fitted.added if added is None else (added + fitted.added).astype(np.int32)
    if whole.empty:
        added, offset = folded(values, axis, added, offset)
    room = needed(op) if filters.dtype == "int4" else 0
    if room:
        function = "tflm_opt_depthwise_s4" if axis == 3 else "tflm_opt_convolve_s4"
    elif axis == 3 and _is_plain(op, fitted.shifts, added, offset):
        function = "tflm_opt_depthwise_plain_s8"
    params = (
        offset,
        output.zero_point,
        *extra,
        (options.stride[1], options.stride[0]),
        (pad.left, pad.top),
        (options.dilation[1], options.dilation[0]),
        bounds,
    )
    factors = (Constant("multiplier", fitted.multipliers), Constant("shift", fitted.shifts))
    arguments = (
        Scratch(),
        Struct(params_type, "params", params),
        Struct("cmsis_nn_per_channel_quant_params", "quant", factors),
        dims("input_dims", image.shape),
        Pointer(image),
        dims("filter_dims", filters.shape),
        Constant("weights", packed_words(values) if room else values),
        dims("bias_dims", (channels,)),
        Null() if added is None else Constant("bias", added),
        dims("output_dims", output.shape),
        Pointer(output),
    )
    return Lowered((Call(function, arguments),), room, more=room > 0)


def _is_plain(op: Op, shifts: np.ndarray, added: np.ndarray | None, offset: int) -> bool:
    """What `tflm_opt_depthwise_plain_s8` doesn't check; the wrapper would, each time."""
    image, filters, options = _operands(op)
    pad, kernel = options.padding, filters.shape[1:3]
    most = (1 << 30) - 1 - 128 * max(128 - offset, 127 + offset) * kernel[0] * kernel[1]
    largest = 0 if added is None else int(np.abs(added.astype(np.int64)).max())
    return (
        4 <= image.shape[3] == filters.shape[3]
        and options.dilation == (1, 1)
        and kernel[0] <= 16
        and kernel[1] < 1024
        and bool(((shifts >= -31) & (shifts < 0)).all())
        and largest <= most
        and all(
            before < taps and (made - 1) * stride - before < size
            for before, taps, made, stride, size in zip(
                (pad.top, pad.left),
                kernel,
                op.output.shape[1:3],
                options.stride,
                image.shape[1:3],
                strict=True,
            )
        )
    )
