"""What pruning gained by itself: channels that are all zero, which the passes take out."""

from __future__ import annotations

from ..graph import Graph, Tensor


def constant_bytes(graph: Graph) -> int:
    """Bytes of a graph's constants, each once."""
    tensors: dict[int, Tensor] = {}
    for op in (*graph.ops, *(op for other in graph.model.subgraphs for op in other.ops)):
        for tensor in op.inputs:
            if tensor is not None and tensor.data is not None:
                tensors[id(tensor.data)] = tensor
    return sum(tensor.nbytes for tensor in tensors.values())


def of_pruning(original: Graph, optimized: Graph) -> str:
    """A sentence on the constants before and after the passes."""
    before, after = constant_bytes(original), constant_bytes(optimized)
    if after >= before:
        return (
            "pruning left no channel that is zero altogether: weights take as many bytes as "
            'before. For stock TFLM, runtime="tflm" with compress=True stores zeros in one bit each'
        )
    return (
        f"channels without effect were taken out: constants take {after:,} bytes instead of "
        f"{before:,}"
    )
