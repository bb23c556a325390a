"""How far a share that was counted on some samples may be from the true one.

Wilson, "Probable Inference, the Law of Succession, and Statistical Inference" (1927), for one
share; Newcombe, "Improved confidence intervals for the difference between binomial proportions
based on paired data" (1998), method 10, for two models judged on the same samples; McNemar's exact
test for whether one is better at all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95
_Z = 1.959963984540054  # the normal distribution's 97.5% point


@dataclass(frozen=True, slots=True)
class Interval:
    """Where the true value lies, with 95% confidence."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Paired:
    """Two models judged on the same samples: the second less the first.

    Attributes:
        difference: of their shares of right answers; below 0 where the second is worse.
        interval: of that difference.
        lost: samples that only the first got right. `won`: those that only the second did.
        p: how likely so uneven a split of those samples is, or a more uneven one, if neither model
            is better (McNemar's exact test).
    """

    difference: float
    interval: Interval
    lost: int
    won: int
    p: float


def wilson(share: float, samples: int) -> Interval:
    """
    >>> one = wilson(0.9, 100)
    >>> round(one.low, 4), round(one.high, 4)
    (0.8256, 0.9448)
    """
    spread = _Z * _Z / samples
    middle = (share + spread / 2) / (1 + spread)
    half = math.sqrt(spread * share * (1 - share) + spread * spread / 4) / (1 + spread)
    return Interval(max(middle - half, 0.0), min(middle + half, 1.0))


def mcnemar(lost: int, won: int) -> float:
    """
    >>> mcnemar(1, 5)
    0.21875
    """
    count = lost + won
    tail = sum(math.comb(count, k) for k in range(min(lost, won) + 1))
    return min(1.0, float(2 * tail / 2**count)) if count else 1.0


def paired(first: np.ndarray, second: np.ndarray) -> Paired:
    """`first[i]`, `second[i]`: whether a model was right about sample i."""
    count = first.size
    lost = int(np.count_nonzero(first & ~second))
    won = int(np.count_nonzero(second & ~first))
    both = int(np.count_nonzero(first & second))
    p1, p2 = (both + lost) / count, (both + won) / count
    one, two = wilson(p1, count), wilson(p2, count)
    phi = _correlation(both, won, lost, count - both - won - lost)
    difference = p2 - p1
    down = _joined(p2 - two.low, one.high - p1, phi)
    up = _joined(two.high - p2, p1 - one.low, phi)
    interval = Interval(difference - down, difference + up)
    return Paired(difference, interval, lost, won, mcnemar(lost, won))


def _joined(a: float, b: float, phi: float) -> float:
    return math.sqrt(max(a * a - 2 * phi * a * b + b * b, 0.0))


def _correlation(both: int, won: int, lost: int, neither: int) -> float:
    """Of the two models' answers, with Newcombe's correction for continuity."""
    product = (both + won) * (lost + neither) * (both + lost) * (won + neither)
    if product == 0:
        return 0.0
    cross = both * neither - won * lost
    if cross > 0:
        cross = max(cross - (both + won + lost + neither) / 2, 0)
    return cross / math.sqrt(product)
