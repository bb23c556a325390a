"""Compute ops whose inputs are all constant, exactly as TFLM would, and keep the result.

Keras exports compute shapes at run time (SHAPE, STRIDED_SLICE, PACK, then RESHAPE), although
every shape is known; converters leave QUANTIZE of constants. Only what TFLM computes in a way
that NumPy repeats to the bit is folded; everything else is left alone. One op goes further than
TFLM, which has no GATHER on int32 and refuses such a file: folded, it runs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..errors import UnsupportedModel
from ..graph import ir, options
from ..quant import tables
from .rewrite import rebuilt, same_quantization


@dataclass(frozen=True, slots=True)
class FoldConstants:
    """Replace ops on constants by their results, and SHAPE by the shape."""

    name: ClassVar[str] = "fold_constants"

    def __call__(self, graph: ir.Graph) -> ir.Graph:
        folded: dict[ir.Tensor, ir.Tensor] = {}
        ops: list[ir.Op] = []
        for op in graph.ops:
            inputs = tuple(None if t is None else folded.get(t, t) for t in op.inputs)
            if inputs != op.inputs:
                op = dataclasses.replace(op, inputs=inputs)
            result = None if op.outputs[:1] == () else _value(op, graph)
            if result is None:
                ops.append(op)
                continue
            data = np.array(result, order="C")
            data.flags.writeable = False
            folded[op.output] = dataclasses.replace(op.output, data=data, shape_signature=None)
        return rebuilt(graph, ops=ops) if folded else graph


def _value(op: ir.Op, graph: ir.Graph) -> np.ndarray | None:
    """The op's only output, if it is a constant that we can compute."""
    rule = _RULES.get(op.kind)
    if rule is None or len(op.outputs) != 1 or op.output in graph.outputs or op.output.variable:
        return None
    if op.kind == "SHAPE":
        result = None if op.inputs[0] is None else np.array(op.inputs[0].shape, np.int32)
    else:
        values = [_plain(t) for t in op.inputs if t is not None]
        if not values or any(v is None for v in values) or None in op.inputs:
            return None
        result = rule(op, [v for v in values if v is not None])
    # Whatever a rule made, it must be what the file declares.
    dtype = ir.NUMPY_DTYPES.get(op.output.dtype)
    if result is None or dtype is None or result.dtype != dtype:
        return None
    return result if result.shape == op.output.shape else None


def _plain(tensor: ir.Tensor) -> np.ndarray | None:
    """A constant's values, if numpy holds them as they are."""
    data = tensor.data
    return data if data is not None and data.shape == tensor.shape and not tensor.variable else None


_Values = list[np.ndarray]


def _moved(rule: Callable[[ir.Op, _Values], np.ndarray | None]) -> Callable:
    """A rule that only moves values: inputs and output must be quantized alike."""

    def checked(op: ir.Op, values: _Values) -> np.ndarray | None:
        source = op.inputs[0]
        if source is None or not same_quantization(source, op.output):
            return None
        try:
            return rule(op, values)
        except (ValueError, IndexError, TypeError, OverflowError):
            return None  # the op is malformed; that is for graph.check to say

    return checked


def _all_alike(op: ir.Op) -> bool:
    return all(t is not None and same_quantization(t, op.output) for t in op.inputs)


def _shape(op: ir.Op, values: _Values) -> np.ndarray | None:
    return None


def _reshape(op: ir.Op, values: _Values) -> np.ndarray | None:
    return values[0].reshape(op.output.shape)


def _transpose(op: ir.Op, values: _Values) -> np.ndarray | None:
    return values[0].transpose(values[1].tolist())


def _pack(op: ir.Op, values: _Values) -> np.ndarray | None:
    if not isinstance(op.options, options.PackOptions) or not _all_alike(op):
        return None
    return np.stack(values, op.options.axis)


def _concatenation(op: ir.Op, values: _Values) -> np.ndarray | None:
    record = op.options
    if not isinstance(record, options.ConcatenationOptions) or not _all_alike(op):
        return None
    return np.concatenate(values, record.axis) if record.activation == "NONE" else None


def _slice(op: ir.Op, values: _Values) -> np.ndarray | None:
    source, begins, sizes = values
    ends = [
        length if size == -1 else begin + size
        for length, begin, size in zip(source.shape, begins, sizes, strict=True)
    ]
    if (begins < 0).any():
        return None
    return source[tuple(slice(b, e) for b, e in zip(begins, ends, strict=True))]


