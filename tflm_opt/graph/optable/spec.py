"""What the toolkit knows of one kind of op: the row type of the op table.

A row says how the op's output shapes follow from its inputs, which input rows an output row
reads, how many multiply-accumulates it takes, and under which constraints TFLM and the engine
run it. The docstring of a constraint is the sentence that the user sees, in errors and on the
generated page of supported ops.

The constraint-as-docstring idea is Arm Vela's (`ethosu.vela.tflite_supported_operators`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .. import options
from ..ir import Op, Tensor
from .reach import Reach

Shape = tuple[int, ...]

# Shapes, axes, sizes of splits: more numbers than this are no such thing.
MOST_INTEGERS = 1024


class ShapeError(ValueError):
    """Shapes or options of an op that don't go together; the message says how."""


@dataclass(frozen=True, slots=True)
class Broken:
    """How a constraint fails: what is there instead, on which tensor, and what helps."""

    detail: str
    tensor: Tensor | None = None
    remedy: str | None = None


Constraint = Callable[[Op], "Broken | None"]


@dataclass(frozen=True, slots=True)
class OpSpec:
    """A row of the table.

    Attributes:
        kind: TFLite's name.
        inputs: least and most number of inputs.
        outputs: least and most number of outputs.
        record: the class of its options; None where TFLite has none worth modelling.
        shapes: op -> shapes of its outputs. Raises ShapeError.
        reach: (op, input number, axis) -> which places along `axis` of that input the places
            along the same axis of the first output read.
        reach_word: the same in a word, for people: "window", "elementwise", "all", …
        macs: op -> multiply-accumulates.
        constraints: all must hold; the first that does not is reported.
    """

    kind: str
    inputs: tuple[int, int]
    shapes: Callable[[Op], tuple[Shape, ...]]
    reach: Callable[[Op, int, int], Reach]
    reach_word: str
    constraints: tuple[Constraint, ...]
    macs: Callable[[Op], int] | None = None
    outputs: tuple[int, int] = (1, 1)
    record: type[options.Options] | None = None


def operand(op: Op, index: int) -> Tensor:
    """Input `index` of an op; ShapeError when it is left out."""
    tensor = op.inputs[index] if index < len(op.inputs) else None
    if tensor is None:
        raise ShapeError(f"input {index} is missing")
    return tensor


def integers(op: Op, index: int) -> tuple[int, ...]:
    """The values of a constant integer input, flattened."""
    tensor = operand(op, index)
    if tensor.data is None:
        raise ShapeError(f"input {index} ({tensor.name!r}) is not constant")
    if tensor.dtype not in ("int32", "int64"):
        raise ShapeError(f"input {index} ({tensor.name!r}) is {tensor.dtype}, not int32")
    if tensor.data.size > MOST_INTEGERS:
        raise ShapeError(f"input {index} ({tensor.name!r}) holds {tensor.data.size} numbers")
    return tuple(int(value) for value in np.ravel(tensor.data))


def axis_of(axis: int, rank: int) -> int:
    """A possibly negative axis as 0 ≤ axis < rank."""
    if not -rank <= axis < rank:
        raise ShapeError(f"axis {axis} of a tensor with {rank} dimensions")
    return axis % rank
