"""Which space to search: TinyNAS's first stage (Lin et al., 2020, MCUNet).

A family of spaces, one for each width and resolution, is sampled before anything is trained. The
paper's finding: of nets that fit a board, those with more multiply-accumulates (MACs) have more
capacity, so the space whose fitting nets have most of them is the one to search. Its figure reads
off what the top fifth exceed, 50.3 million in the chosen space and 32.3 in another; that is the
measure here (`by="p80"`), and the mean is the other one.

What fits is asked of the planner that deploys (`Pricer`): streamed schedules let wider and larger
nets through than memory layer by layer does, and so may change the space.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from ..errors import NothingFits, TflmOptError
from ..progress import Progress, Silent
from .cost import Cost
from .evolution import Prices
from .limits import Limits
from .net import Net
from .space import Architecture, Space, sample, smallest

MEASURES = ("p80", "mean")
# Of the largest share that fits in any subspace, what another needs to be chosen. The paper has no
# such rule. But where time is limited, too, a subspace of ever larger nets has few that fit, those
# just below the limit: a good score, hardly any choice, and a search that mostly draws in vain.
ENOUGH = 0.2


class Family(Space, Protocol):
    """A space that can be cut: `spaces.Staged` has widths and resolutions for that."""

    def subspaces(self) -> Sequence[tuple[Mapping[str, Any], Space]]:
        """What is fixed in each, by the name of the choice, and the space that is left."""
        ...


# Of a net, given the limit of SRAM or None.
Price = Callable[[Net, Any], Cost]


@dataclass(frozen=True, slots=True)
class Row:
    """One subspace.

    Attributes:
        fixed: its width and resolution, by name.
        space: to search in.
        sampled: how many nets were drawn.
        macs: of those that fit, ascending.
        least: the smallest need found of each limit, of any net.
    """

    fixed: Mapping[str, Any]
    space: Space
    sampled: int
    macs: tuple[int, ...]
    least: Mapping[str, float]

    @property
    def name(self) -> str:
        """Such as "width 0.5, resolution 48"."""
        return named(self.fixed)

    @property
    def fraction(self) -> float:
        """Of the sampled nets that fit."""
        return len(self.macs) / self.sampled

    @property
    def mean(self) -> float:
        """MACs of the nets that fit; 0 where none does."""
        return float(np.mean(self.macs)) if self.macs else 0.0

    def quantile(self, share: float) -> int:
        """MACs that this share of the fitting nets doesn't exceed; 0 where none fits."""
        return int(np.quantile(self.macs, share, method="inverted_cdf")) if self.macs else 0

    def score(self, by: str) -> float:
        """By what subspaces are compared."""
        return self.mean if by == "mean" else float(self.quantile(0.8))

    def to_json(self) -> dict[str, Any]:
        return {
            "fixed": dict(self.fixed),
            "sampled": self.sampled,
            "fitting": len(self.macs),
            "mean": self.mean,
            "p80": self.quantile(0.8),
            "macs": list(self.macs),
            "least": dict(self.least),
        }


def named(fixed: Mapping[str, Any]) -> str:
    """
    >>> named({"width": 0.5, "resolution": 48})
    'width 0.5, resolution 48'
    """
    return ", ".join(f"{name} {value}" for name, value in fixed.items())


@dataclass(frozen=True, slots=True)
class Survey:
    """What a survey found; `print` it for a table, `svg()` for the curves.

    Attributes:
        rows: all subspaces.
        chosen: the one to search.
        by: "p80" or "mean", of the fitting nets' MACs.
        limits: those that were set.
        samples, seed: as given.
    """

    rows: tuple[Row, ...]
    chosen: Row
    by: str
    limits: Mapping[str, float]
    samples: int
    seed: int

    @property
    def space(self) -> Space:
        """The chosen subspace."""
        return self.chosen.space

    def to_json(self) -> dict[str, Any]:
        """All figures, as plain values, and the chosen space as `spaces.from_json` reads it."""
        return {
            "by": self.by,
            "samples": self.samples,
            "seed": self.seed,
            "limits": dict(self.limits),
            "rows": [row.to_json() for row in self.rows],
            "chosen": self.rows.index(self.chosen),
            "space": self.space.to_json(),
        }

    def svg(self, *, style: bool = True) -> str:
        """The distribution of MACs in each subspace, as the text of an SVG file."""
        from .survey_picture import svg

        return svg(self, style=style)

    def __str__(self) -> str:
        return "\n".join(_table(self))


def survey(
    family: Family,
    limits: Limits,
    price: Price,
    *,
    samples: int = 50,
    seed: int = 0,
    by: str = "p80",
    progress: Progress | None = None,
) -> Survey:
    """Choose the subspace to search.

    Example:
        >>> pricer = Pricer(board="disco_f746ng")
        >>> found = survey(spaces.default((64, 64, 3), 4), Limits(sram="64KiB"), pricer.price)
        >>> found.chosen.name
        'width 0.5, resolution 64'

    Args:
        family: a space with `subspaces()`.
        limits: that nets have to meet.
        price: of a net, given the limit of SRAM (or None), as `Pricer.price`.
        samples: nets drawn in each subspace; those drawn twice are priced once, and those that
            can't be made or run don't fit. Of ten seeds, seven to nine chose the same subspace
            with 50, and six to ten with 100, under three sets of limits.
        seed: of the draws. They are the same in all subspaces, but for width and resolution: so
            differences between the curves are of these, and less of chance.
        by: "p80", the MACs that a fifth of the fitting nets exceed, or "mean".
        progress: is told of each subspace.

    Only subspaces count where at least a fifth as many nets fit as where most do.

    Raises:
        NothingFits: in no subspace a net fits, not even the smallest.
        TflmOptError, ValueError: no net at all can be made or run, or parameters make no sense.
    """
    _check(family, samples, by)
    told = progress or Silent()
    sram = limits.sram
    parts = [
        _Part(f, space, Prices(space, lambda net: price(net, sram)), limits)
        for f, space in family.subspaces()
    ]
    for index, part in enumerate(parts):
        told.step(f"survey {index + 1} of {len(parts)}: {named(part.fixed)}")
        part.draw(samples, seed, told)
    if not any(part.fitting() for part in parts):
        told.step("survey: no sample fits, trying the smallest nets")
        for part in parts:
            part.add(smallest(part.space))
    have = {name: value for name, value in limits.to_json().items() if value is not None}
    rows = tuple(part.row(have) for part in parts)
    if not any(row.macs for row in rows):
        raise _nothing(parts, rows, have)
    return Survey(rows, _chosen(rows, by), by, have, samples, seed)


