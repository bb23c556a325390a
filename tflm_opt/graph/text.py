"""A stable text form of a graph: one line an op, for people, diffs and golden tests.

    in  image int8[1,96,96,3] s=0.00784314 z=-1
    0   CONV_2D conv int8[1,48,48,8] s=0.0235294 z=-128 = image, w int8[8,3,3,3] …  {stride=2,2}
    out conv

An op shows its outputs with type, shape and quantization, its inputs by name, constants with
their shape and values (a short hash where there are many), and the options that differ from
their defaults. Names that two tensors share get a number.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from . import options
from .ir import Graph, Op, Quantization, Tensor
from .write import tensor_order

LONGEST_NAME = 60
SHOWN_VALUES = 8

_PLAIN = re.compile(r"[\w./:;@+-]+", re.ASCII)


def dump(graph: Graph) -> str:
    """The graph and what its file holds beside it, as text that ends in a newline."""
    lines = _graph_lines(graph)
    for subgraph in graph.model.subgraphs:
        lines += ["", *_graph_lines(subgraph)]
    model = graph.model
    if model.description:
        lines.append(f"description {short_name(model.description)}")
    lines += [f"metadata {short_name(name)} {_content(blob)}" for name, blob in model.metadata]
    for signature in model.signatures:
        ins = ", ".join(f"{short_name(name)}={short_name(t.name)}" for name, t in signature.inputs)
        outs = ", ".join(
            f"{short_name(name)}={short_name(t.name)}" for name, t in signature.outputs
        )
        lines.append(f"signature {short_name(signature.key)}({ins}) -> {outs}")
    return "\n".join(lines) + "\n"


def op_line(index: int, op: Op, label: Callable[[Tensor], str] | None = None) -> str:
    """One op as a line, as `dump` writes it."""
    label = label or (lambda tensor: short_name(tensor.name))
    outs = ", ".join(_value(tensor, label) for tensor in op.outputs)
    ins = ", ".join(
        "-" if t is None else _value(t, label) if t.data is not None else label(t)
        for t in op.inputs
    )
    extras = "".join(f"  {part}" for part in (_options(op), _custom_options(op)) if part)
    kind = f"CUSTOM:{short_name(op.custom_code or '')}" if op.kind == "CUSTOM" else op.kind
    return f"{index:<3} {kind} {outs} = {ins}{extras}"


def _graph_lines(graph: Graph) -> list[str]:
    label = _labels(graph)
    return [
        f"graph {short_name(graph.name)}",
        *(f"in  {_value(tensor, label)}" for tensor in graph.inputs),
        *(op_line(index, op, label) for index, op in enumerate(graph.ops)),
        *(f"out {label(tensor)}" for tensor in graph.outputs),
    ]


def _labels(graph: Graph) -> Callable[[Tensor], str]:
    """Unique names: the second tensor called `x` is `x#2`."""
    seen: Counter[str] = Counter()
    labels: dict[Tensor, str] = {}
    for tensor in tensor_order(graph):
        name = short_name(tensor.name)
        seen[name] += 1
        labels[tensor] = name if seen[name] == 1 else f"{name}#{seen[name]}"
    return lambda tensor: labels[tensor]


def short_name(name: str) -> str:
    """A tensor's name for a person: escaped, and long ones without their middle."""
    text = name if _PLAIN.fullmatch(name) else ascii(name)
    if len(text) <= LONGEST_NAME:
        return text
    half = (LONGEST_NAME - 2) // 2
    return f"{text[:half]}..{text[-half:]}"


def _value(tensor: Tensor, label: Callable[[Tensor], str]) -> str:
    shape = ",".join(str(size) for size in tensor.shape)
    parts = [label(tensor), f"{tensor.dtype}[{shape}]"]
    if tensor.quant is not None:
        parts.append(_quantization(tensor.quant))
    if tensor.data is not None:
        parts.append(_constant(tensor.data))
    if tensor.variable:
        parts.append("variable")
    return " ".join(parts)


def _quantization(quant: Quantization) -> str:
    if not quant.per_channel:
        return f"s={quant.scale[0]:.6g} z={quant.zero_point[0]}"
    scales = _hash(quant.scale.astype("<f4").tobytes())
    zeros = "0" if not quant.zero_point.any() else _hash(quant.zero_point.astype("<i8").tobytes())
    return f"s={quant.scale.size}@{quant.axis}{scales} z={zeros}"


def _constant(data: np.ndarray) -> str:
    if data.size <= SHOWN_VALUES:
        return (
            "{"
            + ",".join(
                f"{value:.6g}" if data.dtype.kind == "f" else str(value)
                for value in data.ravel().tolist()
            )
            + "}"
        )
    return _hash(np.ascontiguousarray(data, data.dtype.newbyteorder("<")).tobytes())


def _hash(content: bytes) -> str:
    return "#" + hashlib.sha256(content).hexdigest()[:8]


def _content(content: bytes) -> str:
    return f"{len(content)} bytes {_hash(content)}"


def _options(op: Op) -> str:
    record = op.options
    if record is None:
        return ""
    if isinstance(record, options.Raw):
        name = type(record.table).__name__.removesuffix("T")
        fields = _changed(vars(record.table), vars(type(record.table)()))
        return f"{{{name} {fields}}}" if fields else ""
    defaults = {
        field.name: field.default
        for field in dataclasses.fields(record)
        if field.default is not dataclasses.MISSING
    }
    values = {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
    fields = _changed(values, defaults)
    return f"{{{fields}}}" if fields else ""


def _changed(values: dict[str, Any], defaults: dict[str, Any]) -> str:
    return " ".join(
        f"{name}={_show(value)}"
        for name, value in values.items()
        if name not in defaults or not _same(value, defaults[name])
    )


def _same(value: Any, default: Any) -> bool:
    return type(value) is type(default) and not isinstance(value, np.ndarray) and value == default


def _show(value: Any) -> str:
    if isinstance(value, options.Padding):
        return f"{value.top},{value.bottom},{value.left},{value.right}"
    if isinstance(value, (tuple, list, np.ndarray)):
        return ",".join(_show(item) for item in value)
    if isinstance(value, float):
        return f"{value:.6g}"
    if value is None or isinstance(value, (bool, int, str, np.generic)):
        return str(value)
    if isinstance(value, bytes):
        return ascii(value)
    return type(value).__name__


def _custom_options(op: Op) -> str:
    content = (op.carried or {}).get("customOptions")
    if content is None:
        return ""
    return f"custom {_content(np.asarray(content, np.uint8).tobytes())}"
