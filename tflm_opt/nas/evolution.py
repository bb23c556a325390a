"""Candidates of a search: a pure function of space, limits, seed and the results so far.

    slots   0 … P-1 | P … 2P-1 | 2P … 3P-1      a slot is a place in the search's list of candidates
            random  | children of the best of all generations before, and a few more random ones

The first generation is drawn evenly from what fits, later ones are crossed and mutated from the
best so far. Several children are drawn for a slot, and the one takes it of which most is expected
(`predictor`). With several objectives the best are those of the front, by nondominated rank and
crowding as in NSGA-II (Deb et al., 2002), and more often the most accurate: a front of three
objectives is wide, and its accurate end is what is asked for. Nets above a limit are rejected by
their price, before any training, and nothing is proposed twice. A slot's candidate has a random
generator of its own, of the seed and the slot, and hangs on results of earlier generations alone:
whoever works on the search, however many, and in what order, finds the same list.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import TflmOptError
from . import space as spaces
from .cost import Cost
from .limits import Limits
from .net import Net
from .predictor import Predictor
from .space import Architecture, Space

OBJECTIVES = ("accuracy", "sram", "latency", "flash", "macs")
_FIELDS = {"latency": "latency_ms"}  # of `Cost`, where objectives are called otherwise
_PARENTS = 0.25  # of a population's size: how many of the best have children (Cai et al., 2020)
_FOCUS = 0.7  # of parents are chosen for accuracy alone
_CROSSED = 0.5  # of children have two parents
_CHILDREN = 16  # are drawn for a slot, and tried from the most promising one on
_TRIED = 8  # of them, before others are drawn
_FRESH = 0.1  # of slots get no children, but nets drawn evenly: what the best so far don't have
_GUESSED = 16  # results, before anything is guessed from them
_REMEMBERED = 600  # results, the last ones, that guesses are made of: they take n³ steps
_DRAWS = 32  # before a rejected net is led back under the limits
_ATTEMPTS = 400  # to find a candidate for a slot
_SMALL = 4096  # combinations that are tried one by one before a space counts as exhausted

Price = Callable[[Net], Cost]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A net to be evaluated.

    Attributes:
        architecture, key, cost: what it is, and needs.
        rejected: how many were priced for its slot and are over a limit.
        epochs: that are behind it after each rung of a ladder (`halving`), up to that of its slot;
            () where its evaluator decides.
    """

    architecture: Architecture
    key: str
    cost: Cost
    rejected: int = 0
    epochs: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Rated:
    """A net with its results, of which smaller are better: `scores` has accuracy negated."""

    architecture: Architecture
    scores: tuple[float, ...]
    slot: int = 0


def scores(accuracy: float, cost: Cost, objectives: Sequence[str]) -> tuple[float, ...]:
    """The objectives as numbers of which smaller are better.

    >>> scores(0.9, Cost(sram=1000, ...), ("accuracy", "sram"))
    (-0.9, 1000)
    """
    return tuple(
        -accuracy if name == "accuracy" else getattr(cost, _FIELDS.get(name, name))
        for name in objectives
    )


@dataclass(frozen=True, slots=True)
class _Past:
    """What a generation knows of those before it.

    Attributes:
        front, top: parents: the best of the front and the most accurate, both best first.
        predictor: guesses what a child would score; None after few results.
    """

    front: Sequence[Rated] = ()
    top: Sequence[Rated] = ()
    predictor: Predictor | None = None


