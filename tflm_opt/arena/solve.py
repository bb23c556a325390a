"""The arena planner: an offset for every buffer, with the lowest peak that it can find.

A placement is made from an *order* of the buffers: each in turn goes to the lowest offset that
its conflicts with those already placed leave free. That loses nothing: take a placement of least
peak and, among those, of least sum of offsets, and place its buffers by rising offset (an output
before its input when both start at the same byte). A buffer that could go lower than it lies,
given those below it, could also go lower given all: those above stay above it, and an input
further above its output is allowed at any distance. So the order reproduces the placement, and a
search over orders can reach the optimum. (Where a distance is negative, an input may lie below its
output and still not go lower; then some optima may have no such order.)

The search tries a dozen orders by size, lifetime and area, then improves the best one by moving
buffers that make the peak (and some at random) to the front, keeping what is no worse. It stops
at the lower bound, after a fixed amount of work, or, as a safety net, when the time is up. What is
still above the bound then goes to branch and bound (`exact`), which finds a better placement or a
better bound, or comes to an end of its own work. The work limits make the result a function of
problem and seed alone.

Idea of ordered lowest fit: Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net
Inference" (2020); of searching over orders: the hill climbing of Arm's Vela.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence

from tflm_opt.arena import exact
from tflm_opt.arena.bound import live_at, lower_bound
from tflm_opt.arena.problem import Buffer, Problem, Solution

# Placements of single buffers that the local search may make: about a quarter of a second.
WORK = 150_000
# Orders tried without gain before the search starts again from a shuffled one.
PATIENCE = 400

Order = tuple[int, ...]
Offsets = list[int]
# (other buffer, bytes below its offset, bytes above it) where a buffer must not start
Conflict = tuple[int, int, int]


def solve(
    problem: Problem,
    seconds: float = 10.0,
    seed: int = 0,
    *,
    work: int = WORK,
    enough: int = 0,
    proof: int = exact.EFFORT,
) -> Solution:
    """Place the buffers of `problem`.

    Example:
        >>> solve(Problem((Buffer("x", 64, 0, 2), Buffer("y", 64, 1, 3)))).peak
        128

    Args:
        problem: what to place.
        seconds: a safety net. The amount of work is limited too, to about a quarter of a second,
            and only that limit gives the same placement for the same input on every machine.
        seed: of the local search.
        work: how many placements of single buffers the local search may make.
        enough: bytes at which it may stop.
        proof: how many pairs of buffers the exact search may look at; 0 does without it.

    Raises:
        ValueError: two buffers with fixed offsets collide.
    """
    deadline = time.monotonic() + seconds
    conflicts = _conflicts(problem)
    fixed = _fixed(problem, conflicts)
    free = [i for i in range(len(problem.buffers)) if i not in fixed]
    bound = lower_bound(problem)
    enough = max(enough, bound)
    search = _Search(problem, conflicts, fixed, enough)
    for key in _orders(problem):
        search.attempt(tuple(sorted(free, key=lambda i: (key(problem.buffers[i]), i))))
        if search.peak <= enough:
            break
    search.improve(random.Random(seed), deadline, work)
    found = Solution(tuple(search.offsets), search.peak, bound)
    done = found.peak <= enough or not proof
    if done or len(free) > exact.LARGEST or time.monotonic() > deadline:
        return found
    return exact.prove(problem, found, effort=proof)


class _Search:
    """The best order so far. Lives for one call of `solve`."""

    def __init__(
        self,
        problem: Problem,
        conflicts: Sequence[Sequence[Conflict]],
        fixed: dict[int, int],
        enough: int,
    ) -> None:
        self.sizes = [b.size for b in problem.buffers]
        self.alignment = problem.alignment
        self.conflicts = conflicts
        self.fixed = fixed
        self.enough = enough
        self.order: Order = ()
        self.offsets: Offsets = []
        self.peak = -1

    def place(self, order: Order) -> Offsets:
        """Offsets when the buffers go, in this order, to the lowest free place each."""
        offsets = [-1] * len(self.sizes)
        for index, offset in self.fixed.items():
            offsets[index] = offset
        alignment = self.alignment
        for index in order:
            taken = [
                (offsets[j] - below, offsets[j] + above)
                for j, below, above in self.conflicts[index]
                if offsets[j] >= 0
            ]
            taken.sort()
            position = 0
            for low, high in taken:
                if position <= low:
                    break
                if position < high:
                    position = -(-high // alignment) * alignment
            offsets[index] = position
        return offsets

    def cost(self, offsets: Offsets) -> int:
        return max((o + s for o, s in zip(offsets, self.sizes, strict=True)), default=0)

    def attempt(self, order: Order) -> None:
        offsets = self.place(order)
        peak = self.cost(offsets)
        if self.peak < 0 or peak < self.peak:
            self.order, self.offsets, self.peak = order, offsets, peak

    def improve(self, rng: random.Random, deadline: float, work: int) -> None:
        """Local search on the order, from the best one."""
        order, offsets, peak, stale = self.order, self.offsets, self.peak, 0
        while self.peak > self.enough and len(order) > 1 and work > 0:
            if time.monotonic() > deadline:
                return
            if stale > PATIENCE:
                order, stale = _shuffled(self.order, rng), 0
                offsets = self.place(order)
                peak = self.cost(offsets)
            candidate = self.neighbour(order, offsets, peak, rng)
            placed = self.place(candidate)
            reached = self.cost(placed)
            work -= len(order)
            stale = 0 if reached < peak else stale + 1
            if reached <= peak:
                order, offsets, peak = candidate, placed, reached
            if reached < self.peak:
                self.order, self.offsets, self.peak = candidate, placed, reached

    def neighbour(self, order: Order, offsets: Offsets, peak: int, rng: random.Random) -> Order:
        """Move a buffer before one that it conflicts with; mostly one that makes the peak."""
        top = [i for i in order if offsets[i] + self.sizes[i] == peak]
        index = rng.choice(top) if top and rng.random() < 0.7 else rng.choice(order)
        rivals = [j for j, _, _ in self.conflicts[index] if j not in self.fixed]
        changed = list(order)
        changed.remove(index)
        if rivals and rng.random() < 0.8:
            changed.insert(changed.index(rng.choice(rivals)), index)
        else:
            changed.insert(rng.randrange(len(changed) + 1), index)
        return tuple(changed)


def _shuffled(order: Order, rng: random.Random) -> Order:
    """The order after a few random moves: far enough to leave a local optimum."""
    changed = list(order)
    for _ in range(max(2, len(changed) // 4)):
        changed.insert(rng.randrange(len(changed)), changed.pop(rng.randrange(len(changed))))
    return tuple(changed)


def _orders(problem: Problem) -> Sequence[Callable[[Buffer], object]]:
    """Keys of the orders that the search starts from, most promising first.

    By time backwards is the right one for chains of overlapping outputs, where each output lies
    below its input; the others are those of the literature.
    """
    breadth = {
        step: sum(problem.buffers[i].size for i in live_at(problem, step))
        for step in {b.start for b in problem.buffers}
    }
    steps = sorted(breadth)

    def crowd(buffer: Buffer) -> int:
        return max(breadth[s] for s in steps if buffer.start <= s < buffer.stop)

    return (
        lambda b: (-b.size, b.start),
        lambda b: (-b.size, -b.start),
        lambda b: (-crowd(b), -b.size),
        lambda b: (-crowd(b), -b.start),
        lambda b: (-crowd(b), b.start),
        lambda b: -b.start,
        lambda b: b.start,
        lambda b: -b.stop,
        lambda b: (-b.size * (b.stop - b.start), b.start),
        lambda b: (-(b.stop - b.start), -b.size),
        lambda b: (b.stop - b.start, -b.size),
    )


def _conflicts(problem: Problem) -> list[list[Conflict]]:
    """For every buffer, where the others forbid it to start.

    Buffer `i` must not start inside the open interval `(offset(j) - below, offset(j) + above)`.
    """
    result: list[list[Conflict]] = [[] for _ in problem.buffers]
    for i, a in enumerate(problem.buffers):
        for j, b in enumerate(problem.buffers):
            together = i != j and max(a.start, b.start) < min(a.stop, b.stop)
            if together and a.size and b.size:
                below = min(a.size, problem.overlaps.get((i, j), a.size))
                above = min(b.size, problem.overlaps.get((j, i), b.size))
                if below + above > 0:
                    result[i].append((j, below, above))
    return result


def _fixed(problem: Problem, conflicts: Sequence[Sequence[Conflict]]) -> dict[int, int]:
    fixed = {i: b.offset for i, b in enumerate(problem.buffers) if b.offset is not None}
    for i, offset in fixed.items():
        for j, below, above in conflicts[i]:
            if j in fixed and fixed[j] - below < offset < fixed[j] + above:
                names = f"{problem.buffers[i].name!r} and {problem.buffers[j].name!r}"
                raise ValueError(f"{names} have fixed offsets that collide")
    return fixed
