"""Candidates of a search by successive halving: a pure function, as an evolution's list is.

The first rung of a ladder is drawn evenly from what fits, as random search draws; a place of a
later rung goes to the next best of the rung before. The generation after a ladder is another one,
of nets that were not drawn before.

A proxy may choose who begins: then several nets are drawn for each place, and the one of the best
score has it. Scores are asked slot by slot, so that workers share that work too.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

import numpy as np

from .evolution import Candidate, Evolution, Rated
from .generations import Generations
from .halving import Rung

Score = Callable[[Candidate], float]


class Ladder:
    """The list of candidates; see `Evolution`.

    Args:
        draws: draws nets that fit.
        rungs: of each ladder.
        score: of an untrained net, the larger the better; None: nets begin as they are drawn.
        drawn: nets for a place, of which the score chooses.
    """

    def __init__(
        self,
        draws: Evolution,
        rungs: Sequence[Rung],
        *,
        score: Score | None = None,
        drawn: int = 1,
    ) -> None:
        self.space = draws.space
        self._draws = draws
        self._rungs = tuple(rungs)
        self._slots = Generations(tuple(rung.keep for rung in rungs))
        self._score = score
        self._drawn = drawn if score else 1
        self._worths: dict[str, float] = {}  # by key, as a slot may be searched for again

    def candidate(
        self, slot: int, rated: Sequence[Rated], taken: Collection[str]
    ) -> Candidate | None:
        """What is trained in a slot, and for how many epochs; None when nothing new fits.

        Where more trainings failed than a rung leaves out, what is left of its places goes to nets
        drawn anew, which are trained for all rungs up to it.

        Args:
            slot, rated, taken: as `Evolution.candidate` has them.
        """
        rung = self._slots.rung(slot)
        found = self._survivor(slot, rung, rated) if rung else None
        if found is None:
            found = self._newcomer(slot, taken)
        epochs = tuple(one.epochs for one in self._rungs[: rung + 1])
        return None if found is None else replace(found, epochs=epochs)

    def _survivor(self, slot: int, rung: int, rated: Sequence[Rated]) -> Candidate | None:
        """Of the rung before, the one whose turn it is; of equals the earlier one."""
        first = self._slots.first(slot)
        before = range(first - self._rungs[rung - 1].keep, first)
        best = sorted(
            (one for one in rated if one.slot in before), key=lambda one: (one.scores[0], one.slot)
        )
        place = slot - first
        return self._draws.priced(best[place].architecture) if place < len(best) else None

    def _newcomer(self, slot: int, taken: Collection[str]) -> Candidate | None:
        rng = np.random.default_rng([self._draws.seed, slot])
        seen = set(taken)
        found: list[Candidate] = []
        while len(found) < self._drawn and (one := self._draws.found(rng, seen)) is not None:
            found.append(one)
            seen.add(one.key)
        if not found:
            return None
        best = max(found, key=self._known_worth) if len(found) > 1 else found[0]
        return replace(best, rejected=sum(one.rejected for one in found))

    def _known_worth(self, candidate: Candidate) -> float:
        if candidate.key not in self._worths:
            self._worths[candidate.key] = self._worth(candidate)
        return self._worths[candidate.key]

    def _worth(self, candidate: Candidate) -> float:
        assert self._score is not None
        try:
            worth = self._score(candidate)
        except Exception:  # it may be trained all the same, and that says what is wrong with it
            traceback.print_exc()
            return -math.inf
        return -math.inf if math.isnan(worth) else worth
