"""FULLY_CONNECTED: rows of the input times rows of the filter, per tensor or per channel.

TFLM multiplies the scales in float32 when the filter has one scale and in float64 when it has
one a channel, and refuses a bias whose scale is far from the product of the others.
"""

from __future__ import annotations

import numpy as np

from tflm_opt.codegen.call import Call, Constant, Lowered, Null, Pointer, Scratch, Struct, dims
from tflm_opt.codegen.fold import folded
from tflm_opt.codegen.lower import lowers, wide
from tflm_opt.codegen.unpacked import needed, packed_words
from tflm_opt.errors import UnsupportedModel
from tflm_opt.graph.ir import Op, Tensor
from tflm_opt.graph.operands import bias, int8, of_rank, source, weights
from tflm_opt.graph.options import FullyConnectedOptions
from tflm_opt.quant.numerics import activation_range, channel_multipliers, product_multiplier

# Channels that make a block; fewer have a kernel of their own.
_MANY = 4

# What kernels that multiply in pairs take, so that no sum saturates before it is whole.
_PAIRED_DEPTH = 1 << 13
_PAIRED_BIAS = 1 << 29

_BIAS_TOLERANCE = 0.02  # of one output step, as in TFLM


@lowers("FULLY_CONNECTED")
def fully_connected(op: Op) -> Lowered:
    """Filter [channels, depth]; the input is read as rows of `depth`, whatever its shape."""
    data = wide.int16 if wide.is_wide(op) else int8
    vectors = data(op, source(op))
    filters = of_rank(op, source(op, 1), 2)
    output = data(op, op.output)
    options = op.options
    if not isinstance(options, FullyConnectedOptions) or options.weights_format != 0:
        raise UnsupportedModel("its weights are not in the default format")
    channels, depth = filters.shape
    rows = output.elements // channels
    if (
        not output.shape
        or output.shape[-1] != channels
        or rows < 1
        or vectors.elements != rows * depth
    ):
        raise UnsupportedModel(
            f"an input of {list(vectors.shape)} and a filter of {list(filters.shape)} don't make "
            f"an output of {list(output.shape)}",
            tensor=output.name,
        )
    if wide.is_wide(op):
        return wide.fully_connected(op)
    values, scales = weights(op, 1, 0, 2)
    added, offset = folded(values, 0, bias(op, 2, channels), -vectors.zero_point)
    multipliers, shifts = _factors(op, vectors, filters, scales)
    low, high = activation_range(options.activation, output.scale, output.zero_point)
    params = Struct(
        "cmsis_nn_fc_params",
        "params",
        (offset, 0, output.zero_point, (low, high)),
    )
    int4 = filters.dtype == "int4"
    plain = None if offset else added
    pairs = None if plain is None or channels < _MANY else _less_pairs(plain, values)
    if int4:
        factors = (Constant("multiplier", multipliers), Constant("shift", shifts))
        quant = Struct("cmsis_nn_quant_params", "quant", (*factors, int(len(multipliers) > 1)))
        function, pairs = "tflm_opt_fully_connected_s4", None
    elif channels >= _MANY:
        function, quant = _function("spread_", multipliers, shifts, plain=pairs is not None)
    else:
        function, quant = _function("few_", multipliers, shifts, plain=plain is not None)
    return Lowered(
        (
            Call(
                function,
                (
                    Scratch(),
                    params,
                    quant,
                    Struct("cmsis_nn_dims", "input_dims", (rows, 1, 1, depth)),
                    Pointer(vectors),
                    Struct("cmsis_nn_dims", "filter_dims", (depth, 1, 1, channels)),
                    Constant("weights", packed_words(values) if int4 else values),
                    dims("bias_dims", (channels,)),
                    Null() if added is None else Constant("bias", added, pairs),
                    Struct("cmsis_nn_dims", "output_dims", (rows, 1, 1, channels)),
                    Pointer(output),
                ),
            ),
        ),
        needed(op) if int4 else 0,
        more=int4,
    )


def _function(
    kind: str, multipliers: np.ndarray, shifts: np.ndarray, *, plain: bool
) -> tuple[str, Struct]:
    """The kernel, and its scales: one, or one a channel.

    Plain layers have biases, which hold what the offset of the input adds, and are of two kinds.
    """
    per_channel = len(multipliers) > 1
    constants = (Constant("multiplier", multipliers), Constant("shift", shifts))
    if plain:
        quant = Struct("cmsis_nn_quant_params", "quant", (*constants, int(per_channel)))
        return f"tflm_opt_fully_connected_{kind}s8", quant
    if per_channel:
        quant = Struct("cmsis_nn_per_channel_quant_params", "quant", constants)
        return "arm_fully_connected_per_channel_s8", quant
    factor = (int(multipliers[0]), int(shifts[0]))
    return "arm_fully_connected_s8", Struct("cmsis_nn_per_tensor_quant_params", "quant", factor)


def _less_pairs(added: np.ndarray, values: np.ndarray) -> np.ndarray | None:
    """Biases less products of neighbouring weights, as `tflm_opt_fully_connected_s8` has them.

    >>> _less_pairs(np.array([100], np.int32), np.array([[1, 2, 3, 4, 5]], np.int8))
    array([86], dtype=int32)

    None where they or the sums that they start could be too large for it.
    """
    whole = values[:, : values.shape[1] & ~3].astype(np.int64)
    less = added.astype(np.int64) - (whole[:, 0::2] * whole[:, 1::2]).sum(axis=1)
    if values.shape[1] > _PAIRED_DEPTH or np.abs(less).max() >= _PAIRED_BIAS:
        return None
    return less.astype(np.int32)


def _factors(
    op: Op, vectors: Tensor, filters: Tensor, scales: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    output = op.output
    if filters.quant is not None and filters.quant.per_channel:
        return channel_multipliers(vectors.scale, scales, output.scale, filters.shape[0])
    filter_scale = float(scales[0])
    added = op.inputs[2] if len(op.inputs) > 2 else None
    if added is not None:
        bias_scale = float(added.quant.scale[0]) if added.quant is not None else 0.0
        difference = abs(vectors.scale * filter_scale - bias_scale)
        if not difference / output.scale <= _BIAS_TOLERANCE:
            raise UnsupportedModel(
                f"its bias has scale {bias_scale:g} where input and filter make "
                f"{vectors.scale * filter_scale:g}, and TFLM refuses that",
                tensor=added.name,
                remedy="Quantize the float model again",
            )
    multiplier, shift = product_multiplier(vectors.scale, filter_scale, output.scale)
    return np.array([multiplier], np.int32), np.array([shift], np.int32)
