"""What a lowering says: which kernels an op calls, and with what.

The idea: a lowering function (one a kind of op, in `codegen/lower/`) turns an `Op` into plain
records and knows nothing of C text, names or addresses. `codegen/calls.py` turns the records into
C and is the only place that does.

    Call("tflm_opt_lut_s8", (Pointer(x), Pointer(y), Constant("table", lut), x.elements))

becomes `tflm_opt_lut_s8((const int8_t *)(arena + 64), …, op7_table, 1024)`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from tflm_opt.graph.ir import Op, Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Constant:
    """An array for flash: int8, uint8, int16, int32, int64, float32 or bool, of any shape.

    Attributes:
        role: a C identifier that says what it is ("weights", "bias", "table").
        data: the values, written in C order. Equal arrays are stored once.
        paired: of the same type and shape, what it is instead for kernels that multiply in pairs
            (TFLM_OPT_PAIRED in `tflm_opt_tier.h`); None: the same.
    """

    role: str
    data: np.ndarray
    paired: np.ndarray | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Pointer:
    """Where a tensor's values are: in the arena, or in flash if the tensor is constant."""

    tensor: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Pointers:
    """An array of pointers to the bytes of tensors, for a kernel that takes any number of them.

    Attributes:
        writable: True for outputs (`int8_t *const *`), False for inputs.
    """

    role: str
    tensors: tuple[Tensor, ...]
    writable: bool = False


@dataclass(frozen=True, slots=True)
class Vary:
    """A number that differs from step to step of a stage: a column of the op's table of steps."""

    column: int


@dataclass(frozen=True, slots=True)
class Lines:
    """The rows of an input that lie apart: the address of a `tflm_opt_lines` of this name."""

    name: str


@dataclass(frozen=True, slots=True)
class Span:
    """Which pixels a call makes: the address of a `tflm_opt_span` called `span`."""


@dataclass(frozen=True, slots=True)
class Scratch:
    """The op's `cmsis_nn_context`: `Lowered.scratch` bytes of the arena, or NULL and 0."""


@dataclass(frozen=True, slots=True)
class Null:
    """A null pointer: an optional argument left out."""


@dataclass(frozen=True, slots=True, eq=False)
class Struct:
    """A struct, passed by address: a positional initializer, fields in the type's order.

    Attributes:
        type: the C type, "cmsis_nn_dims".
        role: a C identifier for it, "input_dims".
        fields: numbers, constants (their address), or tuples for structs inside.
    """

    type: str
    role: str
    fields: tuple[Field, ...]


Field: TypeAlias = "int | float | Vary | Constant | Null | tuple[Field, ...]"
Argument: TypeAlias = (
    "int | float | Vary | Constant | Pointer | Pointers | Lines | Span | Scratch | Null | Struct"
)


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """One call of a kernel of `kernels/table.toml`.

    Attributes:
        function: the kernel; its row in the table says which files and headers are needed.
        arguments: in the kernel's order. Python ints become int literals, floats float ones.
        status: whether the kernel returns `arm_cmsis_nn_status` (False: it returns nothing).
    """

    function: str
    arguments: tuple[Argument, ...]
    status: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Lowered:
    """An op as kernel calls.

    Attributes:
        calls: in order. Empty for an op that moves nothing.
        scratch: bytes of working memory that must not overlap the op's inputs or outputs.
        more: whether the kernels make use of more than that.
        view: the output is the first input under another shape: nothing happens when both lie
            at the same place, else the bytes are copied.
    """

    calls: tuple[Call, ...] = ()
    scratch: int = 0
    view: bool = False
    more: bool = False


Lowering: TypeAlias = Callable[[Op], Lowered]


def dims(role: str, shape: tuple[int, ...]) -> Struct:
    """A `cmsis_nn_dims` of a shape of at most four axes, padded with ones on the left.

    >>> dims("input_dims", (7, 9)).fields
    (1, 1, 7, 9)
    """
    n, h, w, c = (1,) * (4 - len(shape)) + tuple(shape)
    return Struct("cmsis_nn_dims", role, (n, h, w, c))
