"""Which slots of a search belong together: those of a generation, and of its rungs.

    slots        0 … 7 | 8 … 11 | 12 13 | 14 | 15 … 22 | 23 …
    rung         0       1        2       3    0         1
    generation   0                             1

A slot's candidate hangs on results of earlier rungs alone. An evolution's generation is one rung;
in successive halving it is a whole ladder.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True, slots=True)
class Generations:
    """Generations of the same sizes, one after the other without end.

    Example:
        >>> slots = Generations((8, 4, 2, 1))
        >>> slots.size, slots.of(16), slots.rung(13), slots.first(13)
        (15, 1, 2, 12)

    Attributes:
        rungs: how many slots each has.
    """

    rungs: tuple[int, ...]

    @property
    def size(self) -> int:
        """Slots of a generation."""
        return sum(self.rungs)

    def of(self, slot: int) -> int:
        """The number of a slot's generation."""
        return slot // self.size

    def rung(self, slot: int) -> int:
        """The number of a slot's rung in its generation."""
        place = slot % self.size
        return next(i for i, end in enumerate(accumulate(self.rungs)) if place < end)

    def first(self, slot: int) -> int:
        """The first slot of a slot's rung."""
        return self.of(slot) * self.size + sum(self.rungs[: self.rung(slot)])

    def begins(self, slot: int) -> bool:
        """Whether a generation begins with a slot."""
        return slot % self.size == 0
