"""What a net may cost: limits, and which of them are broken."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .. import sizes
from ..errors import TflmOptError
from .cost import Cost


@dataclass(frozen=True, slots=True)
class Broken:
    """A limit that a cost is above.

    Attributes:
        what: "sram", "flash" or "latency_ms".
        need, have: the cost, and the limit.
    """

    what: str
    need: float
    have: float

    @property
    def over(self) -> float:
        """By how much, as a fraction of the limit: 0.25 is a quarter more than allowed."""
        return self.need / self.have - 1

    def __str__(self) -> str:
        if self.what == "latency_ms":
            return f"{self.need:.1f} ms, {self.over:.0%} above the limit of {self.have:.1f} ms"
        return (
            f"{self.need:,.0f} B of {self.what}, {self.over:.1%} above the limit of "
            f"{self.have:,.0f} B"
        )


class Limits:
    """Limits on what a net costs; those that are None don't count.

    Example:
        >>> limits = Limits(sram="64KiB", latency_ms=100)
        >>> [str(one) for one in limits.broken(cost)]
        ['70,208 B of sram, 7.1% above the limit of 65,536 B']

    Args:
        sram, flash: bytes, or text with a unit.
        latency_ms: of one inference, by estimate.

    Raises:
        TflmOptError: a limit that is no size, or no positive time.
    """

    __slots__ = ("flash", "latency_ms", "sram")

    def __init__(
        self,
        sram: int | str | None = None,
        flash: int | str | None = None,
        latency_ms: float | None = None,
    ) -> None:
        self.sram = sizes.parse(sram, what="a limit of sram")
        self.flash = sizes.parse(flash, what="a limit of flash")
        self.latency_ms = _time(latency_ms)

    def broken(self, cost: Cost) -> list[Broken]:
        """The limits that a cost is above, worst first; none if it meets all."""
        found = []
        for what in self.__slots__:
            need, have = getattr(cost, what), getattr(self, what)
            if have is not None and need > have:
                found.append(Broken(what, need, have))
        return sorted(found, key=lambda one: -one.over)

    def to_json(self) -> dict[str, float | None]:
        """Plain values; `Limits(**data)` reads them."""
        return {"sram": self.sram, "flash": self.flash, "latency_ms": self.latency_ms}

    def __bool__(self) -> bool:
        """Whether there is any."""
        return any(value is not None for value in self.to_json().values())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Limits) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash(tuple(self.to_json().values()))

    def __repr__(self) -> str:
        return f"Limits(sram={self.sram}, flash={self.flash}, latency_ms={self.latency_ms})"


def _time(value: float | None) -> float | None:
    if value is None:
        return None
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value <= 0:
        raise TflmOptError(f"a limit of latency of {value!r} is no positive number of ms: write 50")
    return float(value)
