"""Successive halving: most candidates are trained for a short time, and few for long.

    rung      0     1     2     3     4     5
    nets     50    25    12     6     3     1     `keep`
    epochs    1     2     4     8    16    32     behind each of them, with rungs below

All are trained a little; the better part goes on, for twice as long, and so forth, until few are
left (Jamieson and Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter
Optimization", 2016; the inner loop of Hyperband, Li et al., 2018). Training goes on from where it
was, so a net that gets to the end was trained once and not once a rung.

Here are the numbers; `ladder` says which nets, and `climb` trains them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import TflmOptError
from .options import from_table, require_whole
from .proxies import PROXIES

HALVING = "halving"  # as an evaluator, and as the name of its options
MACS = "macs"  # a proxy that no net has to be built for


@dataclass(frozen=True, slots=True)
class Rung:
    """A step of the ladder.

    Attributes:
        keep: how many candidates get to it.
        epochs: that each of them has behind it when the rung is done, those of rungs below too.
    """

    keep: int
    epochs: int


@dataclass(frozen=True, slots=True)
class Halving:
    """How candidates become fewer: `options={"halving": …}` of a search.

    Example:
        >>> Halving(factor=3).rungs(9)
        (Rung(keep=9, epochs=1), Rung(keep=3, epochs=3), Rung(keep=1, epochs=9))

    Attributes:
        epochs: of the first rung.
        factor: by which candidates become fewer and their epochs more, from rung to rung.
        last: no fewer than these are left at the end.
        proxy: what chooses who begins: one of `proxies.PROXIES`, "macs", or "" for no choice.
        drawn: nets for each place of the first rung, of which the proxy chooses one.
    """

    epochs: int = 1
    factor: int = 2
    last: int = 1
    proxy: str = ""
    drawn: int = 4

    def __post_init__(self) -> None:
        require_whole(self, HALVING, epochs=1, factor=2, last=1, drawn=1)
        known = (*PROXIES, MACS)
        if self.proxy and self.proxy not in known:
            raise TflmOptError(f"halving's proxy {self.proxy!r} is not one of {', '.join(known)}")

    @staticmethod
    def from_json(data: Any) -> Halving:
        """Of a table of its attributes; what is missing has its default.

        Raises:
            TflmOptError: no table, a word that isn't known, or a value that can't be.
        """
        return from_table(Halving, HALVING, data, '{"epochs": 1, "factor": 2}')

    def rungs(self, candidates: int) -> tuple[Rung, ...]:
        """The ladder that so many candidates climb.

        Raises:
            TflmOptError: more are to be left at the end than begin.
        """
        if candidates < self.last:
            raise TflmOptError(
                f"halving of {candidates} candidates that leaves {self.last}: give a population "
                f"of at least {self.last}, or a smaller last"
            )
        rungs = [Rung(candidates, self.epochs)]
        while rungs[-1].keep > self.last:
            keep = max(self.last, rungs[-1].keep // self.factor)
            rungs.append(Rung(keep, rungs[-1].epochs * self.factor))
        return tuple(rungs)

    def population(self, trials: int) -> int:
        """How many candidates may begin so that a ladder takes no more than so many trainings.

        >>> Halving().population(64)  # 32 + 16 + 8 + 4 + 2 + 1 = 63
        32
        """
        found = self.last
        while sum(rung.keep for rung in self.rungs(found + 1)) <= trials:
            found += 1
        return found


def total_epochs(rungs: Sequence[Rung]) -> int:
    """Epochs of training in all: what a ladder costs."""
    total, before = 0, 0
    for rung in rungs:
        total += rung.keep * (rung.epochs - before)
        before = rung.epochs
    return total