class Evolution:
    """The list of candidates of a search; it keeps prices, and nothing that its answers hang on.

    Args:
        space: what is searched.
        price: of a net.
        limits: what it may be.
        population: slots a generation.
        seed: of all draws.
    """

    def __init__(
        self, space: Space, price: Price, limits: Limits, *, population: int, seed: int
    ) -> None:
        self.space = space
        self.limits = limits
        self.population = population
        self.seed = seed
        self.prices = Prices(space, price)
        self._past: tuple[tuple[int, int], _Past] | None = None

    def candidate(
        self, slot: int, rated: Sequence[Rated], taken: Collection[str]
    ) -> Candidate | None:
        """What is evaluated in a slot; None when the space has nothing more that fits.

        Args:
            slot: from 0.
            rated: results of all earlier generations, by slot; failed ones left out.
            taken: keys of all slots before this one.
        """
        rng = np.random.default_rng([self.seed, slot])
        return self.found(rng, taken, self._past_of(slot // self.population, rated))

    def found(
        self, rng: np.random.Generator, taken: Collection[str], past: _Past | None = None
    ) -> Candidate | None:
        """A net that fits and isn't taken; None when there is no other.

        Args:
            rng: of the draws.
            taken: keys.
            past: whose children it may be; without one, nets are drawn evenly.
        """
        near: Architecture | None = None
        excess = math.inf
        rejected = 0
        proposals = self._proposals(past or _Past(), rng)
        for attempt in range(_ATTEMPTS):
            if near is not None and rejected >= _DRAWS and attempt % 4:
                architecture = spaces.mutate(self.space, near, rng)
            else:
                architecture = next(proposals)
            key = spaces.key(architecture)
            if key in taken:
                continue
            cost = self.prices.of(architecture, key)
            over = excess_of(cost, self.limits)
            if cost is not None and over <= 0:
                return Candidate(architecture, key, cost, rejected)
            rejected += 1
            if over < excess:
                near, excess = architecture, over
        return self._remaining(taken, rejected)

    def _past_of(self, generation: int, rated: Sequence[Rated]) -> _Past:
        label = (generation, len(rated))
        if self._past is None or self._past[0] != label:
            count = max(2, round(self.population * _PARENTS))
            front = ranked(rated, count)
            top = sorted(rated, key=lambda one: one.scores[0])[:count]
            predictor = None
            if len(rated) >= _GUESSED:
                last = rated[-_REMEMBERED:]
                known = [one.architecture for one in last]
                predictor = Predictor(self.space, known, [-one.scores[0] for one in last])
            self._past = (label, _Past(front, top, predictor))
        return self._past[1]

    def priced(self, architecture: Architecture) -> Candidate | None:
        """A net by itself; None if it can't be had."""
        key = spaces.key(architecture)
        cost = self.prices.of(architecture, key)
        return None if cost is None else Candidate(architecture, key, cost)

    def _proposals(self, past: _Past, rng: np.random.Generator) -> Iterator[Architecture]:
        """Nets for a slot, without end."""
        evenly = len(past.front) < 2 or rng.random() < _FRESH
        while True:
            if past.predictor is None:
                yield self._drawn(past, evenly, rng)
                continue
            drawn = [self._drawn(past, evenly, rng) for _ in range(_CHILDREN)]
            guesses = past.predictor(drawn)
            for i in np.argsort(-guesses, kind="stable")[:_TRIED]:
                yield drawn[i]

    def _drawn(self, past: _Past, evenly: bool, rng: np.random.Generator) -> Architecture:
        if evenly:
            return spaces.sample(self.space, rng)
        one, other = (_winner(past, rng) for _ in range(2))
        child = one.architecture
        if rng.random() < _CROSSED:
            child = spaces.crossover(self.space, child, other.architecture, rng)
        return spaces.mutate(self.space, child, rng)

    def _remaining(self, taken: Collection[str], rejected: int) -> Candidate | None:
        """Of a small space, the first net that fits and isn't taken."""
        for architecture in every(self.space):
            key = spaces.key(architecture)
            if key in taken:
                continue
            cost = self.prices.of(architecture, key)
            if cost is not None and not self.limits.broken(cost):
                return Candidate(architecture, key, cost, rejected)
        return None


def _winner(past: _Past, rng: np.random.Generator) -> Rated:
    """A parent, of a tournament of two: the one in front, as the lists are in order."""
    chosen = past.top if rng.random() < _FOCUS else past.front
    return chosen[rng.integers(len(chosen), size=2).min()]


class Prices:
    """What nets of a space cost, each asked once; None for a net that can't be made or run."""

    def __init__(self, space: Space, price: Price) -> None:
        self._space = space
        self._price = price
        self._known: dict[str, Cost | None] = {}
        self.error: Exception | None = None

    def of(self, architecture: Mapping[str, Any], key: str = "") -> Cost | None:
        key = key or spaces.key(architecture)
        if key not in self._known:
            try:
                self._known[key] = self._price(self._space.net(architecture))
            except (TflmOptError, ValueError) as error:
                self._known[key] = None
                self.error = error
        return self._known[key]


def every(space: Space) -> list[Architecture]:
    """All architectures of a small space, smallest first; none of a large one."""
    values = list(space.choices.values())
    if math.prod(map(len, values)) > _SMALL:
        return []
    found: dict[str, Architecture] = {}
    for row in itertools.product(*values):
        architecture = space.canonical(dict(zip(space.choices, row, strict=True)))
        found.setdefault(spaces.key(architecture), architecture)
    return list(found.values())


def excess_of(cost: Cost | None, limits: Limits) -> float:
    """The worst need as a fraction above its limit: 0 or less if all are met."""
    if cost is None:
        return math.inf
    return max((one.over for one in limits.broken(cost)), default=0.0)


def ranked(rated: Sequence[Rated], count: int) -> list[Rated]:
    """The best `count` of them, best first: by nondominated rank, then the least crowded."""
    if not rated:
        return []
    points = np.array([one.scores for one in rated], dtype=float)
    order: list[int] = []
    left = np.arange(len(points))
    while len(left) and len(order) < count:
        first = nondominated(points[left])
        front = left[first]
        gaps = crowding(points[front])
        order += [int(front[i]) for i in np.lexsort((front, -gaps))]
        left = left[~first]
    return [rated[i] for i in order[:count]]


def nondominated(points: np.ndarray) -> np.ndarray:
    """Which rows no other row dominates: is nowhere worse than, and somewhere better.

    >>> nondominated(np.array([[1, 3], [2, 2], [2, 3]])).tolist()
    [True, True, False]
    """
    best = np.ones(len(points), dtype=bool)
    for i, point in enumerate(points):
        no_worse = (points <= point).all(axis=1)
        best[i] = not (no_worse & (points < point).any(axis=1)).any()
    return best


def crowding(points: np.ndarray) -> np.ndarray:
    """How far the neighbours of each row are, summed over columns of equal weight; inf at ends."""
    gaps = np.zeros(len(points))
    for column in points.T:
        order = np.argsort(column, kind="stable")
        span = column[order[-1]] - column[order[0]]
        gaps[order[[0, -1]]] = math.inf
        if span > 0:
            gaps[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / span
    return gaps
