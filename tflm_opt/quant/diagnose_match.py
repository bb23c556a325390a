"""Which float tensor an int8 tensor stands for.

Both files come from one converter, so names mostly agree. Where they don't (a model trained with
quantization has other ops around its layers), structure does: an op of the same kind and shape that
reads the partners of what the int8 op reads. Twins that read the same tensors are told apart by
their weights.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from ..graph import Graph, Op, Tensor
from ..graph.ir import Quantization

_BORDERS = ("QUANTIZE", "DEQUANTIZE")
_LAYERS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")


def match(int8: Graph, floats: Graph) -> dict[Tensor, Tensor]:
    """The float partner of every int8 tensor that has one, inputs and outputs of ops alike."""
    pairs = {
        a: b for a, b in zip(int8.inputs, floats.inputs, strict=False) if a.elements == b.elements
    }
    through = _without_borders(floats)
    named = _by_name(floats)
    free = dict.fromkeys(op for op in floats.ops if op.kind not in _BORDERS)
    for op in int8.ops:
        if op.kind in _BORDERS:
            if op.inputs[0] in pairs:
                pairs[op.output] = pairs[op.inputs[0]]
            continue
        partner = _partner(op, [one for one in free if _alike(op, one, pairs, through)], named)
        if partner is not None:
            free.pop(partner, None)
            pairs.update(zip(op.outputs, partner.outputs, strict=True))
    return pairs


def float_weights(int8: Graph, floats: Graph, pairs: dict[Tensor, Tensor]) -> dict[Op, Tensor]:
    """The float weights of the int8 ops whose partner has weights of the same shape."""
    makers = {tensor: op for op in floats.ops for tensor in op.outputs}
    through = _without_borders(floats)
    found: dict[Op, Tensor] = {}
    for op in int8.ops:
        mine, partner = weight(op), makers.get(pairs.get(op.outputs[0]))  # type: ignore[arg-type]
        if mine is None or partner is None or len(partner.inputs) < 2:
            continue
        theirs = partner.inputs[1]
        theirs = None if theirs is None else through.get(theirs, theirs)
        if theirs is not None and theirs.data is not None and theirs.shape == mine.shape:
            found[op] = theirs
    return found


def computed(op: Op) -> list[Tensor]:
    return [tensor for tensor in op.inputs if tensor is not None and tensor.data is None]


def weight(op: Op) -> Tensor | None:
    """The weights of a layer that has some."""
    if op.kind not in _LAYERS or len(op.inputs) < 2:
        return None
    tensor = op.inputs[1]
    return tensor if tensor is not None and tensor.data is not None else None


def real(tensor: Tensor) -> np.ndarray:
    """A constant's values, in float64."""
    assert tensor.data is not None
    values = tensor.data.astype(np.float64)
    quant = tensor.quant
    if quant is None or tensor.data.dtype.kind != "i":
        return values
    return (values - _along(quant.zero_point, quant, values.ndim)) * _along(
        quant.scale, quant, values.ndim
    )


def _along(values: np.ndarray, quant: Quantization, rank: int) -> np.ndarray:
    if values.size == 1:
        return values.astype(np.float64).reshape(())
    return values.astype(np.float64).reshape(
        [-1 if axis == quant.axis else 1 for axis in range(rank)]
    )


def _without_borders(graph: Graph) -> dict[Tensor, Tensor]:
    """Tensors behind a QUANTIZE or DEQUANTIZE, and what went in there."""
    through: dict[Tensor, Tensor] = {}
    for op in graph.ops:
        source = op.inputs[0] if op.inputs else None
        if op.kind in _BORDERS and source is not None:
            through[op.outputs[0]] = through.get(source, source)
    return through


def _by_name(graph: Graph) -> dict[str, Op]:
    counts = Counter(tensor.name for op in graph.ops for tensor in op.outputs)
    return {
        op.outputs[0].name: op
        for op in graph.ops
        if op.outputs and counts[op.outputs[0].name] == 1 and op.kind not in _BORDERS
    }


def _alike(op: Op, one: Op, pairs: dict[Tensor, Tensor], through: dict[Tensor, Tensor]) -> bool:
    """Same kind and shapes, and partners of this op's inputs where those are known."""
    if op.kind != one.kind or [t.shape for t in op.outputs] != [t.shape for t in one.outputs]:
        return False
    mine = [pairs.get(tensor) for tensor in computed(op)]
    theirs = [through.get(tensor, tensor) for tensor in computed(one)]
    # Weights that are rounded in training are computed in the float file: they come last.
    theirs = theirs[: len(mine)]
    known = [(a, b) for a, b in zip(mine, theirs, strict=False) if a is not None]
    return len(mine) == len(theirs) and bool(known) and all(a is b for a, b in known)


def _partner(op: Op, candidates: list[Op], named: dict[str, Op]) -> Op | None:
    same = named.get(op.outputs[0].name)
    if same is not None and (same in candidates or not candidates):
        alike = [t.elements for t in op.outputs] == [t.elements for t in same.outputs]
        if alike and same.kind == op.kind:
            return same
    if len(candidates) > 1:
        return min(candidates, key=lambda one: _distance(op, one))
    return candidates[0] if candidates else None


def _distance(op: Op, one: Op) -> float:
    mine, theirs = weight(op), weight(one)
    if mine is None or theirs is None or mine.shape != theirs.shape:
        return np.inf
    return float(np.square(real(mine) - real(theirs)).sum())
