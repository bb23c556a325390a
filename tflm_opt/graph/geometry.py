"""Figures of a graph that follow from its shapes alone.

What counts as a multiply-accumulate is defined in `optable.costs`.
"""

from __future__ import annotations

from ..errors import UnsupportedModel
from . import optable
from .ir import Graph, Op


def op_macs(op: Op) -> int:
    """Multiply-accumulates of one op; 0 for kinds that multiply no weights.

    Raises:
        UnsupportedModel: its shapes don't go together, as in a graph that `check` refuses.
    """
    spec = optable.OPS.get(op.kind)
    if spec is None or spec.macs is None:
        return 0
    try:
        made = spec.shapes(op)
    except optable.ShapeError as error:
        raise _uncountable(op, str(error)) from error
    if made != tuple(tensor.shape for tensor in op.outputs):
        raise _uncountable(op, f"it makes {[list(shape) for shape in made]}")
    return spec.macs(op)


def _uncountable(op: Op, detail: str) -> UnsupportedModel:
    return UnsupportedModel(
        f"its shapes don't go together: {detail}",
        op=op.kind,
        tensor=op.outputs[0].name if op.outputs else None,
        remedy="Export the model with fixed shapes",
    )


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
