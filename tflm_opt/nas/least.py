"""Whether anything in a space fits; if not, the least that was found, and what binds.

Asked before a supernet is trained: hours of work for limits that no net can meet would be lost.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import NothingFits, TflmOptError
from . import space as spaces
from .cost import Cost
from .evolution import Candidate, Price, Prices
from .limits import Limits
from .net import Net
from .space import Architecture, Space

_SAMPLES = 16
_NETS = 500  # that are priced at most, about

Worth = tuple[float, float]
Plan = Callable[[Net, int], Cost]
Measure = Callable[[Cost], Worth]


def require_fit(
    space: Space,
    price: Price,
    limits: Limits,
    *,
    seed: int = 0,
    report: Callable[[int], None] = lambda tried: None,
    plan: Plan | None = None,
) -> Candidate:
    """A net that fits: nearly always the smallest one, at the price of one net.

    If that one doesn't fit, each choice is changed to whatever brings the nets nearer to all limits
    together, then to each alone: the smallest value of a choice isn't always the cheapest one.

    Args:
        report: called with the number of nets priced so far.
        plan: a net's cost where there are so many bytes of SRAM. Far below what a net needs, a
            price may promise a few percent less than any plan needs; what the error says is
            planned with it. None: prices are exact.

    Raises:
        NothingFits: with the least needs found.
        TflmOptError, ValueError: no net of the space can be made or run; what was said of the last.
    """
    search = _Descent(space, Prices(space, price), limits, report)
    have = {name: value for name, value in limits.to_json().items() if value is not None}
    starts = [spaces.smallest(space)]
    if search.fits(starts[0]):
        return search.found()
    rng = np.random.default_rng([seed, 1])
    starts += sorted(
        (spaces.sample(space, rng) for _ in range(_SAMPLES)),
        key=lambda architecture: search.worth(architecture, _worst(have)),
    )[:1]
    for measure in (_worst(have), *(_worst({name: have[name]}) for name in have)):
        for start in starts:
            if search.descend(start, measure):
                return search.found()
    if not search.costs:
        raise search.prices.error or TflmOptError("no net of the space can be priced")
    if plan is not None and limits.sram is not None:
        search.plan(plan, _worst(have))
    needs = [{name: getattr(cost, name) for name in have} for cost in search.costs.values()]
    raise NothingFits(needs, have)


def _worst(have: dict[str, float]) -> Measure:
    """The largest need as a multiple of its limit, then work.

    Memory is that of the worst place of a net: of two equal ones, making one smaller changes
    nothing but work, and is a step on the way.
    """
    return lambda cost: (
        max((getattr(cost, name) / have[name] for name in have), default=0.0),
        cost.macs,
    )


class _Descent:
    """Walks of single changes; remembers the first net that fits."""

    def __init__(
        self, space: Space, prices: Prices, limits: Limits, report: Callable[[int], None]
    ) -> None:
        self.space = space
        self.prices = prices
        self.limits = limits
        self.report = report
        self.costs: dict[str, Cost] = {}
        self._architectures: dict[str, Architecture] = {}
        self._found: Candidate | None = None

    def found(self) -> Candidate:
        assert self._found is not None
        return self._found

    def worth(self, architecture: Architecture, measure: Measure) -> Worth:
        """The measure of a net, infinite if it has no price."""
        key = spaces.key(architecture)
        cost = self.prices.of(architecture, key)
        if cost is None:
            return math.inf, math.inf
        self.costs[key], self._architectures[key] = cost, architecture
        tried = len(self.costs)
        self.report(tried)
        if self._found is None and not self.limits.broken(cost):
            self._found = Candidate(architecture, key, cost, tried - 1)
        return measure(cost)

    def fits(self, architecture: Architecture) -> bool:
        self.worth(architecture, lambda cost: (0.0, 0.0))
        return self._found is not None

    def descend(self, start: Architecture, measure: Measure) -> bool:
        """Change one choice at a time while it helps; True as soon as a net fits."""
        here, worth = start, self.worth(start, measure)
        better = True
        while better:
            better = False
            for name, values in self.space.choices.items():
                for value in values:
                    if self._found is not None:
                        return True
                    if len(self.costs) >= _NETS or value == here[name]:
                        continue
                    there = self.space.canonical({**here, name: value})
                    if (other := self.worth(there, measure)) < worth:
                        here, worth, better = there, other, True
        return self._found is not None

    def plan(self, plan: Plan, worst: Measure) -> None:
        """Plan the nets that need the least, until those that do so are planned ones."""
        planned: set[str] = set()
        measures: tuple[Callable[[Cost], Any], ...] = (lambda cost: cost.sram, worst)
        while True:
            least = {min(self.costs, key=lambda k: measure(self.costs[k])) for measure in measures}
            if least <= planned:
                return
            for key in least - planned:
                net = self.space.net(self._architectures[key])
                self.costs[key] = plan(net, self.costs[key].sram)
                planned.add(key)
