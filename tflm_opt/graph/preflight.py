"""First look at an untrusted `.tflite` file, before anything is built from it.

The schema's parser follows every offset it is given, so a small file can make it build a huge
structure: vectors whose length is a lie, or thousands of tables that all point at one long
vector. This pass walks the file as the parser would, pays for every step out of a budget that
grows with the file's size, and stops when the budget is spent. What is left to the parser is
then linear in the size of the file.

The walk follows the schema's own classes: which accessor leads where is read from their code
objects, so that a newer schema needs no change here. The schema has no recursive tables and
offsets only lead forward, so depth needs no bound; a file that shares nothing costs less than
its size, and the budget is a multiple of that.

The idea is that of FlatBuffers' C++ `Verifier`, which has no counterpart in Python.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from ..errors import InvalidModel, UnsupportedModel
from . import schema

IDENTIFIER = b"TFL3"
SMALLEST_FILE = 16

# What the generated parser raises on bytes that are not what it expects.
DAMAGE = (
    struct.error,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    ArithmeticError,
)

# A table takes at least 8 bytes of a file that shares nothing: an offset to it, and its own
# offset to a vtable. Charging four times that, against four times the file's size, leaves honest
# files room for sharing.
TABLE_COST = 32
BYTES_FACTOR = 4
SPARE_BYTES = 1 << 16
# Python objects that reading makes, whatever the file's size. MCU models make some ten thousand.
MAX_OBJECTS = 2_000_000
OBJECTS_PER_TABLE = 10


def preflight(data: bytes, source: str | None = None) -> None:
    """Refuse what can't be a `.tflite` file, or would take more memory than its size explains.

    Raises:
        InvalidModel: says what is wrong.
        UnsupportedModel: the file uses fields that the installed schema does not know.
    """
    if len(data) < SMALLEST_FILE:
        raise InvalidModel(f"only {len(data)} bytes: not a .tflite file", source=source)
    if data[4:8] != IDENTIFIER:
        raise InvalidModel(
            f"not a .tflite file: bytes 4 to 7 are {data[4:8]!r} instead of {IDENTIFIER!r}",
            source=source,
        )
    walk = _Walk(data, source)
    try:
        walk.table(schema.fb.Model.GetRootAs(data, 0))
    except DAMAGE as error:
        raise InvalidModel(f"damaged .tflite file ({error})", source=source) from error


@dataclass(frozen=True, slots=True)
class _Field:
    """One field of a table that leads to more bytes.

    Attributes:
        name: the accessor's name.
        kind: "table", "union", "string", "scalars" (a vector), "tables" or "strings".
        width: bytes an element of a vector.
    """

    name: str
    kind: str
    width: int = 4


class _Walk:
    """Follows one file; lives for one call."""

    def __init__(self, data: bytes, source: str | None) -> None:
        self.source = source
        self.bytes_left = BYTES_FACTOR * len(data) + SPARE_BYTES
        self.objects_left = MAX_OBJECTS

    def pay(self, size: int, objects: int) -> None:
        self.bytes_left -= size
        self.objects_left -= objects
        if self.bytes_left < 0:
            raise InvalidModel(
                "damaged .tflite file: it describes more than its size explains (many tables "
                "share the same bytes, or lengths are wrong)",
                source=self.source,
            )
        if self.objects_left < 0:
            raise InvalidModel(
                "the file describes over a million objects; no model for a microcontroller does",
                source=self.source,
            )

    def table(self, table: Any) -> None:
        self.pay(TABLE_COST, OBJECTS_PER_TABLE)
        cls = type(table)
        _refuse_newer(cls, table._tab)
        for field in _fields(cls):
            _VISIT[field.kind](self, table, field)

    def child(self, parent: Any, field: _Field) -> None:
        child = getattr(parent, field.name)()
        if child is not None:
            self.table(child)

    def union(self, parent: Any, field: _Field) -> None:
        generic = getattr(parent, field.name)()
        number = getattr(parent, field.name + "Type")()
        name = _UNIONS[field.name].get(number)
        if generic is None or name is None or not hasattr(schema.fb, name):
            return
        table = getattr(schema.fb, name)()
        table.Init(generic.Bytes, generic.Pos)
        self.table(table)

    def string(self, parent: Any, field: _Field) -> None:
        text = getattr(parent, field.name)()
        if text is not None:
            self.pay(len(text), 1)

    def scalars(self, parent: Any, field: _Field) -> None:
        length = getattr(parent, field.name + "Length")()
        # Bytes stay one array; numbers may become Python objects one by one.
        self.pay(length * field.width, length if field.width > 1 else 1)
        if length:
            getattr(parent, field.name + "AsNumpy")()  # fails where the file is too short

    def tables(self, parent: Any, field: _Field) -> None:
        pick = getattr(parent, field.name)
        for i in range(self._length(parent, field)):
            self.table(pick(i))

    def strings(self, parent: Any, field: _Field) -> None:
        pick = getattr(parent, field.name)
        for i in range(self._length(parent, field)):
            self.pay(len(pick(i)), 1)

    def _length(self, parent: Any, field: _Field) -> int:
        length = getattr(parent, field.name + "Length")()
        self.pay(length * field.width, length)
        return length


_VISIT: dict[str, Callable[[_Walk, Any, _Field], None]] = {
    "table": _Walk.child,
    "union": _Walk.union,
    "string": _Walk.string,
    "scalars": _Walk.scalars,
    "tables": _Walk.tables,
    "strings": _Walk.strings,
}

# Which table a union's number stands for.
_UNIONS: dict[str, dict[int, str]] = {
    "BuiltinOptions": schema.OPTION_NAMES,
    "BuiltinOptions2": schema.enum_names(schema.fb.BuiltinOptions2),
    "Details": schema.enum_names(schema.fb.QuantizationDetails),
    "ArraySegments": schema.enum_names(schema.fb.SparseIndexVector),
    "ArrayIndices": schema.enum_names(schema.fb.SparseIndexVector),
}

_NOT_FIELDS = ("Length", "IsNone", "AsNumpy")


@cache
def _fields(cls: type) -> tuple[_Field, ...]:
    """The fields of a schema class that lead to more bytes, from the code of its accessors."""
    accessors = {
        name: function.__code__
        for name, function in vars(cls).items()
        if callable(function) and name[0].isupper() and name != "Init"
        if not name.endswith(_NOT_FIELDS)
    }
    fields = (_field(cls, name, code) for name, code in accessors.items())
    return tuple(field for field in fields if field is not None)


def _field(cls: type, name: str, code: Any) -> _Field | None:
    names = code.co_names
    if hasattr(cls, name + "Length"):
        if hasattr(cls, name + "AsNumpy"):
            return _Field(name, "scalars", _width(names))
        return _Field(name, "strings" if "String" in names else "tables")
    if "Union" in names:
        return _Field(name, "union")
    if "String" in names:
        return _Field(name, "string")
    return _Field(name, "table") if "Indirect" in names else None


def _width(names: tuple[str, ...]) -> int:
    flags = [n for n in names if n.endswith("Flags") and n != "UOffsetTFlags"]
    return getattr(schema.number_types, flags[0]).bytewidth


@cache
def _known_slots(cls: type) -> int:
    """How many fields the installed schema gives a table."""
    start = getattr(schema.fb, cls.__name__ + "Start")
    return next(value for value in start.__code__.co_consts if isinstance(value, int))


def _refuse_newer(cls: type, table: Any) -> None:
    """A field that the schema does not know would be lost on writing: refuse it."""
    vtable = table.Pos - struct.unpack_from("<i", table.Bytes, table.Pos)[0]
    if vtable < 0:
        raise ValueError("a table's layout lies before the file")
    size = struct.unpack_from("<H", table.Bytes, vtable)[0]
    known = 4 + 2 * _known_slots(cls)
    if size > known and any(table.Bytes[vtable + known : vtable + size]):
        raise UnsupportedModel(
            f"the file has fields in {cls.__name__} that the installed schema does not know",
            remedy="Upgrade the package ai-edge-litert",
        )
