"""The int8 model: read and write `.tflite`, edit, check, describe.

>>> from tflm_opt import graph
>>> model = graph.read(data)
>>> model.ops[0].kind
'CONV_2D'
>>> graph.write(model) == graph.write(graph.read(graph.write(model)))
True
"""

from __future__ import annotations

from . import edit, geometry, ir, optable, options, text
from .check import check
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
    "check",
    "edit",
    "geometry",
    "ir",
    "optable",
    "options",
    "read",
    "tensor_order",
    "text",
    "write",
]
