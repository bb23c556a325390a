"""Figures of a graph that follow from its shapes alone.

What counts as a multiply-accumulate is defined in `optable.costs`.
"""

from __future__ import annotations

from . import optable
from .ir import Graph, Op


def op_macs(op: Op) -> int:
    """Multiply-accumulates of one op; 0 for kinds that multiply no weights."""
    spec = optable.OPS.get(op.kind)
    return spec.macs(op) if spec is not None and spec.macs is not None else 0


def macs(graph: Graph) -> int:
    """Multiply-accumulates of one inference.

    >>> macs(graph.read(pathlib.Path("mlperf_tiny_kws.tflite").read_bytes()))
    2656768
    """
    return sum(op_macs(op) for op in graph.ops)


def weights_bytes(graph: Graph) -> int:
    """Bytes of all constants that ops read, each counted once: weights, biases, shapes, axes."""
    constants = {
        tensor: tensor.nbytes
        for op in graph.ops
        for tensor in op.inputs
        if tensor is not None and tensor.data is not None
    }
    return sum(constants.values())
