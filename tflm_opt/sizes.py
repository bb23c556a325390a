"""Sizes in bytes as people write them.

>>> parse("320KiB"), parse("320kB"), parse(320_000)
(327680, 320000, 320000)
"""

from __future__ import annotations

import re

from .errors import TflmOptError

_UNITS = {
    "": 1,
    "b": 1,
    "k": 1000,
    "kb": 1000,
    "m": 1_000_000,
    "mb": 1_000_000,
    "kib": 1024,
    "ki": 1024,
    "mib": 1 << 20,
    "mi": 1 << 20,
}
_FORM = re.compile(r"\s*([0-9][0-9_,]*(?:\.[0-9]+)?)\s*([a-z]*)\s*", re.IGNORECASE)


def parse(size: int | str | None, *, what: str = "a size") -> int | None:
    """A size as bytes: an int, or text with a unit (B, kB, KiB, MB, MiB); None stays None.

    Raises:
        TflmOptError: not a size, negative, or zero.
    """
    if size is None:
        return None
    if isinstance(size, bool) or not isinstance(size, (int, str)):
        raise _bad(size, what)
    if isinstance(size, int):
        value: float = size
    else:
        match = _FORM.fullmatch(size)
        if match is None or match.group(2).lower() not in _UNITS:
            raise _bad(size, what)
        number = match.group(1).replace("_", "").replace(",", "")
        value = float(number) * _UNITS[match.group(2).lower()]
    if value != int(value) or value <= 0:
        raise _bad(size, what)
    return int(value)


def _bad(size: object, what: str) -> TflmOptError:
    return TflmOptError(
        f"{what} of {size!r} is not a positive number of bytes: write 320000, '320kB' or '320KiB'"
    )
