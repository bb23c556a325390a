"""The least peak of a problem, proved: branch and bound over which buffer lies above which.

Of two buffers that are alive together, one lies above the other: at least so far that they don't
touch, or as far as a safe distance says. Once this is decided for all pairs, the lowest offsets
follow by longest paths. So the search decides pairs, and keeps for every buffer the least and
the largest offset that the decisions and a *limit* on the peak leave:

    pair undecided    i above j can't be, since least(j) + gap > largest(i)  ->  j above i
    pair decided      least(i) rises to least(j) + gap, largest(j) falls to largest(i) - gap
    at a step         buffers that must all lie within some range, and together don't fit  ->  fail

When the least offsets break no pair, they are a placement. Else the pair that is broken and has
the least room either way is decided next, first the roomier way; from time to time the search
starts again, with the pairs first that failed most. The limit is one byte less than the best peak
known: a search that ends without a placement has proved that peak optimal.

Deciding pairs, rather than placing buffers one by one from the bottom as MiniMalloc does (Moffitt,
ASPLOS 2023), is what disjunctive scheduling does (Carlier and Pinson, 1989; pair by least slack:
Smith and Cheng, 1993). It holds for distances of any sign: a negative one is a largest time lag,
with which "each as low as those before it allow" would miss placements.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from tflm_opt.arena.bound import live_at, lower_bound
from tflm_opt.arena.problem import Problem, Solution, align_up

# Pairs that the search may look at: about an eighth of a second.
EFFORT = 500_000
# Free buffers of a problem that is worth the effort.
LARGEST = 400
# Failures until the search starts again, at first; then half as many more each time.
RESTART = 30


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two buffers alive together: `high` lies at least `up` above `low`, or `low` `down` above it.

    Either may be negative, then the two may lie the other way round as well.
    """

    low: int
    high: int
    up: int
    down: int


def prove(problem: Problem, known: Solution, *, effort: int = EFFORT) -> Solution:
    """A placement of least peak, or the best one and the best bound that the effort allows.

    Example:
        >>> problem = Problem((Buffer("x", 64, 0, 2), Buffer("y", 64, 1, 3)))
        >>> prove(problem, Solution((0, 128), peak=192, bound=0))
        Solution(offsets=(0, 64), peak=128, bound=128)

    Args:
        problem: what to place.
        known: a valid placement to start from.
        effort: pairs of buffers that the search may look at. The result is a function of this
            and the other arguments, not of the machine.
    """
    best = known
    search = _Search(problem, effort)
    bound = search.raised(max(known.bound, lower_bound(problem)), best.peak)
    while best.peak > bound:
        found = search.below(best.peak)
        if found is None:
            bound = best.peak if search.effort > 0 else bound
            break
        ends = [o + b.size for o, b in zip(found, problem.buffers, strict=True)]
        best = Solution(tuple(found), max(ends), bound)
    return replace(best, bound=bound)


