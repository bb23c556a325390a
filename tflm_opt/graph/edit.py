"""Small, exact edits of a Graph, from which passes are made.

Every function returns a new graph; objects that need no change are shared with the old one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

from . import ir


def producers(graph: ir.Graph) -> dict[ir.Tensor, ir.Op]:
    """The op that computes each computed tensor."""
    return {tensor: op for op in graph.ops for tensor in op.outputs}


def consumers(graph: ir.Graph) -> dict[ir.Tensor, tuple[ir.Op, ...]]:
    """The ops that read each tensor that is read, in order; an op that reads it twice counts once.

    A graph output is not a consumer: ask `tensor in graph.outputs` too.
    """
    readers: dict[ir.Tensor, dict[ir.Op, None]] = {}
    for op in graph.ops:
        for tensor in (*op.inputs, *op.intermediates):
            if tensor is not None:
                readers.setdefault(tensor, {})[op] = None
    return {tensor: tuple(ops) for tensor, ops in readers.items()}


def rebuild(
    graph: ir.Graph,
    *,
    ops: Iterable[ir.Op] | None = None,
    inputs: Sequence[ir.Tensor] | None = None,
    outputs: Sequence[ir.Tensor] | None = None,
    tensors: Mapping[ir.Tensor, ir.Tensor] | None = None,
) -> ir.Graph:
    """The graph with some parts replaced, and nothing left that no op, input or output uses.

    Args:
        ops: the new ops, in a valid order; ops whose results nobody uses are dropped.
        inputs, outputs: the new ones; the old ones when None.
        tensors: old -> new, applied everywhere (op inputs and outputs, graph inputs and
            outputs, signatures). Chains are followed.
    """
    swap = dict(tensors or {})

    def new(tensor: ir.Tensor) -> ir.Tensor:
        seen = set()
        while tensor in swap and tensor not in seen:
            seen.add(tensor)
            tensor = swap[tensor]
        return tensor

    def renewed(op: ir.Op) -> ir.Op:
        ins = tuple(None if t is None else new(t) for t in op.inputs)
        outs = tuple(new(t) for t in op.outputs)
        mids = tuple(new(t) for t in op.intermediates)
        if (ins, outs, mids) == (op.inputs, op.outputs, op.intermediates):
            return op
        return dataclasses.replace(op, inputs=ins, outputs=outs, intermediates=mids)

    new_inputs = tuple(new(t) for t in (graph.inputs if inputs is None else inputs))
    new_outputs = tuple(new(t) for t in (graph.outputs if outputs is None else outputs))
    live_ops = _live(tuple(renewed(op) for op in (graph.ops if ops is None else ops)), new_outputs)
    used = {t for op in live_ops for t in (*op.inputs, *op.outputs, *op.intermediates)}
    used.update(new_inputs, new_outputs)
    order = dict.fromkeys(new(t) for t in graph.tensors)
    model = graph.model
    if swap and model.signatures:
        model = dataclasses.replace(
            model, signatures=tuple(_renew_signature(s, new) for s in model.signatures)
        )
    for signature in model.signatures:
        if signature.subgraph == 0:
            used.update(tensor for _, tensor in (*signature.inputs, *signature.outputs))
    return dataclasses.replace(
        graph,
        ops=live_ops,
        inputs=new_inputs,
        outputs=new_outputs,
        tensors=tuple(t for t in order if t in used),
        model=model,
    )


def replace(graph: ir.Graph, tensors: Mapping[ir.Tensor, ir.Tensor]) -> ir.Graph:
    """The graph with tensors swapped for others, everywhere."""
    return rebuild(graph, tensors=tensors)


def with_outputs(graph: ir.Graph, outputs: Sequence[ir.Tensor]) -> ir.Graph:
    """The graph with other tensors as its outputs: how tests look at inner tensors.

    Signatures no longer fit, and are dropped.
    """
    model = dataclasses.replace(graph.model, signatures=())
    return rebuild(dataclasses.replace(graph, model=model), outputs=outputs)


def inner_tensors(graph: ir.Graph) -> tuple[ir.Tensor, ...]:
    """Every computed tensor, in order of computation."""
    return tuple(tensor for op in graph.ops for tensor in op.outputs)


def _live(ops: tuple[ir.Op, ...], outputs: tuple[ir.Tensor, ...]) -> tuple[ir.Op, ...]:
    needed = set(outputs)
    kept: list[ir.Op] = []
    for op in reversed(ops):
        # An op without outputs, or one that writes a variable, is there for its effect.
        effect = not op.outputs or any(t is not None and t.variable for t in op.inputs)
        if effect or any(tensor in needed for tensor in op.outputs):
            kept.append(op)
            needed.update(t for t in (*op.inputs, *op.intermediates) if t is not None)
    return tuple(reversed(kept))


def _renew_signature(
    signature: ir.Signature, new: Callable[[ir.Tensor], ir.Tensor]
) -> ir.Signature:
    if signature.subgraph != 0:
        return signature
    return dataclasses.replace(
        signature,
        inputs=tuple((name, new(t)) for name, t in signature.inputs),
        outputs=tuple((name, new(t)) for name, t in signature.outputs),
    )
