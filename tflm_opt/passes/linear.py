"""CONV_2D and FULLY_CONNECTED seen alike: sums over taps and input channels, then a rescaling.

What `dead_channels` needs to know of them: the integers that TFLM multiplies and adds, and the
exact value of an output channel whose sum is known offline.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import UnsupportedModel
from ..graph import ir, options
from ..quant import numerics
from ..quant.fixed_point import requantize

_INT32 = np.iinfo(np.int32)


@dataclass(frozen=True, slots=True, eq=False)
class Rescale:
    """From int32 sums to stored int8 outputs, a channel each.

    Attributes:
        multipliers, shifts: int32, shape (channels,).
        zero_point: of the output.
        low, high: stored bounds of the fused activation, both inclusive.
    """

    multipliers: np.ndarray
    shifts: np.ndarray
    zero_point: int
    low: int
    high: int

    def __call__(self, sums: np.ndarray) -> np.ndarray:
        """Stored outputs of int64 sums, shape (channels,), all in the int32 range."""
        factors = zip(sums, self.multipliers.tolist(), self.shifts.tolist(), strict=True)
        scaled = [int(requantize(np.array([s]), m, shift)[0]) for s, m, shift in factors]
        return np.clip(np.array(scaled, np.int64) + self.zero_point, self.low, self.high)


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """A convolution or fully connected op.

    Attributes:
        weights: int64, shape (output channels, taps, input channels).
        bias: int64, shape (output channels,).
        zero_point: the input's; padding holds it.
        padded: whether some windows reach over the input's edge.
    """

    weights: np.ndarray
    bias: np.ndarray
    zero_point: int
    padded: bool
    rescale: Rescale

    def same_everywhere(self, values: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Which input channels add the same to a sum at every output position.

        Args:
            values: int64, stored values of the channels that are constant.
            known: bool, which are.
        """
        return known & ((values == self.zero_point) | (not self.padded))

    def shares(self, values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """What each chosen, constant input channel adds: int64, (output channels, chosen)."""
        return self.weights[:, :, chosen].sum(axis=1) * (values[chosen] - self.zero_point)


def linear(op: ir.Op) -> Linear | None:
    """`op` as integers; None unless it is an int8 CONV_2D (not grouped) or FULLY_CONNECTED."""
    if op.kind not in ("CONV_2D", "FULLY_CONNECTED") or not plain_int8(op):
        return None
    source, filters, _ = operands(op)
    weights = values_of(filters).astype(np.int64)
    weights = weights.reshape(weights.shape[0], -1, weights.shape[-1])
    outputs, inputs = weights.shape[0], weights.shape[2]
    if source.shape[-1] != inputs or op.output.shape[-1] != outputs:
        return None
    record = op.options
    if isinstance(record, options.FullyConnectedOptions) and record.weights_format:
        return None
    padded = isinstance(record, options.ConvOptions) and not record.padding.empty
    scaling = rescale(op, outputs)
    if scaling is None:
        return None
    return Linear(weights, bias_of(op, outputs), source.zero_point, padded, scaling)


def operands(op: ir.Op) -> tuple[ir.Tensor, ir.Tensor, ir.Tensor | None]:
    """(input, filter, bias or None) of a convolution or fully connected op."""
    source, filters, *rest = op.inputs
    if source is None or filters is None:
        raise ValueError(f"{op} has no input or no filter")
    return source, filters, rest[0] if rest else None


def values_of(tensor: ir.Tensor) -> np.ndarray:
    """The values of a constant."""
    if tensor.data is None:
        raise ValueError(f"{tensor} is not a constant")
    return tensor.data


def plain_int8(op: ir.Op) -> bool:
    """Whether activations and constant weights are int8, quantized as TFLite's spec has it."""
    if len(op.inputs) < 2 or op.inputs[0] is None or op.inputs[1] is None:
        return False
    source, filters, bias = operands(op)
    if filters.data is None or filters.quant is None:
        return False
    if {source.dtype, op.output.dtype} != {"int8"} or filters.dtype not in ("int8", "int4"):
        return False
    if filters.quant.zero_point.any():
        return False
    if filters.data.shape != filters.shape or not (_per_tensor(source) and _per_tensor(op.output)):
        return False
    if bias is None:
        return True
    return bias.data is not None and bias.dtype == "int32" and len(bias.shape) == 1


def _per_tensor(tensor: ir.Tensor) -> bool:
    return tensor.quant is not None and tensor.quant.scale.size == 1


def bias_of(op: ir.Op, channels: int) -> np.ndarray:
    """The bias as int64, zeros where the op has none."""
    bias = operands(op)[2]
    return np.zeros(channels, np.int64) if bias is None else values_of(bias).astype(np.int64)


def rescale(op: ir.Op, channels: int) -> Rescale | None:
    """How TFLM rescales the op's sums; None where its scales make TFLM refuse the model."""
    (source, filters, _), output = operands(op), op.output
    scales: list[float] = filters.quant.scale.tolist() if filters.quant else []
    try:
        if op.kind == "FULLY_CONNECTED" and len(scales) == 1:
            pair = numerics.product_multiplier(source.scale, filters.scale, output.scale)
            multipliers, shifts = (np.full(channels, part, np.int32) for part in pair)
        else:
            multipliers, shifts = numerics.channel_multipliers(
                source.scale, scales, output.scale, channels
            )
        activation = getattr(op.options, "activation", "NONE")
        low, high = numerics.activation_range(activation, output.scale, output.zero_point)
    except UnsupportedModel:
        return None
    return Rescale(multipliers, shifts, output.zero_point, low, high)


def fits_int32(sums: np.ndarray) -> np.ndarray:
    """Which int64 values an int32 can hold."""
    return (sums >= _INT32.min) & (sums <= _INT32.max)