def _strided_slice(op: ir.Op, values: _Values) -> np.ndarray | None:
    record = op.options
    if not isinstance(record, options.StridedSliceOptions):
        return None
    if record.ellipsis_mask or record.new_axis_mask or record.offset:
        return None
    source, begins, ends, strides = values
    index: list[slice | int] = []
    for axis, (begin, end, stride) in enumerate(
        zip(begins.tolist(), ends.tolist(), strides.tolist(), strict=True)
    ):
        if record.shrink_axis_mask >> axis & 1:
            index.append(0 if record.begin_mask >> axis & 1 else begin)
        else:
            first = None if record.begin_mask >> axis & 1 else begin
            last = None if record.end_mask >> axis & 1 else end
            index.append(slice(first, last, stride))
    return np.asarray(source[tuple(index)])


def _gather(op: ir.Op, values: _Values) -> np.ndarray | None:
    record = op.options
    if not isinstance(record, options.GatherOptions) or record.batch_dims:
        return None
    source, positions = values
    if positions.min(initial=0) < 0:
        return None
    return np.take(source, positions, axis=record.axis)


def _cast(op: ir.Op, values: _Values) -> np.ndarray | None:
    (source,) = values
    allowed = ("int8", "int16", "int32", "uint32", "float32")
    if op.inputs[0] is None or {op.inputs[0].dtype, op.output.dtype} - set(allowed):
        return None
    target = np.dtype(op.output.dtype)
    if target.kind != "f":
        # C leaves the conversion of what does not fit undefined.
        bounds = np.iinfo(target)
        whole = np.trunc(source.astype(np.float64))
        if not ((whole >= bounds.min) & (whole <= bounds.max)).all():
            return None
    return source.astype(target)


def _arithmetic(function: Callable) -> Callable[[ir.Op, _Values], np.ndarray | None]:
    """int32 arithmetic on shapes; anything that overflows is left to the runtime."""

    def rule(op: ir.Op, values: _Values) -> np.ndarray | None:
        if any(v.dtype != np.int32 for v in values) or len(values) != 2:
            return None
        if getattr(op.options, "activation", "NONE") != "NONE":
            return None
        wide = np.asarray(function(values[0].astype(np.int64), values[1].astype(np.int64)))
        bounds = np.iinfo(np.int32)
        fits = ((wide >= bounds.min) & (wide <= bounds.max)).all()
        return wide.astype(np.int32) if fits else None

    return rule


def _quantize(op: ir.Op, values: _Values) -> np.ndarray | None:
    (source,), quant = values, op.output.quant
    if quant is None or quant.per_channel or op.output.dtype not in ("int8", "int16"):
        return None
    if source.dtype == np.int8:
        return _table(op, values)
    if source.dtype != np.float32 or not np.isfinite(source).all():
        return None
    # TFLM divides in float32 and rounds halves away from zero.
    with np.errstate(over="ignore"):
        scaled = source / np.float32(op.output.scale)
    rounded = np.trunc(scaled) + np.where(np.abs(scaled - np.trunc(scaled)) >= 0.5, 1, 0) * np.sign(
        scaled
    )
    if not (np.abs(rounded) < 2.0**30).all():
        return None
    bounds = np.iinfo(np.dtype(op.output.dtype))
    stored = rounded.astype(np.int64) + op.output.zero_point
    return np.clip(stored, bounds.min, bounds.max).astype(op.output.dtype)


def _dequantize(op: ir.Op, values: _Values) -> np.ndarray | None:
    (source,), tensor = values, op.inputs[0]
    if tensor is None or tensor.quant is None or tensor.quant.per_channel:
        return None
    if tensor.dtype not in ("int8", "int16", "uint8"):
        return None
    return (tensor.scale * (source.astype(np.float64) - tensor.zero_point)).astype(np.float32)


def _table(op: ir.Op, values: _Values) -> np.ndarray | None:
    (source,) = values
    if source.dtype != np.int8:
        return None
    try:
        return tables.table(op)[source.view(np.uint8)]
    except UnsupportedModel:
        return None


_RULES: dict[str, Callable[[ir.Op, _Values], np.ndarray | None]] = {
    "SHAPE": _shape,
    "RESHAPE": _moved(_reshape),
    "SQUEEZE": _moved(_reshape),
    "EXPAND_DIMS": _moved(_reshape),
    "TRANSPOSE": _moved(_transpose),
    "PACK": _moved(_pack),
    "CONCATENATION": _moved(_concatenation),
    "SLICE": _moved(_slice),
    "STRIDED_SLICE": _moved(_strided_slice),
    "GATHER": _moved(_gather),
    "CAST": _cast,
    "ADD": _arithmetic(np.add),
    "SUB": _arithmetic(np.subtract),
    "MUL": _arithmetic(np.multiply),
    "QUANTIZE": _quantize,
    "DEQUANTIZE": _dequantize,
    **dict.fromkeys(("RELU", "RELU6", "LOGISTIC", "TANH", "HARD_SWISH", "LEAKY_RELU"), _table),
}
