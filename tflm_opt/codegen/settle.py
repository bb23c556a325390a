"""Scales of channels that hardly matter, made ones that the kernels' short form can take.

Depthwise kernels end a sum in few instructions where its shift is -15 or more (`short_form.FINE`),
other convolutions also where it is less. Channels with tiny weights have less, in most trained nets
a few, and a kernel would leave its fast path for them.
But such a channel's sums reach only a few outputs. So another multiplier with shift -15 is looked
for, and a change of bias, that cross from each output to the next at the same sum as the channel's
own do, over all sums that its weights and bias allow. It is the same function there; where none is
found, the channel stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tflm_opt.quant import fixed_point

LEAST_SHIFT = -15
# How far from the scaled multiplier the other one may lie, and how many ways of moving crossings
# are tried.
_NEAR = (0, 1, -1, 2, -2)
_TRIED = 6
_SUMS = 1 << 23


def sums(
    weights: np.ndarray, axis: int, bias: np.ndarray | None, offset: int
) -> tuple[np.ndarray, np.ndarray]:
    """(lowest, highest) sums that int8 inputs make, one a channel, int64.

    >>> sums(np.array([[1, -2]]), 0, None, 128)
    (array([-510]), array([255]))

    Args:
        weights: filter values; `axis` is the output channel's.
        bias: int32, one a channel, or None.
        offset: added to every input.
    """
    others = tuple(i for i in range(weights.ndim) if i != axis)
    wide = weights.astype(np.int64)
    ends = wide * (offset - 128), wide * (offset + 127)
    low, high = np.minimum(*ends).sum(axis=others), np.maximum(*ends).sum(axis=others)
    added = np.int64(0) if bias is None else bias.astype(np.int64)
    return low + added, high + added


@dataclass(frozen=True, slots=True)
class Settled:
    """Scales of output channels, int32, and what their sums get added before they are scaled."""

    multipliers: np.ndarray
    shifts: np.ndarray
    added: np.ndarray


def settled(
    multipliers: np.ndarray,
    shifts: np.ndarray,
    reach: tuple[np.ndarray, np.ndarray],
    offset: int,
    bounds: tuple[int, int],
) -> Settled:
    """Scales that make the same outputs, with as few shifts below -15 as is found.

    Args:
        multipliers, shifts: int32, one pair a channel.
        reach: lowest and highest sum of every channel.
        offset: the output's zero point.
        bounds: of the activation, both inclusive.
    """
    found = Settled(multipliers.copy(), shifts.copy(), np.zeros(len(shifts), np.int32))
    for channel in np.flatnonzero(shifts < LEAST_SHIFT).tolist():
        ends = int(reach[0][channel]), int(reach[1][channel])
        pair = _Pair(int(multipliers[channel]), int(shifts[channel]), offset, bounds)
        other = _other(pair, *ends)
        if other is not None:
            found.multipliers[channel], found.added[channel] = other
            found.shifts[channel] = LEAST_SHIFT
    return found


@dataclass(frozen=True, slots=True)
class _Pair:
    """A channel's requantization."""

    multiplier: int
    shift: int
    offset: int
    bounds: tuple[int, int]

    def made(self, at: Sequence[int]) -> list[int]:
        """The outputs of sums; they never fall as the sum rises."""
        scaled = fixed_point.requantize(np.array(at, np.int64), self.multiplier, self.shift)
        return np.clip(scaled + self.offset, *self.bounds).tolist()

    def crossings(self, lowest: int, highest: int) -> list[int]:
        """Sums in a range at which the output is higher than that of the sum below."""
        start, stop = self.made((lowest, highest))
        found: list[int] = []
        for output in range(start + 1, stop + 1):
            below, above = found[-1] - 1 if found else lowest, highest
            while above - below > 1:
                middle = (below + above) // 2
                if self.made((middle,))[0] >= output:
                    above = middle
                else:
                    below = middle
            found.append(above)
        return found


def _other(pair: _Pair, lowest: int, highest: int) -> tuple[int, int] | None:
    """(multiplier, what sums get added) with shift -15 that make the same of all sums in a range.

    It is enough that the two agree at the ends, and on both sides of each of the pair's crossings.
    TFLM's first rounding counts for more at a smaller multiplier, which moves all crossings alike.
    """
    if not -_SUMS < lowest <= highest < _SUMS:
        return None
    crossings = pair.crossings(lowest, highest)
    at = [lowest, highest, *(sum_ - side for sum_ in crossings for side in (0, 1))]
    expected = pair.made(at)
    near = pair.multiplier >> (LEAST_SHIFT - pair.shift)
    for multiplier in (near + step for step in _NEAR if near + step >= 0):
        other = replace(pair, multiplier=multiplier, shift=LEAST_SHIFT)
        for added in _added(other, crossings, lowest, highest):
            if other.made([sum_ + added for sum_ in at]) == expected:
                return multiplier, added
    return None


def _added(other: _Pair, crossings: Sequence[int], lowest: int, highest: int) -> tuple[int, ...]:
    """What brings the crossings of another pair near to these."""
    if not crossings:
        return (0,)
    far = 1 << 16
    found = other.crossings(max(lowest - far, -_SUMS), min(highest + far, _SUMS))
    moved = {mine - theirs for mine in found for theirs in crossings if abs(mine - theirs) < far}
    nearest = sorted(moved, key=abs)[:_TRIED]
    return tuple(dict.fromkeys(n + step for n in nearest for step in (0, 1, -1)))
