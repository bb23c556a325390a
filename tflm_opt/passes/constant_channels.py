"""Which channels of which tensors hold one known value at every position, whatever the input.

A forward analysis. It starts at convolutions: an output channel whose weights are all zero, or
meet only constant input channels, is its rescaled bias everywhere. A constant channel stays one
through pooling and elementwise ops. Through a depthwise convolution or a PAD with real padding
it does only if its value is the one that padding has.

Exact: every value is computed with TFLM's own integer arithmetic, or counts as unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..errors import UnsupportedModel
from ..graph import ir, options
from ..quant import numerics, tables
from ..quant.fixed_point import requantize
from .linear import bias_of, fits_int32, linear, operands, plain_int8, rescale, values_of
from .rewrite import constant, same_quantization, zero_of


@dataclass(frozen=True, slots=True, eq=False)
class Channels:
    """What is known of one tensor's channels (its last axis).

    Attributes:
        values: int64, stored values; meaningless where unknown.
        known: bool.
    """

    values: np.ndarray
    known: np.ndarray

    @staticmethod
    def unknown(tensor: ir.Tensor) -> Channels:
        count = tensor.shape[-1] if tensor.shape else 1
        return Channels(np.zeros(count, np.int64), np.zeros(count, np.bool_))


def analyse(graph: ir.Graph) -> dict[ir.Tensor, Channels]:
    """What is known of every computed tensor that some op of the graph makes."""
    found: dict[ir.Tensor, Channels] = {}
    for op in graph.ops:
        for tensor in op.outputs:
            found[tensor] = Channels.unknown(tensor)
        sources = [found.get(t) or Channels.unknown(t) for t in op.inputs if t is not None]
        if len(op.outputs) == 1 and len(sources) == len(op.inputs):
            result = value_of(op, sources)
            if result is not None and result.known.size == found[op.output].known.size:
                found[op.output] = result
    return found


def value_of(op: ir.Op, sources: list[Channels]) -> Channels | None:
    """What is known of the op's only output, from what is known of its inputs, in order."""
    rule = _RULES.get(op.kind)
    return None if rule is None else rule(op, sources)


def _linear(op: ir.Op, sources: list[Channels]) -> Channels | None:
    sums = linear(op)
    if sums is None:
        return None
    given = sources[0]
    same = sums.same_everywhere(given.values, given.known)
    varies = np.any(sums.weights[:, :, ~same], axis=(1, 2))
    totals = sums.bias + sums.shares(given.values, same).sum(axis=1)
    return _rescaled(~varies & fits_int32(totals), totals, sums.rescale)


def _rescaled(known: np.ndarray, totals: np.ndarray, scaling: Callable) -> Channels:
    return Channels(scaling(np.where(known, totals, 0)), known)


def _depthwise(op: ir.Op, sources: list[Channels]) -> Channels | None:
    if not plain_int8(op) or not isinstance(op.options, options.ConvOptions):
        return None
    source, filters, _ = operands(op)
    channels = op.output.shape[-1]
    scaling = rescale(op, channels)
    if scaling is None or channels % source.shape[-1] or filters.shape[-1] != channels:
        return None
    weights = values_of(filters).astype(np.int64).reshape(-1, channels)
    repeats = channels // source.shape[-1]
    values = np.repeat(sources[0].values, repeats)
    known = np.repeat(sources[0].known, repeats)
    same = known & ((values == source.zero_point) | op.options.padding.empty)
    totals = bias_of(op, channels)
    totals = totals + np.where(same, weights.sum(axis=0) * (values - source.zero_point), 0)
    return _rescaled((same | ~weights.any(axis=0)) & fits_int32(totals), totals, scaling)


def _table(op: ir.Op, sources: list[Channels]) -> Channels | None:
    try:
        table = tables.table(op)
    except UnsupportedModel:
        return None
    given = sources[0]
    return Channels(table[given.values & 0xFF].astype(np.int64), given.known)


