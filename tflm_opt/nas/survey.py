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
ENOUGH = 0.1
_SHARE = 0.8  # of the fitting nets: typical ones have no more MACs than this


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
        nets: those that fit, in the order of `macs`.
        accuracies: of some of them, trained for a while, if they were (`contest`).
    """

    fixed: Mapping[str, Any]
    space: Space
    sampled: int
    macs: tuple[int, ...]
    least: Mapping[str, float]
    nets: tuple[Architecture, ...] = ()
    accuracies: tuple[float, ...] = ()

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

    @property
    def accuracy(self) -> float | None:
        """The mean of the nets that were trained."""
        return float(np.mean(self.accuracies)) if self.accuracies else None

    def typical(self, count: int) -> tuple[Architecture, ...]:
        """Nets of many MACs, but not those that just fit: of the 80th percentile, and below."""
        upper = self.nets[: int(np.ceil(_SHARE * len(self.nets)))]
        found: list[Architecture] = []
        for net in reversed(upper):
            if net not in found and len(found) < count:
                found.append(net)
        return tuple(found)

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
            "accuracies": list(self.accuracies),
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
        epochs: that some nets were trained; 0 where MACs alone have chosen.
    """

    rows: tuple[Row, ...]
    chosen: Row
    by: str
    limits: Mapping[str, float]
    samples: int
    seed: int
    epochs: int = 0

    @property
    def space(self) -> Space:
        """The chosen subspace."""
        return self.chosen.space

    def contenders(self) -> list[Row]:
        """Of each resolution, the subspace that MACs choose; where that isn't fixed, one alone."""
        enough = _enough(self.rows)
        resolutions = dict.fromkeys(row.fixed.get("resolution") for row in enough)
        return [
            max(
                (row for row in enough if row.fixed.get("resolution") == one),
                key=lambda row: (row.score(self.by), row.fraction),
            )
            for one in resolutions
        ]

    def to_json(self) -> dict[str, Any]:
        """All figures, as plain values, and the chosen space as `spaces.from_json` reads it."""
        return {
            "by": self.by,
            "samples": self.samples,
            "seed": self.seed,
            "limits": dict(self.limits),
            "epochs": self.epochs,
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
        'width 1.0, resolution 64'

    Args:
        family: a space with `subspaces()`.
        limits: that nets have to meet.
        price: of a net, given the limit of SRAM (or None), as `Pricer.price`.
        samples: nets drawn in each subspace; those drawn twice are priced once, and those that
            can't be made or run don't fit.
        seed: of the draws. They are the same in all subspaces, but for width and resolution: so
            differences between the curves are of these, and less of chance.
        by: "p80", the MACs that a fifth of the fitting nets exceed, or "mean".
        progress: is told of each subspace.

    Only subspaces count where at least a tenth as many nets fit as where most do.

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
    nets: list[Architecture] = field(default_factory=list)

    def add(self, architecture: Architecture) -> None:
        self.nets.append(architecture)
        self.costs.append(self.prices.of(architecture))

    def draw(self, samples: int, seed: int, progress: Progress) -> None:
        rng = np.random.default_rng(seed)
        for done in range(samples):
            self.add(sample(self.space, rng))
            progress.detail(done + 1, samples)

    def priced(self) -> list[Cost]:
        return [cost for cost in self.costs if cost is not None]

    def fitting(self) -> list[tuple[int, Architecture]]:
        """MACs and nets, ascending."""
        pairs = zip(self.costs, self.nets, strict=True)
        fitting = [(c.macs, net) for c, net in pairs if c is not None and not self.limits.broken(c)]
        return sorted(fitting, key=lambda one: one[0])

    def row(self, have: Mapping[str, float]) -> Row:
        fitting, priced = self.fitting(), self.priced()
        least = {n: min(getattr(cost, n) for cost in priced) for n in have} if priced else {}
        macs, nets = tuple(m for m, _ in fitting), tuple(net for _, net in fitting)
        return Row(dict(self.fixed), self.space, len(self.costs), macs, least, nets)


def _enough(rows: Sequence[Row]) -> list[Row]:
    most = max(row.fraction for row in rows)
    return [row for row in rows if row.fraction >= ENOUGH * most]


def _chosen(rows: Sequence[Row], by: str) -> Row:
    return max(_enough(rows), key=lambda row: (row.score(by), row.fraction))


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
    needs = (_LEAST[name] for name in found.limits)
    cells = [[*names, "fit", "median", "p80", "mean", *needs]]
    cells += [_cells(row, found.limits) for row in found.rows]
    if found.epochs:
        shares = ["–" if r.accuracy is None else f"{r.accuracy:.1%}" for r in found.rows]
        cells = [[*line, cell] for line, cell in zip(cells, ("trained", *shares), strict=True)]
    widths = [max(map(len, column)) + 2 for column in zip(*cells, strict=True)]
    yield f"{limits_text(found.limits)}; {found.samples} nets in each subspace"
    for line, row in zip(cells, (None, *found.rows), strict=True):
        arrow = "  <- chosen" if row is found.chosen else ""
        yield "".join(f"{cell:>{width}}" for cell, width in zip(line, widths, strict=True)) + arrow
    yield "median, p80 and mean: million MACs of the nets that fit; a fifth has more than p80"
    if found.epochs:
        yield f"trained: accuracy of a few of them after {found.epochs} epochs, which has decided"


def _cells(row: Row, limits: Mapping[str, float]) -> list[str]:
    middles = (row.quantile(0.5), row.quantile(0.8), row.mean)
    needs = [row.least.get(name) for name in limits]
    return [
        *map(str, row.fixed.values()),
        f"{row.fraction:.0%}",
        *(f"{macs / 1e6:.2f}" if row.macs else "–" for macs in middles),
        *("–" if n is None else f"{n:,}" if isinstance(n, int) else f"{n:,.1f}" for n in needs),
    ]
