"""Options of a search: tables, as JSON and TOML have them, and the records that they stand for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from ..errors import TflmOptError

_Record = TypeVar("_Record")


def from_table(kind: type[_Record], name: str, data: Any, example: str) -> _Record:
    """A record of a table of its attributes; what is missing has its default.

    Args:
        kind: a dataclass that checks its values.
        name: of the options, for messages.
        data: what was given.
        example: a table as it might be.

    Raises:
        TflmOptError: no table, a word that isn't known, or a value that can't be.
    """
    if not isinstance(data, Mapping):
        raise TflmOptError(f"{name} is {data!r}: write a table, {example}")
    known = [f.name for f in fields(kind)]  # pyright: ignore[reportArgumentType]
    if unknown := sorted(set(data) - set(known)):
        raise TflmOptError(f"{name} has no setting {unknown[0]!r}; known are {', '.join(known)}")
    return kind(**data)


def require_whole(record: object, name: str, **least: int) -> None:
    """Raise TflmOptError unless these attributes are whole numbers from so many on.

    Args:
        record: whose attributes they are.
        name: of the options, for messages.
        least: by attribute.
    """
    for attribute, smallest in least.items():
        value = getattr(record, attribute)
        if isinstance(value, bool) or not isinstance(value, int) or value < smallest:
            raise TflmOptError(
                f"{name} with {attribute} = {value!r}: a whole number from {smallest} on is needed"
            )
