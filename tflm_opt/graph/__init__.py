"""The int8 model: read and write `.tflite`, edit, check, describe.

>>> from tflm_opt import graph
>>> model = graph.read(data)
>>> model.ops[0].kind
'CONV_2D'
>>> graph.write(model) == graph.write(graph.read(graph.write(model)))
True
"""

from __future__ import annotations

from . import edit, ir, options
from .ir import Graph, Model, Op, Quantization, Signature, Tensor
from .read import read
from .write import tensor_order, write

__all__ = [
    "Graph",
    "Model",
    "Op",
    "Quantization",
    "Signature",
    "Tensor",
    "edit",
    "ir",
    "options",
    "read",
    "tensor_order",
    "write",
]
