"""Chosen layers of an int8 model on int16 activations ("16x8"), with QUANTIZE around them.

    widened = widen(graph, ("*logits*",))          # int8 elsewhere, int16 there

An int8 tensor holds 256 values of its range; where a layer needs more, the same range gets 65535.
The int8 weights stay as they are. Ranges are those of the int8 tensors, made symmetric: no data is
needed, and what calibration cut off stays cut off. TFLM runs such files, for its kernels take int16
data with int8 weights, and its QUANTIZE turns one type into the other.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..errors import TflmOptError, UnsupportedModel
from ..graph import edit, ir
from ..graph.optable.constraints import WEIGHT_INPUTS

_HIGHEST = 32767
# int16 outputs whose scale TFLM fixes.
_FIXED = ("SOFTMAX", "LOGISTIC", "TANH")
# How many of an op's inputs are data, from the first; what follows are weights, shapes, axes.
WIDENED = {
    **dict.fromkeys(("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"), 1),
    **dict.fromkeys(("ADD", "SUB", "MUL"), 2),
    **dict.fromkeys(("AVERAGE_POOL_2D", "MAX_POOL_2D", "MEAN", "SUM", *_FIXED), 1),
    **dict.fromkeys(("RELU", "RELU6", "LEAKY_RELU"), 1),
    **dict.fromkeys(("PAD", "RESHAPE", "TRANSPOSE", "SQUEEZE", "EXPAND_DIMS"), 1),
    "CONCATENATION": 10,
}


def widen(graph: ir.Graph, layers: Sequence[str]) -> ir.Graph:
    """The model with the ops that make the named tensors on int16 data.

    Example:
        >>> widen(graph, ("dense_1", "*Softmax*"))

    Args:
        graph: an int8 model.
        layers: names of output tensors, of a part of them between "/", ";" and ":", which is where
            converters put layers' names, or patterns with "*".

    Returns:
        A valid model with the same inputs and outputs.

    Raises:
        TflmOptError: a name that no op's output has.
        UnsupportedModel: a named op that TFLM does not run on int16 data.
    """
    chosen = _chosen(graph, layers)
    made = _Widened()
    for op in graph.ops:
        if op in chosen:
            made.wide(op)
        else:
            made.narrow(op)
    for tensor in graph.outputs:
        made.as_int8(tensor)
    return edit.rebuild(graph, ops=made.ops)


def int8_borders(graph: ir.Graph) -> ir.Graph:
    """An int16 model with int8 inputs and outputs of the same ranges, and QUANTIZE between."""
    ops, swap = list(graph.ops), {}
    inputs = []
    for tensor in graph.inputs:
        if tensor.dtype != "int16":
            inputs.append(tensor)
            continue
        inputs.append(dataclasses.replace(tensor, dtype="int8", quant=_narrowed(tensor)))
        swap[tensor] = dataclasses.replace(tensor, name=f"{tensor.name}_int16")
        ops.insert(0, ir.Op("QUANTIZE", (inputs[-1],), (swap[tensor],)))
    outputs = []
    for tensor in graph.outputs:
        if tensor.dtype != "int16":
            outputs.append(tensor)
            continue
        outputs.append(dataclasses.replace(tensor, dtype="int8", quant=_narrowed(tensor)))
        swap.setdefault(tensor, dataclasses.replace(tensor, name=f"{tensor.name}_int16"))
        ops.append(ir.Op("QUANTIZE", (swap[tensor],), (outputs[-1],)))
    borders = {*inputs, *outputs}
    inner = [
        op
        if op.kind == "QUANTIZE" and borders & {*op.inputs, *op.outputs}
        else dataclasses.replace(
            op,
            inputs=tuple(t if t is None else swap.get(t, t) for t in op.inputs),
            outputs=tuple(swap.get(t, t) for t in op.outputs),
        )
        for op in ops
    ]
    fresh = dict(zip((*graph.inputs, *graph.outputs), (*inputs, *outputs), strict=True))
    model = dataclasses.replace(
        graph.model,
        signatures=tuple(
            dataclasses.replace(
                one,
                inputs=tuple((name, fresh.get(t, t)) for name, t in one.inputs),
                outputs=tuple((name, fresh.get(t, t)) for name, t in one.outputs),
            )
            for one in graph.model.signatures
        ),
    )
    return dataclasses.replace(
        graph,
        ops=tuple(inner),
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        tensors=(),
        model=model,
    )


def _narrowed(tensor: ir.Tensor) -> ir.Quantization:
    return ir.Quantization.per_tensor(tensor.scale * 32768 / 128)


def _chosen(graph: ir.Graph, layers: Iterable[str]) -> frozenset[ir.Op]:
    found: set[ir.Op] = set()
    for pattern in layers:
        ops = [op for op in graph.ops if any(_named(t.name, pattern) for t in op.outputs)]
        if not ops:
            known = ", ".join(repr(t.name) for op in graph.ops[-5:] for t in op.outputs)
            raise TflmOptError(
                f"int16={pattern!r}: no op's output has that name. The last ones are {known}; "
                "'*' stands for anything"
            )
        found.update(op for op in ops if op.kind not in ("QUANTIZE", "DEQUANTIZE"))
    return frozenset(found)


def _named(name: str, pattern: str) -> bool:
    parts = (name, *re.split("[/;:]", name))
    return any(part == pattern or fnmatch.fnmatchcase(part, pattern) for part in parts)


@dataclass(slots=True)
class _Widened:
    """A model under way.

    Attributes:
        ops: those that are done.
        int16: the int16 form of int8 tensors, where there is one.
        late: int8 tensors that nothing has asked for yet: only their int16 form is there.
    """

    ops: list[ir.Op] = field(default_factory=list)
    int16: dict[ir.Tensor, ir.Tensor] = field(default_factory=dict)
    late: set[ir.Tensor] = field(default_factory=set)

    def narrow(self, op: ir.Op) -> None:
        for tensor in op.inputs:
            if tensor is not None:
                self.as_int8(tensor)
        self.ops.append(op)

    def wide(self, op: ir.Op) -> None:
        count = WIDENED.get(op.kind)
        if count is None or any(t.dtype != "int8" for t in op.outputs):
            raise UnsupportedModel(
                "this op can't be widened to int16; " + ", ".join(WIDENED) + " of int8 can",
                op=op.kind,
                tensor=op.outputs[0].name,
                remedy="Name other layers in int16=",
            )
        data = tuple(t if t is None else self.as_int16(t) for t in op.inputs[:count])
        others = op.inputs[count:]
        if op.kind in WEIGHT_INPUTS:
            others = _weights(op, data[0])
        outputs = tuple(_wide_tensor(t, fixed=op.kind in _FIXED) for t in op.outputs)
        self.int16.update(zip(op.outputs, outputs, strict=True))
        self.late.update(op.outputs)
        self.ops.append(
            dataclasses.replace(op, inputs=(*data, *others), outputs=outputs, carried=None)
        )

    def as_int16(self, tensor: ir.Tensor) -> ir.Tensor:
        if tensor not in self.int16:
            wide = _wide_tensor(tensor)
            self.int16[tensor] = wide
            if not tensor.constant:
                self.ops.append(ir.Op("QUANTIZE", (tensor,), (wide,)))
        return self.int16[tensor]

    def as_int8(self, tensor: ir.Tensor) -> None:
        if tensor in self.late:
            self.late.remove(tensor)
            self.ops.append(ir.Op("QUANTIZE", (self.int16[tensor],), (tensor,)))


def _wide_tensor(tensor: ir.Tensor, *, fixed: bool = False) -> ir.Tensor:
    """The tensor with int16 values over its range, made symmetric."""
    ends = max(127 - tensor.zero_point, tensor.zero_point + 128)
    scale = 1 / 32768 if fixed else float(np.float32(tensor.scale * ends / _HIGHEST))
    data = None
    if tensor.data is not None:
        real = (tensor.data.astype(np.float64) - tensor.zero_point) * tensor.scale
        data = np.clip(np.rint(real / scale), -_HIGHEST, _HIGHEST).astype(np.int16)
    return dataclasses.replace(
        tensor,
        name=f"{tensor.name}_int16",
        dtype="int16",
        quant=ir.Quantization.per_tensor(scale),
        data=data,
        carried=None,
    )


def _weights(op: ir.Op, data: ir.Tensor | None) -> tuple[ir.Tensor | None, ...]:
    """Filter and bias: an int64 bias on the scale of the finer products."""
    filters, *rest = op.inputs[1:]
    bias = rest[0] if rest else None
    if bias is None or bias.data is None or data is None or filters is None or not filters.quant:
        return (filters, *rest)
    source = op.inputs[0]
    assert source is not None
    ratio = source.scale / data.scale
    values = np.rint(bias.data.astype(np.float64) * ratio).astype(np.int64)
    scale = (np.float32(data.scale) * filters.quant.scale).astype(np.float32)
    quant = ir.Quantization(scale, np.zeros(scale.size, np.int64), 0)
    wide = dataclasses.replace(
        bias, name=f"{bias.name}_int64", dtype="int64", quant=quant, data=values, carried=None
    )
    return (filters, wide)
