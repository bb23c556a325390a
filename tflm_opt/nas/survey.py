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
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ..errors import NothingFits
from ..progress import Progress, Silent
from .net import Net
from .space import Space, key, sample, smallest

MEASURES = ("p80", "mean")
# A subspace in which hardly anything fits says nothing by the few that do, and is bad to search.
ENOUGH = 0.05


class Family(Space, Protocol):
    """A space that can be cut: `spaces.Staged` has widths and resolutions for that."""

    def subspaces(self) -> Sequence[tuple[Mapping[str, Any], Space]]:
        """What is fixed in each, by the name of the choice, and the space that is left."""
        ...


class _Cost(Protocol):
    @property
    def macs(self) -> int: ...


class _Limits(Protocol):
    def broken(self, cost: Any) -> Sequence[Any]: ...

    def to_json(self) -> Mapping[str, Any]: ...


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
    limits: _Limits,
    price: Callable[[Net, Any], _Cost],
    *,
    samples: int = 100,
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
        samples: nets drawn in each subspace; those drawn twice are priced once.
        seed: of the draws. They are the same in all subspaces, but for width and resolution: so
            differences between the curves are of these, and less of chance.
        by: "p80", the MACs that a fifth of the fitting nets exceed, or "mean".
        progress: is told of each subspace.

    Subspaces where fewer than 5% of the nets fit are chosen only where no other has more.

    Raises:
        NothingFits: in no subspace a net fits, not even the smallest.
        ValueError: parameters that make no sense.
    """
    if samples < 1:
        raise ValueError(f"samples is {samples}: at least 1 is needed")
    if by not in MEASURES:
        raise ValueError(f"by is {by!r}: {' or '.join(MEASURES)}")
    if not hasattr(family, "subspaces"):
        raise ValueError(
            "a space without subspaces() can't be surveyed: give it a method that returns pairs "
            'such as ({"width": 0.5}, space), or search it as it is'
        )
    told = progress or Silent()
    have = {k: v for k, v in limits.to_json().items() if v is not None}
    parts = list(family.subspaces())
    priced = []
    for index, (fixed, space) in enumerate(parts):
        told.step(f"survey {index + 1} of {len(parts)}: {named(fixed)}")
        priced.append(_prices(space, limits, price, samples, seed, told))
    if not any(_fits(limits, cost) for costs in priced for cost in costs):
        told.step("survey: no sample fits, trying the smallest nets")
        for (_, space), costs in zip(parts, priced, strict=True):
            costs.append(price(space.net(smallest(space)), have.get("sram")))
    rows = tuple(
        Row(
            dict(fixed),
            space,
            len(costs),
            tuple(sorted(cost.macs for cost in costs if _fits(limits, cost))),
            {name: min(getattr(cost, name) for cost in costs) for name in have},
        )
        for (fixed, space), costs in zip(parts, priced, strict=True)
    )
    if not any(row.macs for row in rows):
        raise _nothing(rows, [cost for costs in priced for cost in costs], have)
    return Survey(rows, _chosen(rows, by), by, have, samples, seed)


def _fits(limits: _Limits, cost: _Cost) -> bool:
    return not limits.broken(cost)


def _prices(
    space: Space,
    limits: _Limits,
    price: Callable[[Net, Any], _Cost],
    samples: int,
    seed: int,
    progress: Progress,
) -> list[_Cost]:
    rng = np.random.default_rng(seed)
    known: dict[str, _Cost] = {}
    costs = []
    for done in range(samples):
        architecture = sample(space, rng)
        name = key(architecture)
        if name not in known:
            known[name] = price(space.net(architecture), limits.to_json().get("sram"))
        costs.append(known[name])
        progress.detail(done + 1, samples)
    return costs


def _chosen(rows: Sequence[Row], by: str) -> Row:
    enough = [row for row in rows if row.fraction >= ENOUGH] or [row for row in rows if row.macs]
    return max(enough, key=lambda row: (row.score(by), row.fraction))


def _nothing(rows: Sequence[Row], costs: Sequence[Any], have: Mapping[str, float]) -> NothingFits:
    """The error, with what would have to change: smaller subspaces, or a streamed input."""
    needs = [{name: getattr(cost, name) for name in have} for cost in costs]
    first = named({name: min(row.fixed[name] for row in rows) for name in rows[0].fixed})
    remedies = [f"let the space have smaller nets: it begins at {first}"]
    if {getattr(cost, "input", "") for cost in costs} == {"resident"} and "sram" in have:
        remedies.append("stream the input, where it needn't be in RAM whole: input='streamed'")
    return NothingFits(needs, have, remedies=remedies)


def _table(found: Survey) -> Iterator[str]:
    """A line for each subspace; the chosen one has an arrow."""
    names = list(found.rows[0].fixed)
    heads = [*names, "fit", "median", "p80", "mean", *(f"least {n}" for n in found.limits)]
    cells = [heads]
    for row in found.rows:
        figures = [
            *(str(row.fixed[name]) for name in names),
            f"{row.fraction:.0%}",
            *(f"{n / 1e6:.2f}" if row.macs else "–" for n in _middles(row)),
            *(
                f"{value:,.10g}" if value == int(value) else f"{value:,.2f}"
                for value in row.least.values()
            ),
        ]
        cells.append(figures)
    widths = [max(len(line[i]) for line in cells) + 2 for i in range(len(heads))]
    limits = ", ".join(f"{name} {value:,.10g}" for name, value in found.limits.items()) or "none"
    yield f"limits: {limits}; {found.samples} nets each; median, p80 and mean in million MACs"
    for line, row in zip(cells, (None, *found.rows), strict=True):
        arrow = "  <- chosen" if row is found.chosen else ""
        yield "".join(f"{cell:>{width}}" for cell, width in zip(line, widths, strict=True)) + arrow


def _middles(row: Row) -> tuple[float, float, float]:
    return (row.quantile(0.5), row.quantile(0.8), row.mean)
