"""Remove ops that change nothing, and shorten chains of ops that only move values.

Identity RESHAPE, TRANSPOSE, QUANTIZE, PAD, slices, pooling by 1 by 1; QUANTIZE of a DEQUANTIZE
with the same quantization; RESHAPE of RESHAPE; TRANSPOSE of TRANSPOSE; a TRANSPOSE that moves
only axes of size 1, which is a RESHAPE.

All exact: what is removed copies its input, byte for byte. Rescaling by a factor of one does too,
and a stored value survives DEQUANTIZE and QUANTIZE: 8 and 16-bit steps are far above float32's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..graph import edit, ir, options
from .rewrite import constant, rebuilt, same_quantization, without_identities

_RESHAPES = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")


@dataclass(frozen=True, slots=True)
class Identities:
    """Remove ops that copy their input, and merge chains of RESHAPE and of TRANSPOSE.

    Inputs and outputs of the graph keep names, order and shapes; an input that is itself an
    output keeps the op between.
    """

    name: ClassVar[str] = "identities"

    def __call__(self, graph: ir.Graph) -> ir.Graph:
        return without_identities(_shorten(graph), _copied)


def _copied(op: ir.Op, producers: Mapping[ir.Tensor, ir.Op]) -> ir.Tensor | None:
    """The tensor that this op's only output always equals, or None."""
    source = op.inputs[0] if op.inputs else None
    if source is None or len(op.outputs) != 1:
        return None
    if op.kind == "SPLIT":  # its first input is the axis
        source = op.inputs[1]
    if op.kind == "QUANTIZE" and (stored := _dequantized(source, producers)) is not None:
        source = stored
    if source is None or source.shape != op.output.shape:
        return None
    if not same_quantization(source, op.output):
        return None
    is_copy = _COPIES.get(op.kind)
    return source if is_copy is not None and is_copy(op) else None


def _dequantized(
    tensor: ir.Tensor | None, producers: Mapping[ir.Tensor, ir.Op]
) -> ir.Tensor | None:
    """What the tensor is the DEQUANTIZE of, or None."""
    op = producers.get(tensor) if tensor is not None else None
    if op is None or op.kind != "DEQUANTIZE" or op.inputs[0] is None:
        return None
    source = op.inputs[0]
    return source if source.dtype in ("int8", "int16") and not _per_channel(source) else None


def _per_channel(tensor: ir.Tensor) -> bool:
    return tensor.quant is None or tensor.quant.per_channel


def _always(op: ir.Op) -> bool:
    return True


def _same_order(op: ir.Op) -> bool:
    permutation = constant(op, 1)
    return permutation is not None and _moves_nothing(op.output.shape, permutation.tolist())


def _moves_nothing(shape: tuple[int, ...], permutation: list[int]) -> bool:
    """Whether the axes longer than 1 keep their order; `shape` is the input's or the output's."""
    if sorted(permutation) != list(range(len(shape))):
        return False
    by_input = [axis for axis in permutation if shape[axis] != 1]
    return by_input == sorted(by_input)


def _quantized_copy(op: ir.Op) -> bool:
    return op.output.dtype in ("int8", "int16") and not _per_channel(op.output)


def _unit_strides(op: ir.Op) -> bool:
    strides = constant(op, 3)
    return strides is not None and bool((strides == 1).all())


def _alone(op: ir.Op) -> bool:
    activation = getattr(op.options, "activation", "NONE")
    return len(op.inputs) == 1 and activation == "NONE"


def _unit_window(op: ir.Op) -> bool:
    record = op.options
    return (
        isinstance(record, options.PoolOptions)
        and record.kernel == (1, 1)
        and record.stride == (1, 1)
        and record.padding.empty
        and record.activation == "NONE"
    )


def _nothing_added(op: ir.Op) -> bool:
    amounts = constant(op, 1)
    return amounts is not None and not amounts.any()


# For each kind: is the output a copy of the input, given that shapes and quantization agree?
_COPIES: dict[str, Callable[[ir.Op], bool]] = {
    **dict.fromkeys(_RESHAPES, _always),
    "TRANSPOSE": _same_order,
    "QUANTIZE": _quantized_copy,
    "PAD": _nothing_added,
    "PADV2": _nothing_added,
    "MIRROR_PAD": _nothing_added,
    "SLICE": _always,
    "STRIDED_SLICE": _unit_strides,
    "SPLIT": _always,
    "CONCATENATION": _alone,
    "MAX_POOL_2D": _unit_window,
    "AVERAGE_POOL_2D": _unit_window,
}


def _shorten(graph: ir.Graph) -> ir.Graph:
    producers = edit.producers(graph)
    ops = []
    for op in graph.ops:
        new = _shortened(op, producers)
        ops.append(new)
        if new is not op:
            producers[new.output] = new
    if all(new is old for new, old in zip(ops, graph.ops, strict=True)):
        return graph
    return rebuilt(graph, ops=ops)


def _shortened(op: ir.Op, producers: Mapping[ir.Tensor, ir.Op]) -> ir.Op:
    """`op` reading further back, or as a simpler op."""
    source = op.inputs[0] if op.inputs else None
    if source is None or len(op.outputs) != 1:
        return op
    before = producers.get(source)
    if op.kind in _RESHAPES:
        return _reshape_of_view(op, before)
    permutation = constant(op, 1)
    if op.kind != "TRANSPOSE" or permutation is None or not same_quantization(source, op.output):
        return op
    if _moves_nothing(source.shape, permutation.tolist()) and source.shape != op.output.shape:
        return as_reshape(op, source)
    return _transpose_of_transpose(op, permutation, before)


def _reshape_of_view(op: ir.Op, before: ir.Op | None) -> ir.Op:
    if before is None or before.kind not in _RESHAPES or before.inputs[0] is None:
        return op
    source = before.inputs[0]
    if not same_quantization(source, before.output):
        return op
    if op.kind == "RESHAPE":
        return dataclasses.replace(op, inputs=(source, *op.inputs[1:]))
    return as_reshape(op, source)


def as_reshape(op: ir.Op, source: ir.Tensor) -> ir.Op:
    """The RESHAPE of `source` to the op's output. Its shape is an option: that saves a tensor."""
    record = options.ReshapeOptions(op.output.shape)
    return ir.Op("RESHAPE", (source,), op.outputs, record)


def _transpose_of_transpose(op: ir.Op, outer: np.ndarray, before: ir.Op | None) -> ir.Op:
    if before is None or before.kind != "TRANSPOSE" or before.inputs[0] is None:
        return op
    inner = constant(before, 1)
    if inner is None or inner.size != outer.size:
        return op
    if not same_quantization(before.inputs[0], before.output):
        return op
    both = np.ascontiguousarray(inner[outer])
    both.flags.writeable = False
    order = op.inputs[1]
    if order is None:
        return op
    new_order = dataclasses.replace(order, data=both)
    return dataclasses.replace(op, inputs=(before.inputs[0], new_order))
