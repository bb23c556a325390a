"""TRANSPOSE_CONV: inputs are the output's shape, the filter, the input, and a bias."""

from __future__ import annotations

from tflm_opt.codegen.call import Call, Constant, Lowered, Null, Pointer, Scratch, Struct, dims
from tflm_opt.codegen.lower import lowers
from tflm_opt.errors import UnsupportedModel
from tflm_opt.graph.ir import Op
from tflm_opt.graph.operands import bias, int8, of_rank, source, weights
from tflm_opt.graph.options import TransposeConvOptions
from tflm_opt.quant.numerics import activation_range, channel_multipliers


@lowers("TRANSPOSE_CONV")
def transpose_conv(op: Op) -> Lowered:
    """Filter [out, kh, kw, in]; padding is what is cut from the full output."""
    filters = of_rank(op, source(op, 1), 4)
    image = of_rank(op, int8(op, source(op, 2)), 4)
    output = of_rank(op, int8(op, op.output), 4)
    options = op.options
    if not isinstance(options, TransposeConvOptions):
        raise UnsupportedModel("its options are missing", remedy="Export the model again")
    channels = filters.shape[0]
    if (
        filters.shape[3] != image.shape[3]
        or output.shape[3] != channels
        or output.shape[0] != image.shape[0]
    ):
        raise UnsupportedModel(
            f"a filter of {list(filters.shape)} does not fit an input of {list(image.shape)} "
            f"and an output of {list(output.shape)}",
            tensor=filters.name,
        )
    pad = options.padding
    if min(*options.stride) < 1 or min(pad.top, pad.left) < 0:
        raise UnsupportedModel("its stride or padding is out of range")
    values, scales = weights(op, 1, 0, 4)
    multipliers, shifts = channel_multipliers(image.scale, scales, output.scale, channels)
    added = bias(op, 3, channels)
    params = Struct(
        "cmsis_nn_transpose_conv_params",
        "params",
        (
            -image.zero_point,
            output.zero_point,
            (options.stride[1], options.stride[0]),
            (pad.left, pad.top),
            (0, 0),
            (1, 1),
            activation_range(options.activation, output.scale, output.zero_point),
        ),
    )
    quant = Struct(
        "cmsis_nn_per_channel_quant_params",
        "quant",
        (Constant("multiplier", multipliers), Constant("shift", shifts)),
    )
    return Lowered(
        (
            Call(
                "arm_transpose_conv_s8",
                (
                    Scratch(),
                    Null(),
                    params,
                    quant,
                    dims("input_dims", image.shape),
                    Pointer(image),
                    dims("filter_dims", filters.shape),
                    Constant("weights", values),
                    dims("bias_dims", (channels,)),
                    Null() if added is None else Constant("bias", added),
                    dims("output_dims", output.shape),
                    Pointer(output),
                ),
            ),
        )
    )
