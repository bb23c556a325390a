"""FULLY_CONNECTED: rows of the input times rows of the filter, per tensor or per channel.

TFLM multiplies the scales in float32 when the filter has one scale and in float64 when it has
one a channel, and refuses a bias whose scale is far from the product of the others.
"""

from __future__ import annotations

import numpy as np

from tflm_opt.codegen import require
from tflm_opt.codegen.call import Call, Constant, Lowered, Null, Pointer, Scratch, Struct, dims
from tflm_opt.codegen.fold import folded
from tflm_opt.codegen.lower import lowers
from tflm_opt.errors import UnsupportedModel
from tflm_opt.graph.ir import Op, Tensor
from tflm_opt.graph.options import FullyConnectedOptions
from tflm_opt.quant.numerics import activation_range, channel_multipliers, product_multiplier

_BIAS_TOLERANCE = 0.02  # of one output step, as in TFLM


@lowers("FULLY_CONNECTED")
def fully_connected(op: Op) -> Lowered:
    """Filter [channels, depth]; the input is read as rows of `depth`, whatever its shape."""
    source = require.int8(require.present(op, 0, "input"), "input")
    filters = require.rank(require.present(op, 1, "filter"), (2,), "filter")
    output = require.int8(op.output, "output")
    options = op.options
    if not isinstance(options, FullyConnectedOptions) or options.weights_format != 0:
        raise UnsupportedModel("its weights are not in the default format")
    channels, depth = filters.shape
    rows = output.elements // channels
    if (
        not output.shape
        or output.shape[-1] != channels
        or rows < 1
        or source.elements != rows * depth
    ):
        raise UnsupportedModel(
            f"an input of {list(source.shape)} and a filter of {list(filters.shape)} don't make "
            f"an output of {list(output.shape)}",
            tensor=output.name,
        )
    weights = require.weights(filters, axis=0)
    bias, offset = folded(weights, 0, require.bias(op, 2, channels), -source.zero_point)
    multipliers, shifts = _factors(op, source, filters)
    per_channel = len(multipliers) > 1
    low, high = activation_range(options.activation, output.scale, output.zero_point)
    params = Struct(
        "cmsis_nn_fc_params",
        "params",
        (offset, 0, output.zero_point, (low, high)),
    )
    quant = (
        Struct(
            "cmsis_nn_per_channel_quant_params",
            "quant",
            (Constant("multiplier", multipliers), Constant("shift", shifts)),
        )
        if per_channel
        else Struct(
            "cmsis_nn_per_tensor_quant_params", "quant", (int(multipliers[0]), int(shifts[0]))
        )
    )
    return Lowered(
        (
            Call(
                "arm_fully_connected_per_channel_s8" if per_channel else "arm_fully_connected_s8",
                (
                    Scratch(),
                    params,
                    quant,
                    Struct("cmsis_nn_dims", "input_dims", (rows, 1, 1, depth)),
                    Pointer(source),
                    Struct("cmsis_nn_dims", "filter_dims", (depth, 1, 1, channels)),
                    Constant("weights", weights),
                    dims("bias_dims", (channels,)),
                    Null() if bias is None else Constant("bias", bias),
                    Struct("cmsis_nn_dims", "output_dims", (rows, 1, 1, channels)),
                    Pointer(output),
                ),
            ),
        )
    )


def _factors(op: Op, source: Tensor, filters: Tensor) -> tuple[np.ndarray, np.ndarray]:
    output = op.output
    assert filters.quant is not None
    if filters.quant.per_channel:
        return channel_multipliers(
            source.scale, filters.quant.scale, output.scale, filters.shape[0]
        )
    filter_scale = float(filters.quant.scale[0])
    bias = require.optional(op, 2)
    if bias is not None:
        bias_scale = float(bias.quant.scale[0]) if bias.quant is not None else 0.0
        difference = abs(source.scale * filter_scale - bias_scale)
        if not difference / output.scale <= _BIAS_TOLERANCE:
            raise UnsupportedModel(
                f"its bias has scale {bias_scale:g} where input and filter make "
                f"{source.scale * filter_scale:g}, and TFLM refuses that",
                tensor=bias.name,
                remedy="Quantize the float model again",
            )
    multiplier, shift = product_multiplier(source.scale, filter_scale, output.scale)
    return np.array([multiplier], np.int32), np.array([shift], np.int32)
