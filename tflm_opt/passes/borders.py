"""Take QUANTIZE and DEQUANTIZE off the borders: float inputs and outputs become int8.

Exporters leave float inputs and outputs by default. On a microcontroller they cost four times
the memory of the tensor that is really used, and the time of converting it; whoever calls the
model can as well hand over the stored values, by the scale and zero point that the new input
tells. Names, order and shapes of inputs and outputs stay, signatures follow.

This changes what goes in and comes out, but not one stored value behind it: feeding the codes
that the removed QUANTIZE would have made gives the codes that the removed DEQUANTIZE would have
read. uint8 inputs and outputs stay as they are: they are bytes already, and a camera's.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

from ..graph import edit, ir
from .rewrite import rebuilt, same_quantization

_STORED = ("int8", "int16")


@dataclass(frozen=True, slots=True)
class Borders:
    """Make float inputs that are only quantized, and outputs that are dequantized, int8."""

    name: ClassVar[str] = "borders"

    def __call__(self, graph: ir.Graph) -> ir.Graph:
        for tensor in graph.inputs:
            graph = _bare_input(graph, tensor)
        for tensor in graph.outputs:
            graph = _bare_output(graph, tensor)
        return graph


def _bare_input(graph: ir.Graph, tensor: ir.Tensor) -> ir.Graph:
    readers = edit.consumers(graph).get(tensor, ())
    if tensor.dtype != "float32" or not readers or tensor in graph.outputs:
        return graph
    if any(op.kind != "QUANTIZE" or len(op.outputs) != 1 for op in readers):
        return graph
    first = readers[0].output
    if first.dtype not in _STORED or any(op.output in graph.outputs for op in readers):
        return graph
    if not all(same_quantization(op.output, first) for op in readers):
        return graph
    bare = dataclasses.replace(first, name=tensor.name, shape_signature=tensor.shape_signature)
    swap = {tensor: bare, **{op.output: bare for op in readers}}
    return rebuilt(graph, ops=[op for op in graph.ops if op not in readers], tensors=swap)


def _bare_output(graph: ir.Graph, tensor: ir.Tensor) -> ir.Graph:
    op = edit.producers(graph).get(tensor)
    if op is None or op.kind != "DEQUANTIZE" or tensor in edit.consumers(graph):
        return graph
    source = op.inputs[0]
    if source is None or source.dtype not in _STORED or source.constant or source.variable:
        return graph
    if source in graph.inputs or source in graph.outputs or graph.outputs.count(tensor) > 1:
        return graph
    bare = dataclasses.replace(source, name=tensor.name, shape_signature=tensor.shape_signature)
    swap = {source: bare, tensor: bare}
    return rebuilt(graph, ops=[other for other in graph.ops if other is not op], tensors=swap)