def _check(family: Any, samples: int, by: str) -> None:
    if samples < 1:
        raise ValueError(f"samples is {samples}: at least 1 is needed")
    if by not in MEASURES:
        raise ValueError(f"by is {by!r}: {' or '.join(MEASURES)}")
    if not hasattr(family, "subspaces"):
        raise ValueError(
            "a space without subspaces() can't be surveyed: give it a method that returns pairs "
            'such as ({"width": 0.5}, space), or search it as it is'
        )


@dataclass(slots=True)
class _Part:
    """A subspace while it is sampled; costs are None where a net can't be made or run."""

    fixed: Mapping[str, Any]
    space: Space
    prices: Prices
    limits: Limits
    costs: list[Cost | None] = field(default_factory=list)

    def add(self, architecture: Architecture) -> None:
        self.costs.append(self.prices.of(architecture))

    def draw(self, samples: int, seed: int, progress: Progress) -> None:
        rng = np.random.default_rng(seed)
        for done in range(samples):
            self.add(sample(self.space, rng))
            progress.detail(done + 1, samples)

    def priced(self) -> list[Cost]:
        return [cost for cost in self.costs if cost is not None]

    def fitting(self) -> list[Cost]:
        return [cost for cost in self.priced() if not self.limits.broken(cost)]

    def row(self, have: Mapping[str, float]) -> Row:
        macs = tuple(sorted(cost.macs for cost in self.fitting()))
        priced = self.priced()
        least = {n: min(getattr(cost, n) for cost in priced) for n in have} if priced else {}
        return Row(dict(self.fixed), self.space, len(self.costs), macs, least)


def _chosen(rows: Sequence[Row], by: str) -> Row:
    most = max(row.fraction for row in rows)
    enough = [row for row in rows if row.fraction >= ENOUGH * most]
    return max(enough, key=lambda row: (row.score(by), row.fraction))


def _nothing(parts: Sequence[_Part], rows: Sequence[Row], have: Mapping[str, float]) -> Exception:
    """The error, with what would have to change: smaller subspaces, or a streamed input."""
    costs = [cost for part in parts for cost in part.priced()]
    if not costs:
        errors = [part.prices.error for part in parts if part.prices.error]
        return errors[0] if errors else TflmOptError("the space has no subspaces to survey")
    needs = [{name: getattr(cost, name) for name in have} for cost in costs]
    first = named({name: min(row.fixed[name] for row in rows) for name in rows[0].fixed})
    remedies = [f"let the space have smaller nets: it begins at {first}"]
    if {cost.input for cost in costs} == {"resident"} and "sram" in have:
        remedies.append("stream the input, where it needn't be in RAM whole: input='streamed'")
    return NothingFits(needs, have, remedies=remedies)


def limits_text(limits: Mapping[str, float]) -> str:
    """
    >>> limits_text({"sram": 65536, "latency_ms": 12.5}), limits_text({})
    ('sram ≤ 65,536 bytes, latency ≤ 12.5 ms', 'no limits')
    """
    words = [
        f"latency ≤ {value:,g} ms" if name == "latency_ms" else f"{name} ≤ {value:,} bytes"
        for name, value in limits.items()
    ]
    return ", ".join(words) or "no limits"


_LEAST = {"sram": "least SRAM", "flash": "least flash", "latency_ms": "least ms"}


def _table(found: Survey) -> Iterator[str]:
    """A line for each subspace; the chosen one has an arrow."""
    names = list(found.rows[0].fixed)
    heads = [*names, "fit", "median", "p80", "mean", *(_LEAST[name] for name in found.limits)]
    cells = [heads, *(_cells(row, found.limits) for row in found.rows)]
    widths = [max(len(line[i]) for line in cells) + 2 for i in range(len(heads))]
    yield f"{limits_text(found.limits)}; {found.samples} nets in each subspace"
    for line, row in zip(cells, (None, *found.rows), strict=True):
        arrow = "  <- chosen" if row is found.chosen else ""
        yield "".join(f"{cell:>{width}}" for cell, width in zip(line, widths, strict=True)) + arrow
    yield "median, p80 and mean: million MACs of the nets that fit; a fifth has more than p80"


def _cells(row: Row, limits: Mapping[str, float]) -> list[str]:
    middles = (row.quantile(0.5), row.quantile(0.8), row.mean)
    needs = [row.least.get(name) for name in limits]
    return [
        *map(str, row.fixed.values()),
        f"{row.fraction:.0%}",
        *(f"{macs / 1e6:.2f}" if row.macs else "–" for macs in middles),
        *("–" if n is None else f"{n:,}" if isinstance(n, int) else f"{n:,.1f}" for n in needs),
    ]
