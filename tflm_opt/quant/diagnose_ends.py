"""Which ends of its range a tensor may well reach: where values stop anyway, nothing is lost.

A fused ReLU stops at zero and ReLU6 at 6; sigmoid, tanh and softmax have ranges that TFLite fixes;
and a range that ends at zero is of values that have no other sign. What only moves values has the
ends of what it moves.
"""

from __future__ import annotations

import math

from ..graph import Graph, Op, Tensor
from .diagnose_match import computed
from .numerics import RANGES

MOVERS = (
    *("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "SPLIT", "SPLIT_V", "STRIDED_SLICE"),
    *("SLICE", "PAD", "PADV2", "MIRROR_PAD", "MAX_POOL_2D", "GATHER", "PACK", "UNPACK"),
    *("CONCATENATION", "SPACE_TO_DEPTH", "DEPTH_TO_SPACE", "RESIZE_NEAREST_NEIGHBOR", "TILE"),
    *("SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND", "REVERSE_V2", "MAXIMUM", "MINIMUM"),
)
_BOUNDED = ("SOFTMAX", "LOGISTIC", "TANH")
_TOPS = {"RELU6": 6.0, "RELU_N1_TO_1": 1.0, "RELU_0_TO_1": 1.0}

Ends = tuple[bool, bool]


def moves(op: Op) -> bool:
    """Whether an op only moves codes: all inputs that are computed have its output's scale."""
    inputs = [tensor.quant for tensor in computed(op)]
    outputs = [tensor.quant for tensor in op.outputs]
    if op.kind not in MOVERS or not inputs or None in (*inputs, *outputs):
        return False
    return all(a is not None and a.same_as(b) for a in inputs for b in outputs)


def explained(graph: Graph) -> dict[Tensor, Ends]:
    """By quantized tensor: whether its lowest, and its highest code are where its values end."""
    found = {tensor: _at_zero(tensor) for tensor in graph.inputs if is_quantized(tensor)}
    for op in graph.ops:
        for tensor in op.outputs:
            if is_quantized(tensor):
                found[tensor] = _ends(op, tensor, found)
    return found


def is_quantized(tensor: Tensor) -> bool:
    """Whether a tensor has codes that we count: one scale, and a type of 8 or 16 bits."""
    quant = tensor.quant
    return quant is not None and quant.scale.size == 1 and tensor.dtype in RANGES


def _ends(op: Op, tensor: Tensor, found: dict[Tensor, Ends]) -> Ends:
    if op.kind in _BOUNDED:
        return True, True
    low, high = _at_zero(tensor)
    if moves(op):
        theirs = [found.get(one, (False, False)) for one in computed(op)]
        return low or all(one[0] for one in theirs), high or all(one[1] for one in theirs)
    activation = op.kind if op.kind in _TOPS else getattr(op.options, "activation", "NONE")
    top = _TOPS.get(activation, math.inf)
    # A range is rounded to whole steps: its end may lie one below the activation's.
    greatest = (RANGES[tensor.dtype][1] - tensor.zero_point + 1) * tensor.scale
    return low, high or greatest >= top


def _at_zero(tensor: Tensor) -> Ends:
    low, high = RANGES[tensor.dtype]
    return tensor.zero_point == low, tensor.zero_point == high
