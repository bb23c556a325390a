"""A study: what was searched and what was found. It reads; `search` and workers write."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import TflmOptError
from . import folder
from .evolution import OBJECTIVES, nondominated
from .limits import Limits
from .space import Space
from .trials import COMPLETE, FAILED, OPEN, Slot, Trial, trial_of
from .worker import opened

if TYPE_CHECKING:
    from .ledger import Ledger


class Study:
    """A search's trials, as they are now: also while it still runs.

    Example:
        >>> study = tflm_opt.nas.load("faces")
        >>> len(study.trials), study.best.accuracy
        (400, 0.934)
        >>> [(t.cost.sram, t.accuracy) for t in study.pareto(("accuracy", "sram"))]
        [(20480, 0.811), (40960, 0.902), (61440, 0.934)]

    Attributes:
        directory: where it is.
        setup: what is searched: space, limits, board, seed, ….

    Raises:
        StudyError: no study there, a damaged one, or one of another version.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        self.setup = folder.load(self.directory)
        self._ledger: Ledger = opened(self.directory, self.setup)

    @property
    def limits(self) -> Limits:
        """What nets may need."""
        return self.setup.limit()

    @property
    def space(self) -> Space:
        """What is searched."""
        from .parts import space_of

        return space_of(self.directory, self.setup)

    @property
    def trials(self) -> list[Trial]:
        """All that were begun and not given back, by number."""
        generations = self.setup.generations()
        return [trial_of(s, generations, self) for s in self._slots() if s.state != OPEN]

    def _slots(self) -> list[Slot]:
        return [s for s in self._ledger.slots() if not s.exhausted]

    @property
    def complete(self) -> list[Trial]:
        """Those that were evaluated; all of them meet the limits."""
        return [trial for trial in self.trials if trial.state == COMPLETE]

    @property
    def nets(self) -> list[Trial]:
        """A complete trial of each net, by number.

        With halving a net has one on each rung, of which this is the last. With finals it is the
        first, so that all accuracies are the supernet's, and compare.

        Example:
            >>> len(study.trials), len(study.nets)
            (97, 50)
        """
        return nets_of(self.setup, self.complete)

    @property
    def finalists(self) -> list[Trial]:
        """Nets that were trained by themselves in the finals of their generation, best first."""
        return finalists_of(self.setup, self.complete)

    @property
    def best(self) -> Trial:
        """The most accurate net, of finalists if there are any; of equals the one of less SRAM,
        then of less time.

        Raises:
            TflmOptError: no trial is complete yet.
        """
        if (best := best_of(self.setup, self.complete)) is None:
            raise TflmOptError(f"{self.directory}: no trial is complete yet")
        return best

    def pareto(self, objectives: Sequence[str] | None = None) -> list[Trial]:
        """Nets that no other is better than, by accuracy first: of `nets`.

        Example:
            >>> study.pareto(("accuracy", "latency"))[0] == study.best  # unless finals decided
            True

        Args:
            objectives: of "accuracy", "sram", "latency", "flash", "macs"; by default
                the search's own.
        """
        chosen = check_objectives(self.setup.objectives if objectives is None else objectives)
        nets = self.nets
        if not nets:
            return []
        points = np.array([t.scores(chosen) for t in nets])
        front = [t for t, best in zip(nets, nondominated(points), strict=True) if best]
        return sorted(front, key=by_accuracy)

    def plot(self, against: str = "sram") -> str:
        """Accuracy against a cost, as SVG text: all nets, the front as stairs, the best marked.

        Example:
            >>> Path("front.svg").write_text(study.plot("latency"), "utf-8")

        Args:
            against: "sram", "latency", "flash" or "macs".
        """
        from .plot import svg

        limit = self.setup.limits.get({"latency": "latency_ms"}.get(against, against))
        return svg(self.nets, against, limit=limit, name=self.directory.name)

    def to_csv(self) -> str:
        """All trials as a table, one a line, with the choices of their architectures."""
        out = io.StringIO()
        trials = self.trials
        choices = list(self.space.choices)
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([*_COLUMNS, *_COSTS, *choices])
        for trial in trials:
            costs = [getattr(trial.cost, name, "") for name in _COSTS]
            values = [trial.architecture.get(name, "") for name in choices]
            row = [getattr(trial, name) for name in _COLUMNS]
            writer.writerow(["" if v is None else v for v in [*row, *costs, *values]])
        return out.getvalue()

    def __repr__(self) -> str:
        trials = self.trials
        complete = [t for t in trials if t.state == COMPLETE]
        failed = sum(t.state == FAILED for t in trials)
        parts = [f"{self.directory}: {len(complete)} trials"]
        if len(nets := nets_of(self.setup, complete)) < len(complete):
            parts[0] += f" of {len(nets)} nets"
        if failed:
            parts.append(f"{failed} failed")
        parts.append(f"{sum(t.rejected for t in trials)} nets over a limit")
        if best := best_of(self.setup, complete):
            parts.append(f"best {described(best)}")
        return f"<Study {', '.join(parts)}>"


_COLUMNS = (
    "number",
    "state",
    "key",
    "accuracy",
    "seconds",
    "generation",
    "rung",
    "rejected",
    "error",
)
_COSTS = (
    "sram",
    "arena",
    "flash",
    "macs",
    "instructions",
    "latency_ms",
    "input",
    "rows",
)


def nets_of(setup: folder.Setup, complete: Sequence[Trial]) -> list[Trial]:
    """See `Study.nets`. Trials are by number."""
    trials = [t for t in complete if not t.rung] if setup.finals() else complete
    last = {trial.key: trial for trial in trials}
    return sorted(last.values(), key=lambda trial: trial.number)


def finalists_of(setup: folder.Setup, complete: Sequence[Trial]) -> list[Trial]:
    """See `Study.finalists`."""
    return sorted((t for t in complete if t.rung), key=by_accuracy) if setup.finals() else []


def best_of(setup: folder.Setup, complete: Sequence[Trial]) -> Trial | None:
    """See `Study.best`; None of none."""
    nets = finalists_of(setup, complete) or nets_of(setup, complete)
    return min(nets, key=by_accuracy, default=None)


def by_accuracy(trial: Trial) -> tuple[float, ...]:
    """What complete trials are sorted by, best first."""
    return *trial.scores(("accuracy", "sram", "latency")), trial.number


def described(trial: Trial) -> str:
    """A trial's figures, in a line."""
    assert trial.accuracy is not None
    assert trial.cost is not None
    return (
        f"{trial.accuracy:.4f} at {trial.cost.sram:,} B of SRAM, {trial.cost.flash:,} B of flash, "
        f"{trial.cost.latency_ms:.1f} ms"
    )


def check_objectives(objectives: Sequence[str]) -> tuple[str, ...]:
    """The objectives, in order.

    Raises:
        TflmOptError: none, one that isn't known or is there twice, or accuracy isn't the first.
    """
    names = (objectives,) if isinstance(objectives, str) else tuple(objectives)
    for name in names:
        if name not in OBJECTIVES:
            raise TflmOptError(f"objective {name!r} is not one of {', '.join(OBJECTIVES)}")
    if not names or names[0] != "accuracy" or len(set(names)) != len(names):
        raise TflmOptError(f"objectives {names!r}: name 'accuracy' first, and each once")
    return names
