"""Names of TFLite's flatbuffer schema, both ways, and the schema's classes.

The classes are those that the `ai-edge-litert` package generates from TFLite's schema; this
module is the only one that imports them.
"""

from __future__ import annotations

import re
from typing import Any

from ai_edge_litert import schema_py_generated as fb
from flatbuffers import number_types

__all__ = [
    "DTYPE_CODES",
    "DTYPE_NAMES",
    "KIND_CODES",
    "KIND_NAMES",
    "LAST_8BIT_OPCODE",
    "OPTION_CODES",
    "OPTION_NAMES",
    "camel",
    "enum_names",
    "fb",
    "new_table",
    "number_types",
]


def enum_names(enum: type) -> dict[int, str]:
    """value -> name of one of the schema's enumerations."""
    return {value: name for name, value in vars(enum).items() if isinstance(value, int)}


DTYPE_NAMES: dict[int, str] = {v: n.lower() for v, n in enum_names(fb.TensorType).items()}
DTYPE_CODES: dict[str, int] = {n: v for v, n in DTYPE_NAMES.items()}
KIND_NAMES: dict[int, str] = enum_names(fb.BuiltinOperator)
KIND_CODES: dict[str, int] = {n: v for v, n in KIND_NAMES.items()}
OPTION_NAMES: dict[int, str] = enum_names(fb.BuiltinOptions)
OPTION_CODES: dict[str, int] = {n: v for v, n in OPTION_NAMES.items()}

# Opcodes up to this one also go into the old 8-bit field of an operator code.
LAST_8BIT_OPCODE = 127


def camel(name: str) -> str:
    """The schema's spelling of one of our field names.

    >>> camel("keep_num_dims")
    'keepNumDims'
    """
    if name == "activation":
        return "fusedActivationFunction"
    return re.sub(r"_(\w)", lambda match: match.group(1).upper(), name)


def new_table(name: str) -> Any:
    """An empty object of the schema's table `name`."""
    return getattr(fb, name + "T")()
