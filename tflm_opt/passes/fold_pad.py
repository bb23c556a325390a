"""Fold PAD into the convolution or pooling that reads it.

Exporters put a PAD before a convolution where its padding is neither SAME nor VALID. The padded
copy of the tensor is often the largest buffer of a model, and our ops hold explicit padding, so
it need not exist: `conv(pad(x))` is `conv` with more padding.

Exact because a convolution's own padding stands for the input's zero point, and so does a PAD's
(a PADV2's where its constant is the zero point). A maximum ignores its padding, so there the
padded value must be one that can't win; an average divides by the elements inside, so it takes a
PAD only where no window reaches it.

The idea is TinyEngine's, whose convolutions pad as they read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..graph import edit, ir, options
from .rewrite import (
    CONVOLUTIONS,
    POOLS,
    constant,
    padding_of,
    rebuilt,
    same_quantization,
    size_of,
    source_of,
    window,
    with_source,
    zero_of,
)

_DTYPES = ("int8", "int16", "float32")


@dataclass(frozen=True, slots=True)
class FoldPad:
    """`CONV_2D(PAD(x))` becomes `CONV_2D(x)` with the padding inside; DEPTHWISE_CONV_2D and
    pooling alike. A PAD that others read too stays for them.
    """

    name: ClassVar[str] = "fold_pad"

    def __call__(self, graph: ir.Graph) -> ir.Graph:
        producers = edit.producers(graph)
        pads: dict[ir.Tensor, _Pad] = {}
        ops: list[ir.Op] = []
        for op in graph.ops:
            pad = _as_pad(op)
            if pad is not None:
                pads[op.output] = pad
            ops.append(_fold(op, pads, producers))
        if all(new is old for new, old in zip(ops, graph.ops, strict=True)):
            return graph
        return rebuilt(graph, ops=ops)


@dataclass(frozen=True, slots=True)
class _Pad:
    """A PAD along rows and columns alone: what it pads, by how much, with which stored value."""

    source: ir.Tensor
    padding: options.Padding
    value: float


def _as_pad(op: ir.Op) -> _Pad | None:
    amounts = constant(op, 1)
    if op.kind not in ("PAD", "PADV2") or amounts is None or amounts.shape != (4, 2):
        return None
    source = op.inputs[0]
    if source is None or source.dtype not in _DTYPES or not same_quantization(source, op.output):
        return None
    if amounts.min() < 0 or amounts[0].any() or amounts[3].any():
        return None
    value = _pad_value(op)
    if value is None:
        return None
    (top, bottom), (left, right) = amounts[1:3].tolist()
    return _Pad(source, options.Padding(top, bottom, left, right), value)


def _pad_value(op: ir.Op) -> float | None:
    """The stored value that TFLM's PAD writes."""
    if len(op.inputs) > 2 and op.inputs[2] is not None:
        values = constant(op, 2)
        return None if values is None or values.size != 1 else float(values.reshape(-1)[0])
    return 0.0 if op.output.dtype != "int8" else zero_of(op.output)


def _fold(op: ir.Op, pads: dict[ir.Tensor, _Pad], producers: dict[ir.Tensor, ir.Op]) -> ir.Op:
    """`op` reading through as many PADs as can be folded into it."""
    if op.kind not in CONVOLUTIONS and op.kind not in POOLS:
        return op
    while (pad := pads.get(source_of(op))) is not None:
        folded = _folded(op, pad)
        if not _exact(folded, pad, producers):
            return op
        op = folded
    return op


def _folded(op: ir.Op, pad: _Pad) -> ir.Op:
    own, more = padding_of(op), pad.padding
    total = options.Padding(
        own.top + more.top, own.bottom + more.bottom, own.left + more.left, own.right + more.right
    )
    size, out = size_of(pad.source), size_of(op.output)
    return with_source(op, pad.source, window(op).trim(total, size, out))


def _exact(folded: ir.Op, pad: _Pad, producers: dict[ir.Tensor, ir.Op]) -> bool:
    if folded.kind in CONVOLUTIONS:
        return pad.value == zero_of(pad.source)
    if folded.kind == "AVERAGE_POOL_2D":
        return padding_of(folded).empty
    return never_wins(folded, pad.value, producers) and _windows_reach_inside(folded)


def never_wins(pool: ir.Op, value: float, producers: dict[ir.Tensor, ir.Op]) -> bool:
    """Whether padding with the stored `value` cannot change what this MAX_POOL_2D gives.

    It can't if no input element is less, or if the pool's own activation lifts it anyway.
    """
    source = pool.inputs[0]
    if source is None:
        return False
    floors = [_activation_floor(pool)]
    if source.dtype != "float32":
        floors.append(float(np.iinfo(source.dtype).min))
    if source in producers:
        floors.append(_activation_floor(producers[source]))
    return value <= max(floors)


def _activation_floor(op: ir.Op) -> float:
    """A stored value that no output element is below, as far as the op's activation tells."""
    zero = zero_of(op.outputs[0])
    clamps = op.kind in ("RELU", "RELU6") or getattr(op.options, "activation", "NONE") in (
        "RELU",
        "RELU6",
    )
    return float(zero) if clamps and zero is not None else -np.inf


def _windows_reach_inside(op: ir.Op) -> bool:
    """Whether every window holds at least one element that is not padding."""
    shape, padding, sliding = source_of(op).shape, padding_of(op), window(op)
    for axis, before in enumerate((padding.top, padding.left)):
        last_start = (op.output.shape[1 + axis] - 1) * sliding.stride[axis] - before
        if sliding.span(axis) <= before or last_start >= shape[1 + axis]:
            return False
    return True
