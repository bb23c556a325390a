"""From records to C text: constants, numbers and pointers.

This and `codegen/calls.py` are the only places that write C expressions. Equal constants share one
array; everything is in a fixed order, so the same input gives the same bytes. Big arrays are
printed through a table of the 256 byte values, which takes about a second for 4 MB of weights.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from tflm_opt.codegen.call import Lowered
from tflm_opt.codegen.names import comment
from tflm_opt.errors import UnsupportedModel
from tflm_opt.graph.ir import Op, Tensor

C_TYPES: Mapping[str, str] = {
    "int8": "int8_t",
    "uint8": "uint8_t",
    "int16": "int16_t",
    "int32": "int32_t",
    "int64": "int64_t",
    "float32": "float",
    "bool": "uint8_t",
}
_WIDTH = 96


@dataclass(slots=True)
class Constants:
    """The arrays of one model, each content once: `pointer` names an array and keeps it."""

    arrays: dict[str, tuple[str, np.ndarray]] = field(default_factory=dict)
    paired: dict[str, np.ndarray] = field(default_factory=dict)
    _names: dict[tuple[str, bytes], str] = field(default_factory=dict)

    def pointer(
        self, name: str, data: np.ndarray, what: str, paired: np.ndarray | None = None
    ) -> str:
        """The C name of an array of these values.

        New values get `name`, with a number if other values have that name already. `paired` as
        in `Constant`.
        """
        array = np.ascontiguousarray(data)
        dtype = array.dtype.name
        if dtype not in C_TYPES:
            raise UnsupportedModel(f"constants of type {dtype} have no place in C", tensor=what)
        if array.size == 0:
            raise UnsupportedModel("a constant without elements", tensor=what)
        both = array.tobytes() + (b"" if paired is None else paired.tobytes())
        key = (dtype, hashlib.sha256(both).digest())
        if key not in self._names:
            candidates = (f"{name}_{i}" if i > 1 else name for i in itertools.count(1))
            free = next(other for other in candidates if other not in self.arrays)
            self._names[key] = free
            self.arrays[free] = (C_TYPES[dtype], array)
            if paired is not None:
                self.paired[free] = np.ascontiguousarray(paired)
        return self._names[key]

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for _, array in self.arrays.values())

    def definitions(self) -> str:
        """All arrays as C, in the order of first use."""
        return "\n".join(
            f"static const {ctype} {name}[{array.size}] TFLM_OPT_ALIGNED(4) = {{\n"
            f"{self._values(name, array)}\n}};\n"
            for name, (ctype, array) in self.arrays.items()
        )

    def _values(self, name: str, array: np.ndarray) -> str:
        if name not in self.paired:
            return array_text(array)
        pairs = array_text(self.paired[name])
        return f"#if TFLM_OPT_PAIRED\n{pairs}\n#else\n{array_text(array)}\n#endif"


def array_text(array: np.ndarray) -> str:
    """The values as C literals, in lines of about 96 characters."""
    flat = array.ravel()
    if array.dtype.itemsize == 1 and array.dtype != np.bool_:
        words = [str(v) for v in np.arange(256, dtype=np.uint8).view(flat.dtype).tolist()]
        items = [words[byte] for byte in flat.tobytes()]
    else:
        items = [number(value) for value in flat.tolist()]
    longest = max(map(len, items)) + 1
    step = max(1, _WIDTH // longest)
    return ",\n".join(",".join(items[i : i + step]) for i in range(0, len(items), step))


def number(value: int | float | bool) -> str:
    """A literal that C and C++ read as exactly this value.

    >>> number(-(2**31)), number(0.5), number(7)
    ('(-2147483647 - 1)', '0.5f', '7')
    """
    if isinstance(value, bool | np.bool_):
        return str(int(value))
    if isinstance(value, int | np.integer):
        whole = int(value)
        if whole == -(2**31):
            return "(-2147483647 - 1)"
        if whole == -(2**63):
            return "(-9223372036854775807LL - 1)"
        return f"{whole}LL" if not -(2**31) < whole < 2**31 else str(whole)
    real = np.float32(value)
    if not np.isfinite(real):
        raise UnsupportedModel(f"the constant {real} is not a finite number")
    text = f"{real:.9g}"
    return f"{text}f" if any(char in text for char in ".e") else f"{text}.0f"


@dataclass(frozen=True, slots=True)
class OpContext:
    """Where one op's tensors, constants and scratch are.

    Attributes:
        prefix: starts the names of the op's constants, "op3".
        offsets: arena offsets of tensors: bytes, or a C expression where it changes from step to
            step.
        scratch: arena offset and bytes of the op's scratch; (0, 0) without.
        pointers: C expressions for the addresses of tensors that no offset tells.
    """

    prefix: str
    constants: Constants
    offsets: Mapping[Tensor, int | str]
    scratch: tuple[int, int] = (0, 0)
    pointers: Mapping[Tensor, str] = field(default_factory=dict)

    def moves(self, tensor: Tensor) -> bool:
        """Whether a tensor's address is not the same in all steps."""
        return tensor in self.pointers or isinstance(self.offsets.get(tensor), str)


def scratch_place(
    places: Mapping[Op, tuple[int, int]], op: Op, lowered: Lowered
) -> tuple[int, int]:
    """(arena offset, bytes) of an op's scratch; (0, 0) without. ValueError: the plan gives less.

    What an op can't do without may differ from slice to slice; the largest was planned.
    """
    offset, size = places.get(op, (0, 0))
    if size < lowered.scratch:
        raise ValueError(f"the plan gives {op!r} {size} bytes of scratch of {lowered.scratch}")
    return (offset, size if lowered.more else lowered.scratch or size)


def tensor_pointer(tensor: Tensor, ctx: OpContext, *, writable: bool) -> str:
    """A typed pointer expression to a tensor's values."""
    ctype = C_TYPES.get(tensor.dtype)
    if ctype is None:
        raise UnsupportedModel(
            f"the engine has no type {tensor.dtype}",
            tensor=tensor.name,
            remedy=f"It takes {', '.join(C_TYPES)}",
        )
    if tensor.data is not None:
        return ctx.constants.pointer(f"{ctx.prefix}_constant", tensor.data, tensor.name)
    const = "" if writable else "const "
    if tensor in ctx.pointers:
        return f"({const}{ctype} *){ctx.pointers[tensor]}"
    if tensor not in ctx.offsets:
        raise UnsupportedModel("the plan has no place for this tensor", tensor=tensor.name)
    return f"({const}{ctype} *)(arena + {ctx.offsets[tensor]})"


def op_comment(index: int, kind: str, outputs: tuple[Tensor, ...]) -> str:
    """The comment line above an op: index, kind, output names and shapes."""
    listed = ", ".join(f"{t.name} {list(t.shape)}" for t in outputs)
    return f"    /* {index} {comment(kind, 40)}: {comment(listed)} */\n"
