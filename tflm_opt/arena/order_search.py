"""The order of steps whose worst step needs the least memory.

The search walks through downsets (see there), from none to all, along the path whose highest step
is lowest: a shortest path where a path is as long as its highest step, the lowest open set first.
One rule keeps the number of sets small:

**Free runs.** From a set `D`, let a chain of steps, each of which waits for the one before, lead
to a set `E` with no more memory than `D` and than every set on the way, and let no step on the way
need more than the best order does. Then going there at once loses nothing. Proof: the memory `m`
of sets is submodular, since a buffer ends when all its readers are done. So for any later steps
`U`, with `X` the set on the way that has the same steps of the chain as `D + U`,

    m(E + U)  <=  m(E) + m(D + U) - m(X)  <=  m(D + U)

and a step of `U` needs no more on top of what is in memory after the chain than before it.

When the work is spent, the lowest set still open is a lower bound, and a beam through the same
sets gives an order.

Idea of the search over downsets: SERENITY (Ahn et al., "Ordering Chaos: Memory-Aware Scheduling of
Irregularly Wired Neural Networks for Edge Devices", MLSys 2020); of runs from one valley of memory
to the next: J. Liu's generalised pebbling of trees (1987).
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from tflm_opt.arena.downsets import Part, Steps, bits, parts

# Steps that the search may try, over all parts: about a second.
EFFORT = 400_000
# Sets of each size that the beam keeps: first, and where the exact search did not come to an end.
NARROW, WIDE = 4, 32
# Steps of a free run.
RUN = 24


@dataclass(frozen=True, slots=True)
class Found:
    """An order.

    Attributes:
        order: positions of the steps.
        peak: bytes that its worst step needs.
        bound: no order has a lower peak.
    """

    order: tuple[int, ...]
    peak: int
    bound: int


def least_peak(work: Steps, *, effort: int = EFFORT) -> Found:
    """The order of least peak, or a good one where that takes more than `effort` steps tried.

    Between two cuts, where no order is better than the one they stand in, steps stay.

    Example:
        >>> wide = Step(waits=0b000, made=(1,), read=(0,))      # 0 → 1, both of 64 bytes
        >>> inner = Step(waits=0b000, made=(2,), read=(0,))     # 0 → 2, of 64
        >>> narrow = Step(waits=0b010, made=(3,), read=(2,))    # 2 → 3, of 16
        >>> steps = (wide, inner, narrow)
        >>> ends = frozenset({1, 3})
        >>> least_peak(Steps(steps, (64, 64, 64, 16), given=frozenset({0}), kept=ends))
        Found(order=(1, 2, 0), peak=144, bound=144)
    """
    order: list[int] = []
    peak = bound = work.at_first()
    pieces = parts(work)
    branchy = sum(len(part.members) > 1 for part in pieces)
    for part in pieces:
        if len(part.members) == 1:
            found = Found((0,), part.peak((0,)), part.peak((0,)))
        else:
            search = _Search(part, effort // branchy)
            found = search.solved()
            effort, branchy = max(effort - search.spent, 0), branchy - 1
        order += [part.members[i] for i in found.order]
        peak, bound = max(peak, found.peak), max(bound, found.bound)
    return Found(tuple(order), peak, bound)


def peak_of(work: Steps) -> int:
    """Bytes that the worst step needs when the steps run as they stand."""
    return max([work.at_first(), *(part.peak(range(len(part.members))) for part in parts(work))])


@dataclass(frozen=True, slots=True)
class _Set:
    """A downset on the best known way to it: its highest step, and the steps behind `origin`."""

    peak: int
    memory: int
    done: int
    ready: int
    origin: _Set | None
    steps: tuple[int, ...]


class _Search:
    """One part. Lives for one call."""

    def __init__(self, part: Part, effort: int) -> None:
        self.part = part
        self.effort = effort
        self.spent = 0
        self.narrow = 0  # of it, by the first beam
        self.thorough = effort // 4  # spent until then, all free runs are looked for

    def solved(self) -> Found:
        part = self.part
        order: Sequence[int] = range(len(part.members))
        peak, bound = part.peak(order), part.least
        for attempt in (self._narrow, self._exact, self._wide):
            if peak == bound:
                break
            found, proved = attempt(peak)
            bound = max(bound, proved)
            if found is not None:
                order, peak = _path(found), found.peak
        return Found(tuple(order), peak, bound)

    def _narrow(self, limit: int) -> tuple[_Set | None, int]:
        found = self._beam(limit, NARROW)
        self.narrow = self.spent
        return found, 0

    def _wide(self, limit: int) -> tuple[_Set | None, int]:
        self.thorough = self.effort
        left = max(self.effort - self.spent, 0)
        width = min(NARROW * left // max(self.narrow, 1), WIDE)
        return self._beam(limit, width) if width > NARROW else None, 0

    def _exact(self, limit: int) -> tuple[_Set | None, int]:
        """A way of least peak below `limit`, if there is one, and a lower bound on all ways."""
        first = self._first()
        best = {first.done: first.peak}
        queue = [(first.peak, -first.done.bit_count(), first.memory, first.done, first)]
        self.thorough = self.effort * 3 // 4
        while queue:
            peak, _, _, done, at = heapq.heappop(queue)
            if best[done] < peak:
                continue
            if done == self.part.full:
                return at, peak
            if self.spent > self.thorough:
                return None, peak
            for i in bits(at.ready):
                after = self._next(at, i, limit)
                if after is not None and best.get(after.done, limit) > after.peak:
                    best[after.done] = after.peak
                    key = (after.peak, -after.done.bit_count(), after.memory, after.done, after)
                    heapq.heappush(queue, key)
        return None, limit

    def _beam(self, limit: int, width: int) -> _Set | None:
        """A way below `limit`, if one is found: only the best sets of every size go on."""
        first = self._first()
        sizes: list[dict[int, _Set]] = [{} for _ in range(len(self.part.members) + 1)]
        sizes[first.done.bit_count()][first.done] = first
        for level in sizes[:-1]:
            sets = sorted(level.values(), key=lambda s: (s.peak, s.memory, s.done))
            level.clear()
            for at in sets[:width]:
                for i in bits(at.ready):
                    after = self._next(at, i, limit)
                    if after is not None:
                        beside = sizes[after.done.bit_count()]
                        known = beside.get(after.done)
                        if known is None or after.peak < known.peak:
                            beside[after.done] = after
        return sizes[-1].get(self.part.full)

    def _first(self) -> _Set:
        part = self.part
        start = _Set(part.least, part.memory, 0, part.ready(), None, ())
        return self._run_free(start, start.ready)

    def _next(self, at: _Set, step: int, limit: int) -> _Set | None:
        """The set after one more step and all free runs; None if the step needs `limit` bytes."""
        self.spent += 1
        during, _ = self.part.effects[step].at(at.done)
        peak = max(at.peak, at.memory + during)
        if peak >= limit:
            return None
        after = self._step(at, step, peak)
        if peak > at.peak and self.spent < self.thorough:
            return self._run_free(after, after.ready)
        # Most runs that were not free before and are so now begin with one of these.
        return self._run_free(after, after.ready & self.part.touched(step, after.done))

    def _step(self, at: _Set, step: int, peak: int) -> _Set:
        _, more = self.part.effects[step].at(at.done)
        done = at.done | 1 << step
        ready = at.ready & ~(1 << step) | self.part.freed(step, done)
        return _Set(peak, at.memory + more, done, ready, at, (step,))

    def _run_free(self, at: _Set, tries: int) -> _Set:
        """The set after all free runs that begin with one of `tries`, or follow from those."""
        part = self.part
        while tries:
            step = (tries & -tries).bit_length() - 1
            tries &= tries - 1
            run = self._run(at, step)
            if run is None:
                continue
            for i in run:
                at = self._step(at, i, at.peak)
                tries |= part.touched(i, at.done)
            tries &= at.ready
        return at

    def _run(self, at: _Set, step: int) -> tuple[int, ...] | None:
        """The free run that begins with a step: only those that this step makes ready follow."""
        effects, part = self.part.effects, self.part
        done, memory, run = at.done, at.memory, []
        while len(run) < RUN:
            self.spent += 1
            during, more = effects[step].at(done)
            if memory + during > at.peak:
                return None
            run.append(step)
            done, memory = done | 1 << step, memory + more
            if memory <= at.memory:
                return tuple(run)
            behind = part.freed(step, done)
            if not behind:
                return None
            step = (behind & -behind).bit_length() - 1
        return None


def _path(end: _Set) -> list[int]:
    steps: list[int] = []
    at: _Set | None = end
    while at is not None:
        steps[:0] = at.steps
        at = at.origin
    return steps
