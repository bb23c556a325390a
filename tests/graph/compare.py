"""Whether two graphs say the same, whatever objects they are made of.

    assert differences(graph, read(write(graph))) == []

Tensors are compared by their position in the order in which they are written, everything else
field by field, down to the schema objects that are carried along.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from tflm_opt import graph
from tflm_opt.graph import ir


def differences(a: ir.Graph, b: ir.Graph) -> list[str]:
    """What differs, as paths; empty when nothing does."""
    found: list[str] = []
    numbers: dict[ir.Tensor, tuple[int, int]] = {}
    for each in (a, b):
        for g, sub in enumerate((each, *each.model.subgraphs)):
            numbers.update({t: (g, i) for i, t in enumerate(graph.tensor_order(sub))})
    for g, (x, y) in enumerate(zip((a, *a.model.subgraphs), (b, *b.model.subgraphs), strict=False)):
        ours, theirs = graph.tensor_order(x), graph.tensor_order(y)
        if len(ours) != len(theirs):
            found.append(f"graph {g}: {len(ours)} tensors, {len(theirs)}")
        for i, (t, u) in enumerate(zip(ours, theirs, strict=False)):
            _record(f"graph {g}, tensor {i}", t, u, numbers, found)
        for name in ("ops", "inputs", "outputs", "name", "carried"):
            _compare(f"graph {g}.{name}", getattr(x, name), getattr(y, name), numbers, found)
    for field in dataclasses.fields(ir.Model):
        if field.name == "subgraphs":
            _compare("subgraphs", len(a.model.subgraphs), len(b.model.subgraphs), numbers, found)
            continue
        _compare(
            field.name, getattr(a.model, field.name), getattr(b.model, field.name), numbers, found
        )
    return found


def _record(where: str, a: Any, b: Any, numbers: Any, found: list[str]) -> None:
    for field in dataclasses.fields(a):
        _compare(
            f"{where}.{field.name}", getattr(a, field.name), getattr(b, field.name), numbers, found
        )


def _compare(where: str, a: Any, b: Any, numbers: Any, found: list[str]) -> None:
    if isinstance(a, ir.Tensor) and isinstance(b, ir.Tensor):
        same = numbers[a] == numbers[b]
    elif isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        same = _same_values(a, b)
    else:
        ours, theirs = _parts(a), _parts(b)
        if ours is None or theirs is None:
            same = type(a) is type(b) and a == b
        else:
            same = ours.keys() == theirs.keys() and isinstance(a, type(b))
            for key in ours.keys() & theirs.keys():
                _compare(f"{where}.{key}", ours[key], theirs[key], numbers, found)
    if not same:
        found.append(f"{where}: {a!r}, {b!r}")


def _parts(value: Any) -> dict[Any, Any] | None:
    """What a compound value is made of."""
    if isinstance(value, (tuple, list)):
        return dict(enumerate(value))
    if isinstance(value, dict):
        return value
    if dataclasses.is_dataclass(value):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if type(value).__module__.endswith("schema_py_generated"):
        return vars(value)
    return None


def _same_values(a: Any, b: Any) -> bool:
    if a is None or b is None:
        return False
    a, b = np.asarray(a), np.asarray(b)
    return (
        a.shape == b.shape
        and a.dtype.newbyteorder("<") == b.dtype.newbyteorder("<")
        and a.tobytes() == b.tobytes()
    )
