"""Drop what the model's outputs don't need: dead ops, unused tensors, equal constants.

TFLM keeps 24 bytes and more for every tensor in the file, used or not, and for every constant
that is stored twice as two tensors.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import ClassVar

from ..graph import ir
from .rewrite import rebuilt


@dataclass(frozen=True, slots=True)
class Prune:
    """Remove dead ops and unused tensors, and let ops share equal constants."""

    name: ClassVar[str] = "prune"

    def __call__(self, graph: ir.Graph) -> ir.Graph:
        swap = _equal_constants(graph)
        pruned = rebuilt(graph, tensors=swap)
        nothing = (
            not swap
            and len(pruned.ops) == len(graph.ops)
            and len(pruned.tensors) == len(graph.tensors)
            and pruned.model is graph.model
        )
        return graph if nothing else pruned


def _equal_constants(graph: ir.Graph) -> dict[ir.Tensor, ir.Tensor]:
    first: dict[Hashable, ir.Tensor] = {}
    swap: dict[ir.Tensor, ir.Tensor] = {}
    fixed = {*graph.inputs, *graph.outputs}
    for op in graph.ops:
        for tensor in op.inputs:
            if tensor is None or tensor.data is None or tensor in fixed or tensor.variable:
                continue
            same = first.setdefault(_content(tensor), tensor)
            if same is not tensor:
                swap[tensor] = same
    return swap


def _content(tensor: ir.Tensor) -> Hashable:
    quant = tensor.quant
    meaning = quant and (quant.scale.tobytes(), quant.zero_point.tobytes(), quant.axis)
    data = tensor.data.tobytes() if tensor.data is not None else b""
    # Fields that we don't understand make a tensor its own.
    carried = id(tensor) if tensor.carried else None
    return tensor.shape, tensor.dtype, meaning, data, carried
