"""Which channels of a graph can only be removed together.

A convolution makes new channels and reads others; every other op that keeps channels apart ties
its output channels to its input channels: a depthwise convolution each to the one it filters, an
addition to both operands', a concatenation part by part. Tied channels form a class, and a class
goes as a whole or stays. Ops that mix channels in other ways freeze what they touch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from ..graph import ir, options
from .linear import linear, operands, plain_int8
from .rewrite import constant

# (input tensor, its channels, the output's channels): tied one to one.
Tie = tuple[ir.Tensor, np.ndarray, np.ndarray]


@dataclass(frozen=True, slots=True, eq=False)
class Classes:
    """Channel classes of a graph.

    Attributes:
        ids: for each computed tensor, the class of each channel, int64.
        frozen: bool, for each class: it must stay.
    """

    ids: dict[ir.Tensor, np.ndarray]
    frozen: np.ndarray


def channels_of(tensor: ir.Tensor) -> int:
    """The size of the last axis; a scalar has one channel."""
    return tensor.shape[-1] if tensor.shape else 1


def classes(graph: ir.Graph) -> Classes:
    """Tie the channels of all computed tensors of `graph`."""
    first: dict[ir.Tensor, int] = {}
    count = 0
    for tensor in _computed(graph):
        first[tensor] = count
        count += channels_of(tensor)
    forest = _Forest(count)
    made = {tensor for op in graph.ops for tensor in op.outputs}
    # What no op makes is an input, or some view that only a memory plan explains.
    stay: list[ir.Tensor] = [*graph.outputs, *(t for t in first if t not in made)]
    for op in graph.ops:
        ties = ties_of(op)
        if ties is None:
            stay += [t for t in (*op.inputs, *op.outputs, *op.intermediates) if t in first]
            continue
        for source, into, out in ties:
            forest.join(first[source] + into, first[op.output] + out)
    ids = {t: forest.roots(np.arange(n, n + channels_of(t))) for t, n in first.items()}
    frozen = np.zeros(count, np.bool_)
    for tensor in stay:
        if tensor in ids:
            frozen[ids[tensor]] = True
    return Classes(ids, frozen)


def _computed(graph: ir.Graph) -> Iterable[ir.Tensor]:
    seen = dict.fromkeys(t for t in graph.inputs)
    for op in graph.ops:
        seen.update(dict.fromkeys(t for t in op.inputs if t is not None and not t.constant))
        seen.update(dict.fromkeys(op.outputs))
    return seen


def ties_of(op: ir.Op) -> list[Tie] | None:
    """The ties that an op makes; [] where it reads and makes channels freely; None to freeze."""
    rule = _RULES.get(op.kind)
    data = [t for t in op.inputs if t is not None and not t.constant]
    if rule is None or len(op.outputs) != 1 or any(t.variable for t in data):
        return None
    return rule(op, data)


def _free(op: ir.Op, data: list[ir.Tensor]) -> list[Tie] | None:
    return [] if len(data) == 1 and linear(op) is not None else None


def _one_to_one(source: ir.Tensor, output: ir.Tensor) -> list[Tie] | None:
    count = channels_of(source)
    if count != channels_of(output):
        return None
    return [(source, np.arange(count), np.arange(count))]


def _unary(op: ir.Op, data: list[ir.Tensor]) -> list[Tie] | None:
    """Ops that compute each channel from that channel alone, and alike for all."""
    return _one_to_one(data[0], op.output) if len(data) == 1 and data[0] is op.inputs[0] else None


def _depthwise(op: ir.Op, data: list[ir.Tensor]) -> list[Tie] | None:
    if len(data) != 1 or not plain_int8(op):
        return None
    into, out = channels_of(data[0]), channels_of(op.output)
    if out % into or operands(op)[1].shape[-1] != out:
        return None
    return [(data[0], np.repeat(np.arange(into), out // into), np.arange(out))]


def _elementwise(op: ir.Op, data: list[ir.Tensor]) -> list[Tie] | None:
    out = channels_of(op.output)
    for tensor in op.inputs:
        if tensor is None or channels_of(tensor) not in (out, 1):
            return None
    if any(channels_of(tensor) != out for tensor in data):
        return None
    every = np.arange(out)
    return [(tensor, every, every) for tensor in data]


def _reshape(op: ir.Op, data: list[ir.Tensor]) -> list[Tie] | None:
    if len(data) != 1:
        return None
    into, out = channels_of(data[0]), channels_of(op.output)
    if out % into and into % out:
        return None
    every = np.arange(max(into, out))
    return [(data[0], every % into, every % out)]


def _same_last_axis(op: ir.Op, data: list[ir.Tensor]) -> list[Tie] | None:
    """SQUEEZE and EXPAND_DIMS where the last axis stays the last."""
    if len(data) != 1 or not data[0].shape or data[0].shape[-1] == 1:
        return None
    return _one_to_one(data[0], op.output)


def _pad(op: ir.Op, data: list[ir.Tensor]) -> list[Tie] | None:
    amounts = constant(op, 1)
    if amounts is None or amounts.ndim != 2 or amounts[-1].any():
        return None
    return _unary(op, data)


def _reduce(op: ir.Op, data: list[ir.Tensor]) -> list[Tie] | None:
    axes = constant(op, 1)
    if axes is None or len(data) != 1:
        return None
    rank = len(data[0].shape)
    if any(int(axis) % rank == rank - 1 for axis in axes.reshape(-1)):
        return None
    return _unary(op, data)


def _concatenation(op: ir.Op, data: list[ir.Tensor]) -> list[Tie] | None:
    if not isinstance(op.options, options.ConcatenationOptions) or len(data) != len(op.inputs):
        return None
    rank = len(op.output.shape)
    if op.options.axis % rank != rank - 1:
        return _elementwise(op, data)
    ties: list[Tie] = []
    start = 0
    for tensor in data:
        count = channels_of(tensor)
        ties.append((tensor, np.arange(count), np.arange(start, start + count)))
        start += count
    return ties if start == channels_of(op.output) else None


ELEMENTWISE = ("ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM", "PRELU")
_UNARY = (
    "RELU",
    "RELU6",
    "LOGISTIC",
    "TANH",
    "HARD_SWISH",
    "LEAKY_RELU",
    "ELU",
    "ABS",
    "QUANTIZE",
    "DEQUANTIZE",
    "MAX_POOL_2D",
    "AVERAGE_POOL_2D",
    "RESIZE_BILINEAR",
    "RESIZE_NEAREST_NEIGHBOR",
)
_RULES: dict[str, Callable[[ir.Op, list[ir.Tensor]], list[Tie] | None]] = {
    "CONV_2D": _free,
    "FULLY_CONNECTED": _free,
    "DEPTHWISE_CONV_2D": _depthwise,
    "RESHAPE": _reshape,
    "CONCATENATION": _concatenation,
    **dict.fromkeys(("SQUEEZE", "EXPAND_DIMS"), _same_last_axis),
    **dict.fromkeys(("PAD", "PADV2", "MIRROR_PAD"), _pad),
    **dict.fromkeys(("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN"), _reduce),
    **dict.fromkeys(ELEMENTWISE, _elementwise),
    **dict.fromkeys(_UNARY, _unary),
}


class _Forest:
    """Disjoint sets of numbers; a set is named by its smallest member."""

    def __init__(self, count: int) -> None:
        self.parent = list(range(count))

    def root(self, item: int) -> int:
        while self.parent[item] != item:
            self.parent[item] = item = self.parent[self.parent[item]]
        return item

    def join(self, some: np.ndarray, others: np.ndarray) -> None:
        for a, b in zip(some.tolist(), others.tolist(), strict=True):
            low, high = sorted((self.root(a), self.root(b)))
            self.parent[high] = low

    def roots(self, items: np.ndarray) -> np.ndarray:
        return np.array([self.root(item) for item in items.tolist()], np.int64)