class _Search:
    """Offsets between `least` and `most`. Lives for one call of `prove`."""

    def __init__(self, problem: Problem, effort: int) -> None:
        self.problem = problem
        self.effort = effort
        self.pairs = _pairs(problem)
        self.of: list[list[int]] = [[] for _ in problem.buffers]
        for number, pair in enumerate(self.pairs):
            self.of[pair.low].append(number)
            self.of[pair.high].append(number)
        self.crowds = _crowds(problem)
        self.within: list[list[int]] = [[] for _ in problem.buffers]
        for number, crowd in enumerate(self.crowds):
            for index, _ in crowd:
                self.within[index].append(number)
        self.failures = [1] * len(self.pairs)
        self.least: list[int] = []
        self.most: list[int] = []
        self.side: list[int] = []  # of every pair: 0 undecided, 1 as named, -1 the other way
        self.trail: list[tuple[list[int], int, int]] = []

    def raised(self, bound: int, peak: int) -> int:
        """The best bound that needs no decisions: limits fail up to some value."""
        low, high = bound, peak
        while low < high and self.effort > 0:
            limit = (low + high) // 2
            if self._begin(limit):
                high = limit
            else:
                low = limit + 1
        return low

    def below(self, peak: int) -> list[int] | None:
        """Offsets with a peak below the one given; None if there are none, or no effort is left."""
        if not self._begin(peak - 1):
            return None
        decided: list[tuple[int, int, int]] = []  # pair, side, length of the trail before it
        fails, allowed = 0, RESTART
        while self.effort > 0:
            if fails > allowed and decided:
                self._undo(decided[0][2])
                decided.clear()
                fails, allowed = 0, allowed * 3 // 2
            number = self._broken()
            if number is None:
                return list(self.least)
            side = self._roomier(number)
            decided.append((number, side, len(self.trail)))
            while not self._decide(number, side):
                self.failures[number] += 1
                fails += 1
                while decided and decided[-1][1] == 0:
                    self._undo(decided.pop()[2])
                if not decided or self.effort <= 0:
                    return None
                number, side, length = decided.pop()
                self._undo(length)
                side = -side
                decided.append((number, 0, length))  # 0: both ways were tried
        return None

    def _begin(self, limit: int) -> bool:
        """Bounds under a limit on the peak, before any decision; False if they contradict."""
        step = self.problem.alignment
        self.least = [b.offset or 0 for b in self.problem.buffers]
        self.most = [
            (limit - b.size) // step * step if b.offset is None else b.offset
            for b in self.problem.buffers
        ]
        self.side = [0] * len(self.pairs)
        self.trail = []
        if any(b.offset is not None and b.offset + b.size > limit for b in self.problem.buffers):
            return False
        if any(least > most for least, most in zip(self.least, self.most, strict=True)):
            return False
        return self._spread(range(len(self.least)))

    def _decide(self, number: int, side: int) -> bool:
        self._set(self.side, number, side)
        pair = self.pairs[number]
        return self._spread((pair.low, pair.high))

    def _set(self, where: list[int], index: int, value: int) -> None:
        self.trail.append((where, index, where[index]))
        where[index] = value

    def _undo(self, length: int) -> None:
        while len(self.trail) > length:
            where, index, value = self.trail.pop()
            where[index] = value

    def _spread(self, changed: Iterable[int]) -> bool:
        """What follows from changed bounds; False if that is a contradiction."""
        crowds: set[int] = set()
        waiting = dict.fromkeys(changed)
        while waiting or crowds:
            if waiting:
                index = next(iter(waiting))
                del waiting[index]
                crowds.update(self.within[index])
                if not self._spread_from(index, waiting):
                    return False
            elif not self._fits(self.crowds[crowds.pop()]):
                return False
        return True

    def _spread_from(self, index: int, waiting: dict[int, None]) -> bool:
        least, most, sides = self.least, self.most, self.side
        self.effort -= len(self.of[index])
        for number in self.of[index]:
            pair = self.pairs[number]
            low, high = pair.low, pair.high
            up = least[low] + pair.up <= most[high]
            down = least[high] + pair.down <= most[low]
            side = sides[number]
            if side == 0:
                if up and down:
                    continue
                if not (up or down):
                    return False
                side = 1 if up else -1
                self._set(sides, number, side)
            elif not (up if side == 1 else down):
                return False
            gap = pair.up
            if side == -1:
                low, high, gap = high, low, pair.down
            if least[low] + gap > least[high]:
                self._set(least, high, least[low] + gap)
                waiting[high] = None
            if most[high] - gap < most[low]:
                self._set(most, low, most[high] - gap)
                waiting[low] = None
        return True

    def _fits(self, crowd: Sequence[tuple[int, int]]) -> bool:
        """Whether disjoint buffers have room in every range that holds some of them for sure."""
        least, most = self.least, self.most
        self.effort -= len(crowd)
        spans = sorted(((least[i], most[i] + size, size) for i, size in crowd), reverse=True)
        ends = sorted({end for _, end, _ in spans})
        for end in ends:
            total = 0
            for start, stop, size in spans:
                if stop <= end:
                    total += size
                    if start + total > end:
                        return False
        return True

    def _broken(self) -> int | None:
        """The undecided pair that the least offsets break and that has the least room."""
        least, most = self.least, self.most
        self.effort -= len(self.pairs) // 8
        best, found = 0.0, None
        for number, pair in enumerate(self.pairs):
            if self.side[number] == 0:
                a, b = least[pair.low], least[pair.high]
                if b < a + pair.up and a < b + pair.down:
                    room = most[pair.high] - a - pair.up + most[pair.low] - b - pair.down
                    score = (room + 1) / self.failures[number]
                    if found is None or score < best:
                        best, found = score, number
        return found

    def _roomier(self, number: int) -> int:
        pair = self.pairs[number]
        up = self.most[pair.high] - self.least[pair.low] - pair.up
        down = self.most[pair.low] - self.least[pair.high] - pair.down
        return 1 if up >= down else -1


def _pairs(problem: Problem) -> list[_Pair]:
    """The pairs that can't lie anywhere, gaps rounded up to the alignment."""
    pairs = []
    for i, a in enumerate(problem.buffers):
        for j in range(i):
            b = problem.buffers[j]
            if max(a.start, b.start) >= min(a.stop, b.stop) or not a.size or not b.size:
                continue
            up = min(b.size, problem.overlaps.get((j, i), b.size))
            down = min(a.size, problem.overlaps.get((i, j), a.size))
            if up + down > 0:
                step = problem.alignment
                pairs.append(_Pair(j, i, align_up(up, step), align_up(down, step)))
    return pairs


def _crowds(problem: Problem) -> list[list[tuple[int, int]]]:
    """Sets of (buffer, bytes from its start) that are disjoint, rounded up to the alignment.

    At every step, one of buffers no two of which may overlap; and one for each output then alive
    that may overlap its inputs: with these, only the bytes below the least distance are its own
    (see `bound`).
    """
    found: dict[tuple[tuple[int, int], ...], None] = {}
    for step in sorted({buffer.start for buffer in problem.buffers}):
        live = live_at(problem, step)
        found[_disjoint(problem, live)] = None
        for out in live:
            over = {i: d for i in live if (d := problem.overlaps.get((out, i))) is not None}
            own = min(problem.buffers[out].size, min(over.values(), default=0))
            if own > 0:
                rest = [i for i in live if i != out]
                sets = _disjoint(problem, rest, first=list(over), beside=out)
                found[(*sets, (out, align_up(own, problem.alignment)))] = None
    return [list(crowd) for crowd in found if len(crowd) > 1]


def _disjoint(
    problem: Problem, live: Sequence[int], first: Sequence[int] = (), beside: int | None = None
) -> tuple[tuple[int, int], ...]:
    """Buffers no two of which may overlap: those of `first`, then the largest that can join."""

    def apart(i: int, j: int) -> bool:
        return (i, j) not in problem.overlaps and (j, i) not in problem.overlaps

    sizes = {i: align_up(problem.buffers[i].size, problem.alignment) for i in live}
    chosen: list[int] = []
    for i in sorted(sizes, key=lambda i: (i not in first, -sizes[i], i)):
        free = beside is None or i in first or apart(i, beside)
        if free and all(apart(i, j) for j in chosen):
            chosen.append(i)
    return tuple((i, sizes[i]) for i in sorted(chosen))
