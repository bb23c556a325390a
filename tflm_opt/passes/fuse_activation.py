"""Fuse RELU and RELU6 into the op before them, and drop clamps that never act.

Exact because an activation on stored values is a clamp as soon as its input and output are
quantized alike, and a fused activation is a clamp after the same rounding. The op's own table of
256 outputs shows whether it is one; nothing is assumed of the kind.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..errors import UnsupportedModel
from ..graph import edit, ir, options
from ..quant import tables
from ..quant.numerics import activation_range
from .rewrite import rebuilt, same_quantization, without_identities

# Ops whose fused activation TFLM applies to int8.
_CLAMPING = (
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "FULLY_CONNECTED",
    "ADD",
    "SUB",
    "MUL",
    "AVERAGE_POOL_2D",
    "MAX_POOL_2D",
)
_NAMES = ("NONE", "RELU", "RELU6", "RELU_N1_TO_1")
_Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class FuseActivation:
    """`RELU(CONV_2D(x))` becomes a CONV_2D with fused RELU if both are quantized alike."""

    name: ClassVar[str] = "fuse_activation"

    def __call__(self, graph: ir.Graph) -> ir.Graph:
        return _fuse(without_identities(graph, _void))


def _void(op: ir.Op, producers: Mapping[ir.Tensor, ir.Op]) -> ir.Tensor | None:
    """The input of a clamp that never acts on what its producer can give."""
    clamp = _clamp(op)
    source = op.inputs[0] if clamp is not None else None
    if clamp is None or source is None:
        return None
    low, high = _reach(producers.get(source))
    return source if clamp[0] <= low and high <= clamp[1] else None


def _clamp(op: ir.Op) -> _Range | None:
    """(low, high) if the op clamps stored int8 values and does nothing else."""
    if op.kind not in ("RELU", "RELU6") or op.inputs[0] is None:
        return None
    if op.inputs[0].dtype != "int8" or not same_quantization(op.inputs[0], op.output):
        return None
    try:
        table = tables.table(op).astype(np.int64)
    except UnsupportedModel:
        return None
    stored = np.arange(256).astype(np.uint8).view(np.int8).astype(np.int64)
    low, high = int(table.min()), int(table.max())
    return (low, high) if np.array_equal(table, np.clip(stored, low, high)) else None


def _reach(op: ir.Op | None) -> _Range:
    """Bounds of the stored values that an op can give."""
    if op is None or len(op.outputs) != 1 or op.output.dtype != "int8":
        return -128, 127
    if op.kind in _CLAMPING:
        return _range_of(op.output, getattr(op.options, "activation", "NONE")) or (-128, 127)
    return _clamp(op) or (-128, 127)


def _range_of(tensor: ir.Tensor, activation: str) -> _Range | None:
    if tensor.quant is None or tensor.quant.per_channel or activation not in _NAMES:
        return None
    try:
        return activation_range(activation, tensor.scale, tensor.zero_point)
    except UnsupportedModel:
        return None


def _fuse(graph: ir.Graph) -> ir.Graph:
    producers, readers = edit.producers(graph), edit.consumers(graph)
    fused: dict[ir.Op, ir.Op] = {}
    gone: set[ir.Op] = set()
    for op in graph.ops:
        source = op.inputs[0] if op.inputs else None
        before = producers.get(source) if source is not None else None
        if before is None or source is None or before in fused:
            continue
        if len(readers[source]) > 1 or source in graph.outputs:
            continue
        activation = _joined(before, op)
        if activation is not None:
            record: Any = before.options
            record = dataclasses.replace(record, activation=activation)
            fused[before] = dataclasses.replace(before, outputs=op.outputs, options=record)
            gone.add(op)
    if not gone:
        return graph
    return rebuilt(graph, ops=[fused.get(op, op) for op in graph.ops if op not in gone])


def _joined(before: ir.Op, op: ir.Op) -> str | None:
    """The activation by which `before` alone gives what the two ops give, or None."""
    if before.kind not in _CLAMPING or not isinstance(before.options, options.Options):
        return None
    own = _range_of(before.outputs[0], getattr(before.options, "activation", "SIGN_BIT"))
    clamp = _clamp(op) if own is not None else None
    if own is None or clamp is None:
        return None
    wanted = (max(own[0], clamp[0]), min(own[1], clamp[1]))
    for activation in _NAMES:
        if _range_of(op.output, activation) == wanted:
            return activation
    return None
