"""Moving a buffer between two steps, where that saves memory.

In a long chain of overlapping outputs, each lies a safe distance below its input, and the chain
drifts: the arena needs the sum of the distances on top of the largest pair. One `memmove` of the
tensor between two ops, while nothing else of the chain is alive, starts the drift anew:

    |  aaaa             |   aaaa
    |    bbbb           |     bbbb
    |      cccc         |   cccc <- moved
    |        dddd       |     dddd

In a problem, a move at step `s` splits a buffer in two: one alive before `s`, one from `s` on. The
halves may lie anywhere, over each other too, since `memmove` allows that and runs between the
steps: what is alive on both sides of `s` conflicts with both halves anyway. Only one buffer may
move before a step, or one move could overwrite what the next one is to read.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tflm_opt.arena.bound import widest_step
from tflm_opt.arena.problem import Problem, Solution
from tflm_opt.arena.solve import solve

# A move must lower the peak by this fraction to be worth its time.
WORTH = 0.02
# Placements of single buffers that the search may make to try out one move.
TRIAL_WORK = 1_000


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
    """Solve a problem, splitting buffers as long as each split lowers the peak by 2% or more.

    Args:
        problem: without fixed offsets on what may move; those with one stay.
        seconds, seed: as `solve`.
        steps: before which a move may be made, ascending; none by default, which solves the
            problem as is.
    """
    deadline = time.monotonic() + seconds
    best = _solved(problem, (), seconds, seed)
    # What a chain needs beyond its widest step is what moves can save.
    floor = widest_step(problem)
    while steps and floor <= (1 - WORTH) * best.solution.peak:
        trials = [
            _solved(problem, cuts, deadline - time.monotonic(), seed, TRIAL_WORK)
            for cuts in _one_more(problem, best.cuts, steps)
            if time.monotonic() < deadline
        ]
        if not trials:
            break
        winner = min(trials, key=lambda t: (t.solution.peak, _moved_bytes(problem, t), t.cuts))
        if winner.solution.peak > (1 - WORTH) * best.solution.peak:
            break
        best = winner
    if best.cuts and not best.solution.is_optimal:
        polished = _solved(problem, best.cuts, max(deadline - time.monotonic(), 0.0), seed)
        best = min(best, polished, key=lambda t: t.solution.peak)
    return best


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
        name = f"{problem.buffers[index].name} (moved)"
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


def _solved(
    problem: Problem,
    cuts: tuple[tuple[int, int], ...],
    seconds: float,
    seed: int,
    work: int | None = None,
) -> Split:
    parts = split(problem, cuts)
    limit = {} if work is None else {"work": work, "proof": 0}
    return replace(parts, solution=solve(parts.problem, seconds, seed, **limit))


def _one_more(
    problem: Problem, cuts: tuple[tuple[int, int], ...], steps: Sequence[int]
) -> list[tuple[tuple[int, int], ...]]:
    """Every way to add one move: right after a buffer is made, or right before its last reader."""
    busy = {step for _, step in cuts}
    found = []
    for index, buffer in enumerate(problem.buffers):
        inside = [step for step in steps if buffer.start < step < buffer.stop]
        for step in sorted({*inside[:1], *inside[-1:]}):
            if step not in busy and buffer.offset is None and buffer.size:
                found.append((*cuts, (index, step)))
    return found


def _moved_bytes(problem: Problem, candidate: Split) -> int:
    return sum(problem.buffers[index].size for index, _ in candidate.cuts)
