"""What several passes need to rewrite a graph: rebuilt graphs, constants, windows.

A pass hands its new parts to `rebuilt`, which drops metadata that counts tensors: an arena plan
made for the old graph would make TFLM overlap live tensors of the new one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..graph import edit, ir, options

# Metadata whose content refers to tensors by position.
POSITIONAL_METADATA = ("OfflineMemoryAllocation",)

CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
POOLS = ("MAX_POOL_2D", "AVERAGE_POOL_2D")


def rebuilt(
    graph: ir.Graph,
    *,
    ops: Iterable[ir.Op] | None = None,
    inputs: Sequence[ir.Tensor] | None = None,
    outputs: Sequence[ir.Tensor] | None = None,
    tensors: Mapping[ir.Tensor, ir.Tensor] | None = None,
) -> ir.Graph:
    """As `graph.edit.rebuild`, without the metadata and signatures that an edit makes wrong."""
    new = edit.rebuild(graph, ops=ops, inputs=inputs, outputs=outputs, tensors=tensors)
    return _without_lost_signatures(without_positional_metadata(new))


def _without_lost_signatures(graph: ir.Graph) -> ir.Graph:
    """Without signatures that name a tensor which no longer exists."""
    if not graph.model.signatures:
        return graph
    alive = {*graph.inputs, *graph.outputs}
    alive.update(tensor for op in graph.ops for tensor in (*op.inputs, *op.outputs) if tensor)
    kept = tuple(
        s
        for s in graph.model.signatures
        if s.subgraph or all(tensor in alive for _, tensor in (*s.inputs, *s.outputs))
    )
    if len(kept) == len(graph.model.signatures):
        return graph
    return dataclasses.replace(graph, model=dataclasses.replace(graph.model, signatures=kept))


def without_positional_metadata(graph: ir.Graph) -> ir.Graph:
    """The graph without metadata that refers to tensors by position; itself if it has none."""
    kept = tuple(m for m in graph.model.metadata if m[0] not in POSITIONAL_METADATA)
    if len(kept) == len(graph.model.metadata):
        return graph
    return dataclasses.replace(graph, model=dataclasses.replace(graph.model, metadata=kept))


def constant(op: ir.Op, index: int) -> np.ndarray | None:
    """The values of a constant input, or None if it is computed, left out or not there."""
    tensor = op.inputs[index] if index < len(op.inputs) else None
    return None if tensor is None else tensor.data


def same_quantization(a: ir.Tensor, b: ir.Tensor) -> bool:
    """Whether equal stored values of the two mean equal real values, in the same dtype."""
    if a.dtype != b.dtype:
        return False
    if a.quant is None or b.quant is None:
        return a.quant is b.quant
    return a.quant.same_as(b.quant)


def zero_of(tensor: ir.Tensor) -> int | None:
    """The stored value that means zero; None for a quantization that has no single one."""
    if tensor.dtype == "float32":
        return 0
    if tensor.quant is None or tensor.quant.scale.size != 1:
        return None
    return tensor.zero_point


def source_of(op: ir.Op) -> ir.Tensor:
    """The op's first input, which every kind in `CONVOLUTIONS` and `POOLS` must have."""
    if not op.inputs or op.inputs[0] is None:
        raise ValueError(f"{op} has no input")
    return op.inputs[0]


def size_of(tensor: ir.Tensor) -> tuple[int, int]:
    """Rows and columns of an image-like tensor."""
    return tensor.shape[1], tensor.shape[2]


@dataclass(frozen=True, slots=True)
class Window:
    """How a convolution or pooling slides over its input. Pairs are (h, w)."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]

    def span(self, axis: int) -> int:
        """Input positions from a window's first to its last, both included."""
        return (self.kernel[axis] - 1) * self.dilation[axis] + 1

    def trim(
        self, padding: options.Padding, size: tuple[int, int], out: tuple[int, int]
    ) -> options.Padding:
        """`padding` without the rows and columns at the end that no window reaches."""
        ends = [
            (out[axis] - 1) * self.stride[axis] + self.span(axis) - size[axis] - before
            for axis, before in enumerate((padding.top, padding.left))
        ]
        return dataclasses.replace(
            padding,
            bottom=min(padding.bottom, max(ends[0], 0)),
            right=min(padding.right, max(ends[1], 0)),
        )


def window(op: ir.Op) -> Window:
    """The window of an op in `CONVOLUTIONS` or `POOLS`."""
    record = op.options
    if isinstance(record, options.PoolOptions):
        return Window(record.kernel, record.stride, (1, 1))
    if isinstance(record, options.ConvOptions) and op.inputs[1] is not None:
        filters = op.inputs[1].shape
        return Window((filters[1], filters[2]), record.stride, record.dilation)
    raise ValueError(f"{op} has no window")


def padding_of(op: ir.Op) -> options.Padding:
    """The explicit padding of an op that `window` takes."""
    record = op.options
    if isinstance(record, options.PoolOptions | options.ConvOptions):
        return record.padding
    raise ValueError(f"{op} has no padding")


def with_source(op: ir.Op, source: ir.Tensor, padding: options.Padding) -> ir.Op:
    """The convolution or pooling over another input tensor with another padding."""
    record = op.options
    if not isinstance(record, options.PoolOptions | options.ConvOptions):
        raise ValueError(f"{op} has no padding")
    return dataclasses.replace(
        op,
        inputs=(source, *op.inputs[1:]),
        options=dataclasses.replace(record, padding=padding),
    )


def without_identities(
    graph: ir.Graph,
    copied: Callable[[ir.Op, Mapping[ir.Tensor, ir.Op]], ir.Tensor | None],
) -> ir.Graph:
    """The graph without ops whose only output equals another tensor.

    Args:
        copied: from an op and the producers of all tensors to that tensor, or None.

    A graph output that goes is not renamed: its copy's producer writes it instead. Where that
    can't be (an input that is an output, one tensor as two outputs), the op stays.
    """
    producers = edit.producers(graph)
    fixed = {*graph.inputs, *graph.outputs}
    swap: dict[ir.Tensor, ir.Tensor] = {}
    ops: list[ir.Op] = []
    for op in graph.ops:
        source = copied(op, producers)
        if source is None or op.output.variable or source.variable:
            ops.append(op)
            continue
        while source in swap:
            source = swap[source]
        if op.output not in graph.outputs:
            swap[op.output] = source
        elif source in producers and source not in fixed:
            swap[source] = op.output
        else:
            ops.append(op)
    return rebuilt(graph, ops=ops, tensors=swap) if swap else graph
