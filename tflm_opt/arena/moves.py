"""Moving a buffer between two steps, where that saves memory.

In a long chain of overlapping outputs, each lies a safe distance below its input, and the chain
drifts: the arena needs the sum of the distances on top of the largest pair. One copy of the
tensor between two ops, while nothing else of the chain is alive, starts the drift anew:

    |  aaaa             |   aaaa
    |    bbbb           |     bbbb
    |      cccc         |   cccc <- moved
    |        dddd       |     dddd

In a problem, a move at step `s` splits a buffer in two: one alive before `s`, one from `s` on. The
halves may lie anywhere, over each other too, since such a copy allows that and runs between the
steps: what is alive on both sides of `s` conflicts with both halves anyway. Only one buffer may
move before a step, or one move could overwrite what the next one is to read.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from tflm_opt.arena.problem import Problem, Solution
from tflm_opt.arena.solve import solve

# A move must lower the peak by this fraction to be worth its time.
WORTH = 0.02
# Placements of single buffers that the search may make for one piece, and pairs for its proof.
WORK = 5_000
PROOF = 60_000

# How the names of buffers end that a tensor moved to.
MOVED = " (moved)"


@dataclass(frozen=True, slots=True)
class Split:
    """A problem with some buffers split.

    Attributes:
        problem: whose buffers are the pieces.
        pieces: for each buffer of the original problem, positions of its pieces, by time.
        cuts: (buffer of the original problem, step) of every move.
        solution: of `problem`.
    """

    problem: Problem
    pieces: tuple[tuple[int, ...], ...]
    cuts: tuple[tuple[int, int], ...]
    solution: Solution


def with_moves(
    problem: Problem, seconds: float = 10.0, seed: int = 0, *, steps: Sequence[int] = ()
) -> Split:
    """Solve a problem, with moves if they lower the peak by 2% or more.

    Where one buffer only is alive across a step, a move there makes what comes before and what
    comes after two problems of their own. The hardest of the smallest such problems is what moves
    can reach; from the first one on, they are joined again as long as they need no more together.

    Args:
        problem: without fixed offsets on what may move; those with one stay.
        seconds, seed: as `solve`.
        steps: before which a move may be made, ascending; none by default, which solves the
            problem as is.
    """
    deadline = time.monotonic() + seconds
    points = _points(problem, steps)
    if not points:
        return _solved(problem, seconds, seed)
    reach = _reach(problem, points, deadline, seed)
    quick = _solved(problem, seconds, seed, work=WORK, proof=0, enough=reach)
    # What a chain needs beyond its hardest piece is what moves can save.
    if reach > (1 - WORTH) * quick.solution.peak:
        left = deadline - time.monotonic()
        return quick if quick.solution.peak <= reach else _solved(problem, left, seed, enough=reach)
    groups, cuts = _joined(problem, points, reach, deadline, seed)
    return _assembled(problem, groups, cuts)


def peak(
    problem: Problem,
    seconds: float = 10.0,
    seed: int = 0,
    *,
    steps: Sequence[int] = (),
    enough: int = 0,
) -> int:
    """The peak of `with_moves`, in a fraction of its time: pieces need not be joined to know it.

    Args:
        problem, seconds, seed, steps: as for `with_moves`.
        enough: bytes. Of a peak that isn't above them only that is known then.
    """
    deadline = time.monotonic() + seconds
    points = _points(problem, steps)
    if not points:
        return solve(problem, seconds, seed, enough=enough).peak
    reach = _reach(problem, points, deadline, seed)
    stop = max(reach, enough)
    quick = solve(problem, seconds, seed, work=WORK, proof=0, enough=stop).peak
    if reach <= (1 - WORTH) * quick:
        return reach
    return quick if quick <= stop else solve(problem, seconds, seed, enough=stop).peak


def _reach(problem: Problem, points: Sequence[tuple[int, int]], deadline: float, seed: int) -> int:
    """The peak of the hardest piece between points: the least that moves can reach."""
    pieces = [_between(problem, a, b) for a, b in pairwise([None, *points, None])]
    return max(
        solve(p.problem, deadline - time.monotonic(), seed, work=WORK, proof=PROOF).peak
        for p in pieces
    )


def split(problem: Problem, cuts: tuple[tuple[int, int], ...]) -> Split:
    """The problem with buffers split at steps, not yet solved.

    Example:
        >>> split(Problem((Buffer("x", 64, 0, 3),)), ((0, 2),)).problem.buffers[1]
        Buffer(name='x (moved)', size=64, start=2, stop=3, offset=None)
    """
    buffers = list(problem.buffers)
    pieces = [[index] for index in range(len(buffers))]
    for index, step in sorted(cuts, key=lambda cut: cut[1]):
        last = pieces[index][-1]
        whole = buffers[last]
        buffers[last] = replace(whole, stop=step)
        pieces[index].append(len(buffers))
        name = problem.buffers[index].name + MOVED
        buffers.append(replace(whole, name=name, start=step))
    overlaps = {}
    for (out, source), distance in problem.overlaps.items():
        for i in pieces[out]:
            for j in pieces[source]:
                together = max(buffers[i].start, buffers[j].start) < min(
                    buffers[i].stop, buffers[j].stop
                )
                if together:
                    overlaps[i, j] = distance
    changed = Problem(tuple(buffers), problem.alignment, overlaps)
    return Split(changed, tuple(map(tuple, pieces)), cuts, Solution((), 0, 0))


def _solved(problem: Problem, seconds: float, seed: int, **limits: int) -> Split:
    return replace(split(problem, ()), solution=solve(problem, seconds, seed, **limits))


def _points(problem: Problem, steps: Sequence[int]) -> list[tuple[int, int]]:
    """(buffer, step) where it alone is alive on both sides of the step, and may move.

    What is alive all the time stays: it may be state that the next invocation looks for.
    """
    end = max((buffer.stop for buffer in problem.buffers), default=0)
    found = []
    for step in steps:
        across = [
            index
            for index, buffer in enumerate(problem.buffers)
            if buffer.start < step < buffer.stop and buffer.size
        ]
        buffer = problem.buffers[across[0]] if len(across) == 1 else None
        if buffer is None or buffer.offset is not None or (buffer.start, buffer.stop) == (0, end):
            continue
        found.append((across[0], step))
    return found


@dataclass(frozen=True, slots=True)
class _Piece:
    """What is alive in some steps, as a problem; `members` are positions in the whole one."""

    problem: Problem
    members: tuple[int, ...]


def _between(
    problem: Problem, first: tuple[int, int] | None, last: tuple[int, int] | None
) -> _Piece:
    """The buffers alive from one point to another; None for the beginning and the end."""
    members, buffers = [], []
    for index, buffer in enumerate(problem.buffers):
        start = buffer.start if first is None else max(buffer.start, first[1])
        stop = buffer.stop if last is None else min(buffer.stop, last[1])
        if start < stop:
            members.append(index)
            buffers.append(replace(buffer, start=start, stop=stop))
    place = {index: number for number, index in enumerate(members)}
    overlaps = {
        (place[out], place[source]): distance
        for (out, source), distance in problem.overlaps.items()
        if out in place and source in place
    }
    return _Piece(Problem(tuple(buffers), problem.alignment, overlaps), tuple(members))


def _joined(
    problem: Problem,
    points: Sequence[tuple[int, int]],
    reach: int,
    deadline: float,
    seed: int,
) -> tuple[list[tuple[_Piece, Solution]], list[tuple[int, int]]]:
    """Pieces as long as they fit `reach` bytes, solved, and the points between them."""
    groups: list[tuple[_Piece, Solution]] = []
    cuts: list[tuple[int, int]] = []
    first: tuple[int, int] | None = None
    held: tuple[_Piece, Solution] | None = None
    for before, after in pairwise([None, *points, None]):
        seconds = deadline - time.monotonic()
        longer = _between(problem, first, after)
        solution = solve(longer.problem, seconds, seed, work=WORK, proof=PROOF, enough=reach)
        if held is not None and solution.peak > reach and before is not None:
            groups.append(held)
            cuts.append(before)
            first, longer = before, _between(problem, before, after)
            solution = solve(longer.problem, seconds, seed, work=WORK, proof=PROOF, enough=reach)
        held = longer, solution
    assert held is not None
    return [*groups, held], cuts


def _assembled(
    problem: Problem,
    groups: Sequence[tuple[_Piece, Solution]],
    cuts: Sequence[tuple[int, int]],
) -> Split:
    """The split problem with the places that its pieces have in the groups."""
    parts = split(problem, tuple(cuts))
    offsets = [0] * len(parts.problem.buffers)
    seen = [0] * len(problem.buffers)
    for piece, solution in groups:
        for index, offset in zip(piece.members, solution.offsets, strict=True):
            offsets[parts.pieces[index][seen[index]]] = offset
            seen[index] += 1
    peak = max(solution.peak for _, solution in groups)
    bound = max(solution.bound for _, solution in groups)
    return replace(parts, solution=Solution(tuple(offsets), peak, bound))
