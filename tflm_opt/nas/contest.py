"""The end of a survey: which resolution, nets that are trained for a while say.

At one resolution MACs tell spaces apart: a net that computes more within the same limits has more
capacity. Between resolutions they don't. Fewer pixels leave more of the limits to channels, so
there are more MACs at low resolutions, whether or not what is to be seen is still in the image. So
of each resolution's best space by MACs a few nets are trained, and the more accurate ones decide.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..progress import Progress
from .net import Net
from .options import from_table, require_whole
from .space import Architecture
from .survey import Row, Survey

CONTEST = "survey"  # the name of its options


@dataclass(frozen=True, slots=True)
class Contest:
    """How many nets are trained, and for how long: `options={"survey": …}` of a search.

    Attributes:
        nets: of each resolution; 0 for a choice by MACs alone.
        epochs: that each is trained. After few, low resolutions are ahead: they learn faster.
    """

    nets: int = 1
    epochs: int = 30

    def __post_init__(self) -> None:
        require_whole(self, CONTEST, nets=0, epochs=1)

    @staticmethod
    def from_json(data: Any) -> Contest:
        """Of a table of its attributes; what is missing has its default.

        Raises:
            TflmOptError: no table, a word that isn't known, or a value that can't be.
        """
        return from_table(Contest, CONTEST, data, '{"nets": 1, "epochs": 30}')


def decided(
    found: Survey,
    evaluate: Callable[[Architecture, Net], float],
    contest: Contest,
    progress: Progress,
) -> Survey:
    """The survey, with the subspace chosen whose nets are the most accurate.

    Example:
        >>> decided(survey(space, limits, price), evaluate, Contest(nets=1), Silent()).chosen.name
        'width 0.25, resolution 48'

    Args:
        found: by MACs.
        evaluate: trains a net for the contest's epochs; its accuracy.
        contest: how many nets.
        progress: is told of each net.
    """
    rows = found.contenders()
    if len(rows) < 2 or not contest.nets:
        return found
    accuracies: dict[int, tuple[float, ...]] = {}
    for row in rows:
        progress.step(f"training nets of {row.name}, {contest.epochs} epochs")
        nets = row.typical(contest.nets)
        got: list[float] = []
        for architecture in nets:
            progress.detail(len(got), len(nets))
            got.append(evaluate(architecture, row.space.net(architecture)))
        progress.detail(len(nets), len(nets))
        accuracies[id(row)] = tuple(got)
    best = max(rows, key=lambda row: (np.mean(accuracies[id(row)]), row.score(found.by)))

    def trained(row: Row) -> Row:
        return replace(row, accuracies=accuracies.get(id(row), ()))

    every = tuple(trained(row) for row in found.rows)
    chosen = every[found.rows.index(best)]
    return replace(found, rows=every, chosen=chosen, epochs=contest.epochs)