def _pool(op: ir.Op, sources: list[Channels]) -> Channels | None:
    # The maximum of equal values, and their rounded average, is that value.
    source, output = op.inputs[0], op.output
    if source is None or not same_quantization(source, output) or source.dtype != "int8":
        return None
    if not isinstance(op.options, options.PoolOptions):
        return None
    low, high = numerics.activation_range(op.options.activation, output.scale, output.zero_point)
    return Channels(np.clip(sources[0].values, low, high), sources[0].known)


def _copy(op: ir.Op, sources: list[Channels]) -> Channels | None:
    """Ops that only move values about, channels staying channels."""
    source, given = op.inputs[0], sources[0]
    assert source is not None
    if not same_quantization(source, op.output):
        return None
    into = op.output.shape[-1] if op.output.shape else 1
    if into == given.known.size:
        return given
    if into % given.known.size == 0:
        times = into // given.known.size
        return Channels(np.tile(given.values, times), np.tile(given.known, times))
    return None


def _pad(op: ir.Op, sources: list[Channels]) -> Channels | None:
    amounts, given = constant(op, 1), sources[0]
    if amounts is None or amounts[-1].any() or not same_quantization_of(op):
        return None
    written = zero_of(op.output) if len(op.inputs) == 2 else None
    if len(op.inputs) > 2 and (values := constant(op, 2)) is not None and values.size == 1:
        written = int(values.reshape(-1)[0])
    if op.output.dtype != "int8" or written is None:
        return None
    return Channels(given.values, given.known & (given.values == written))


def same_quantization_of(op: ir.Op) -> bool:
    """Whether the op's first input and its only output are quantized alike."""
    return op.inputs[0] is not None and same_quantization(op.inputs[0], op.output)


def _concatenation(op: ir.Op, sources: list[Channels]) -> Channels | None:
    record, rank = op.options, len(op.output.shape)
    if not isinstance(record, options.ConcatenationOptions) or record.activation != "NONE":
        return None
    if any(t is None or not same_quantization(t, op.output) for t in op.inputs):
        return None
    if record.axis % rank != rank - 1:
        first = sources[0].values
        alike = [s.known & (s.values == first) for s in sources]
        return Channels(first, np.all(alike, axis=0))
    return Channels(
        np.concatenate([s.values for s in sources]), np.concatenate([s.known for s in sources])
    )


def _mean(op: ir.Op, sources: list[Channels]) -> Channels | None:
    source, output, given = op.inputs[0], op.output, sources[0]
    axes = constant(op, 1)
    assert source is not None
    if axes is None or {source.dtype, output.dtype} != {"int8"}:
        return None
    reduced = {int(axis) % len(source.shape) for axis in axes.reshape(-1)}
    if len(source.shape) - 1 in reduced or not reduced:
        return None
    count = int(np.prod([source.shape[axis] for axis in reduced]))
    try:
        multiplier, shift = numerics.quantize_multiplier(source.scale / output.scale)
    except UnsupportedModel:
        return None
    # TFLM divides by the count inside the multiplier.
    more = min(count.bit_length() - 1, 32, 31 + shift)
    multiplier, shift = (multiplier << more) // count, shift - more
    sums = count * (given.values - source.zero_point)
    known = given.known & fits_int32(sums)
    scaled = requantize(np.where(known, sums, 0), multiplier, shift)
    return Channels(np.clip(scaled + output.zero_point, -128, 127), known)


_Rule = Callable[[ir.Op, list[Channels]], "Channels | None"]
_RULES: dict[str, _Rule] = {
    "CONV_2D": _linear,
    "FULLY_CONNECTED": _linear,
    "DEPTHWISE_CONV_2D": _depthwise,
    "MAX_POOL_2D": _pool,
    "AVERAGE_POOL_2D": _pool,
    "PAD": _pad,
    "PADV2": _pad,
    "CONCATENATION": _concatenation,
    "MEAN": _mean,
    **dict.fromkeys(("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "RESIZE_NEAREST_NEIGHBOR"), _copy),
    **dict.fromkeys(("MIRROR_PAD",), _copy),
    **dict.fromkeys(
        (
            "LOGISTIC",
            "TANH",
            "HARD_SWISH",
            "LEAKY_RELU",
            "RELU",
            "RELU6",
            "ABS",
            "ELU",
            "QUANTIZE",
        ),
        _table,
    ),
}
