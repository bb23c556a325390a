"""Finals: the best of each generation are trained by themselves for a while, and that decides.

    slots        0 … 49 | 50 51 | 52 … 101 | 102 103 | …
    rung           0        1       0           1
    generation     0                1

A supernet tells good nets from bad ones, but not the best from the good: some suit shared weights
better than others do. A short training from its weights is nearer to what ships, as Cai et al.
("Once-for-All", 2020) fine-tune the net that their search chose; nets that differ by less than the
noise of validation and training it can't tell apart either. Nor are finals of near copies worth
their time: they share what the supernet was wrong about. So the best that differ from each other
get there, and near copies only where there is nothing else. Evolution goes on by the supernet's
accuracies alone, so its list of candidates is the same with finals and without.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .evolution import Candidate, Evolution, Rated
from .generations import Generations
from .options import from_table, require_whole

FINALS = "finals"  # the name of their options
_APART = 1 / 8  # of a space's choices, at least, are others in another finalist


@dataclass(frozen=True, slots=True)
class Finals:
    """How many nets get there: `options={"finals": …}` of a search.

    Attributes:
        nets: of each generation, the best that were not in finals before, and differ from those
            that were in an eighth of the space's choices; 0 for no finals.
        epochs: that each is trained.
    """

    nets: int = 2
    epochs: int = 10

    def __post_init__(self) -> None:
        require_whole(self, FINALS, nets=0, epochs=1)

    @staticmethod
    def from_json(data: Any) -> Finals:
        """Of a table of its attributes; what is missing has its default.

        Raises:
            TflmOptError: no table, a word that isn't known, or a value that can't be.
        """
        return from_table(Finals, FINALS, data, '{"nets": 2, "epochs": 10}')


class Finalists:
    """The list of candidates of an evolution with finals; see `Evolution`."""

    def __init__(self, evolution: Evolution, finals: Finals) -> None:
        self.space = evolution.space
        self._evolution = evolution
        self._finals = finals
        self._slots = Generations((evolution.population, finals.nets))

    def candidate(
        self, slot: int, rated: Sequence[Rated], taken: Collection[str]
    ) -> Candidate | None:
        """What is evaluated in a slot; in finals None where no net is left for it.

        Args:
            slot, rated, taken: as `Evolution.candidate` has them.
        """
        met = [one for one in rated if not self._slots.rung(one.slot)]
        generation = self._slots.of(slot)
        if not self._slots.rung(slot):
            size = self._evolution.population
            place = generation * size + slot % self._slots.size
            return self._evolution.candidate(place, met, taken)
        best = self._finalists(generation, met)
        place = slot - self._slots.first(slot)
        found = self._evolution.priced(best[place].architecture) if place < len(best) else None
        return None if found is None else replace(found, epochs=(self._finals.epochs,))

    def _finalists(self, generation: int, met: Sequence[Rated]) -> list[Rated]:
        """Of a generation. What became of earlier ones doesn't matter: who failed was there too."""
        found: list[Rated] = []
        before: list[Rated] = []
        for number in range(generation + 1):
            before += found
            left = [o for o in met if self._slots.of(o.slot) <= number and o not in before]
            found = self._best(left, before)
        return found

    def _best(self, left: Sequence[Rated], before: Sequence[Rated]) -> list[Rated]:
        """Of nets that were not in finals, those that get there: near copies come last."""
        found: list[Rated] = []
        near: list[Rated] = []
        for one in sorted(left, key=lambda one: (one.scores[0], one.slot)):
            apart = all(self._apart(one, other) for other in (*before, *found))
            (found if apart else near).append(one)
            if len(found) == self._finals.nets:
                break
        return (found + near)[: self._finals.nets]

    def _apart(self, one: Rated, other: Rated) -> bool:
        names = [name for name, values in self.space.choices.items() if len(values) > 1]
        differ = sum(one.architecture[name] != other.architecture[name] for name in names)
        return differ >= max(1, _APART * len(names))
