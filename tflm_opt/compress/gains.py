"""What pruning and compression gained, in words: also channels that the passes take out."""

from __future__ import annotations

from collections.abc import Sequence

from ..graph import Graph, Tensor
from .rewrite import Compression, summary


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


def remarks(
    found: Sequence[str], original: Graph, optimized: Graph, squeezed: Compression | None
) -> tuple[str, ...]:
    """What a result says of both; `found`: the remarks of quantization, which know of pruning."""
    pruned = any("wrappers of pruning" in remark for remark in found)
    channels = (of_pruning(original, optimized),) if pruned else ()
    return (*channels, *(summary(squeezed) if squeezed else ()))
