"""Multiply-accumulates of one op.

A MAC is one product of an input element and a weight, added to a sum. Products with padding
count, as in the papers' figures; bias, requantization and activation functions do not. Ops that
multiply no weights (pooling, elementwise, reductions, moves) count 0.

    CONV_2D             outputs × kh × kw × input channels of a group
    DEPTHWISE_CONV_2D   outputs × kh × kw
    TRANSPOSE_CONV      inputs × kh × kw × output channels
    FULLY_CONNECTED     outputs × inputs of a row
    BATCH_MATMUL        outputs × inner size
"""

from __future__ import annotations

from ..ir import Op
from .spec import operand


def conv_2d(op: Op) -> int:
    _, height, width, depth = operand(op, 1).shape
    return op.output.elements * height * width * depth


def depthwise_conv_2d(op: Op) -> int:
    _, height, width, _ = operand(op, 1).shape
    return op.output.elements * height * width


def transpose_conv(op: Op) -> int:
    channels, height, width, _ = operand(op, 1).shape
    return operand(op, 2).elements * height * width * channels


def fully_connected(op: Op) -> int:
    return op.output.elements * operand(op, 1).shape[1]


def batch_matmul(op: Op) -> int:
    a = operand(op, 0).shape
    return op.output.elements * (a[-2] if getattr(op.options, "adj_x", False) else a[-1])
