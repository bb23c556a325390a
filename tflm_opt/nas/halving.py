"""Successive halving: most candidates are trained for a short time, and few for long.

All are trained a little; the better part goes on, for twice as long, and so forth, until few are
left (Jamieson and Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter
Optimization", 2016; the inner loop of Hyperband, Li et al., 2018). Training goes on from where it
was, so a candidate that gets to the end was trained once and not once a rung.

    rungs = plan(27, epochs=1, factor=3)          # 27 for 1 epoch, 9 for 3, 3 for 9, 1 for 27
    for candidate, rung, accuracy in halve(candidates, train_some, rungs): ...

`halve` knows nothing of nets; `Halving` trains them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import TflmOptError

if TYPE_CHECKING:
    from .evaluate import TrainEvaluator
    from .net import Net

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rung:
    """A step of the ladder.

    Attributes:
        keep: how many candidates get to it.
        epochs: that each of them has behind it when the rung is done, those of rungs below too.
    """

    keep: int
    epochs: int


def plan(candidates: int, *, epochs: int = 1, factor: int = 2, last: int = 1) -> tuple[Rung, ...]:
    """Rungs on which candidates become fewer by a factor, and their epochs more by it.

    Example:
        >>> plan(8, epochs=2)
        (Rung(keep=8, epochs=2), Rung(keep=4, epochs=4), Rung(keep=2, epochs=8), Rung(keep=1, ...))

    Args:
        candidates: at the start.
        epochs: of the first rung.
        factor: 2 for halving.
        last: no fewer than these are left at the end.

    Raises:
        TflmOptError: numbers that make no ladder.
    """
    if candidates < 1 or epochs < 1 or factor < 2 or not 1 <= last <= candidates:
        raise TflmOptError(
            f"halving of {candidates} candidates from {epochs} epochs by {factor} to {last}: at "
            "least one candidate and epoch are needed, a factor of 2, and no more left than came"
        )
    rungs = [Rung(candidates, epochs)]
    while rungs[-1].keep > last:
        keep = max(last, rungs[-1].keep // factor)
        rungs.append(Rung(keep, rungs[-1].epochs * factor))
    return tuple(rungs)


def epochs(rungs: Sequence[Rung]) -> int:
    """Epochs of training in all: what a ladder costs."""
    total, before = 0, 0
    for rung in rungs:
        total += rung.keep * (rung.epochs - before)
        before = rung.epochs
    return total


def halve(
    candidates: Sequence[T],
    train_some: Callable[[T, int, int], float],
    rungs: Sequence[Rung],
    *,
    score: Callable[[T], float] | None = None,
) -> list[tuple[T, int, float]]:
    """All that was found out: (candidate, rung, accuracy), in the order in which it was.

    Args:
        candidates: in an order that decides between equal accuracies: the earlier one goes on.
        train_some: trains a candidate from so many epochs to so many, and gives its accuracy; NaN
            for one whose training broke down, which goes no further.
        rungs: see `plan`. Where the first keeps fewer than there are candidates, `score` chooses.
        score: something cheap that tells better candidates from worse ones, as `proxies` does.

    Raises:
        TflmOptError: rungs that are no ladder, or too many candidates and no score.
    """
    return list(climbed(candidates, train_some, rungs, score=score))


def climbed(
    candidates: Sequence[T],
    train_some: Callable[[T, int, int], float],
    rungs: Sequence[Rung],
    *,
    score: Callable[[T], float] | None = None,
) -> Iterator[tuple[T, int, float]]:
    """As `halve`, one after the other as they are found: for those who record them."""
    _check(rungs)
    left = list(range(len(candidates)))
    if len(left) > rungs[0].keep:
        if score is None:
            raise TflmOptError(
                f"{len(left)} candidates for {rungs[0].keep} places: give a score to choose by"
            )
        left = _best([(i, score(candidates[i])) for i in left], rungs[0].keep)
    before = 0
    for number, rung in enumerate(rungs):
        found = []
        for i in left:
            accuracy = train_some(candidates[i], before, rung.epochs)
            found.append((i, accuracy))
            yield candidates[i], number, accuracy
        before = rung.epochs
        if number + 1 < len(rungs):
            left = _best(found, rungs[number + 1].keep)


def _best(scores: Sequence[tuple[int, float]], keep: int) -> list[int]:
    """Those of the largest scores, in their old order; the earlier one where they are equal."""
    alive = [(-score, i) for i, score in scores if not math.isnan(score)]
    return sorted(i for _, i in sorted(alive)[:keep])


def _check(rungs: Sequence[Rung]) -> None:
    if not rungs:
        raise TflmOptError("halving needs at least one rung")
    for one, after in pairwise(rungs):
        if after.keep > one.keep or after.epochs <= one.epochs:
            raise TflmOptError(
                f"rung {after} comes after {one}: each keeps no more candidates than the one "
                "before, and trains for more epochs"
            )
    if rungs[-1].keep < 1 or rungs[0].epochs < 1:
        raise TflmOptError("each rung keeps at least one candidate, and trains for an epoch")


class Halving:
    """`train_some` for nets: goes on with the weights that the last rung left.

    Each rung's learning rate falls to nothing by itself (a warm restart), so that accuracies of one
    rung compare. What is kept between rungs is weights alone, as files.

    Example:
        >>> halving = Halving(evaluator, space.net, folder, seed=0)
        >>> found = halve(architectures, halving.train_some, plan(16))

    Args:
        evaluator: its data and recipe; how many epochs is for the rungs to say.
        net: makes the net of a candidate.
        folder: for the weights. What is there from a call that was ended is used again.
        seed: of weights and training.
    """

    def __init__(
        self,
        evaluator: TrainEvaluator,
        net: Callable[[Any], Net],
        folder: str | Path,
        *,
        seed: int = 0,
    ) -> None:
        self.evaluator = evaluator
        self.net = net
        self.folder = Path(folder)
        self.seed = seed

    def train_some(self, candidate: Any, first: int, last: int) -> float:
        """The accuracy after training from `first` epochs to `last`; NaN if it broke down."""
        from .evaluate import fresh_session
        from .recipe import accuracy, train

        net = self.net(candidate)
        data = self.evaluator.sized(net)
        with fresh_session():
            model = self.evaluator.build(net, self.seed)
            if first:
                self._load(model, candidate, first)
            recipe = self.evaluator.recipe.of(last - first)
            loss = train(model, data.x_train, data.y_train, recipe, seed=self.seed + first)
            if not math.isfinite(loss):
                return math.nan
            self._save(model, candidate, last)
            return accuracy(model, data.x_val, data.y_val)

    def score(self, candidate: Any) -> float:
        """Cheap and untrained: see `proxies.naswot`."""
        from . import proxies
        from .evaluate import fresh_session

        net = self.net(candidate)
        data = self.evaluator.sized(net)
        with fresh_session():
            model = self.evaluator.build(net, self.seed)
            part = slice(proxies.BATCH)
            return proxies.naswot(model, data.x_train[part], data.y_train[part])

    def weights(self, candidate: Any, epochs: int) -> Path:
        """The file of a candidate's weights after so many epochs."""
        from .space import key

        return self.folder / f"{key(candidate)}-{epochs}.npz"

    def _save(self, model: Any, candidate: Any, epochs: int) -> None:
        import numpy as np

        from .data import written

        with written(self.weights(candidate, epochs)) as file:
            np.savez(file, *model.get_weights())

    def _load(self, model: Any, candidate: Any, epochs: int) -> None:
        import numpy as np

        with np.load(self.weights(candidate, epochs)) as file:
            model.set_weights([file[f"arr_{i}"] for i in range(len(file.files))])
