"""The checker of a placement: apart from the planner, simpler than it, and slow on purpose.

It looks at every pair of buffers and shares no code with `solve` or `bound`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

from tflm_opt.arena.problem import Problem, Violation


def validate(
    problem: Problem, offsets: Sequence[int], peak: int | None = None
) -> tuple[Violation, ...]:
    """Every rule that `offsets` breaks; empty when the placement is sound.

    Example:
        >>> validate(Problem((Buffer("x", 64, 0, 2), Buffer("y", 64, 1, 3))), (0, 64))
        ()

    Args:
        problem: what was to be placed.
        offsets: bytes, in the order of `problem.buffers`.
        peak: the peak that is claimed, if one is.
    """
    if len(offsets) != len(problem.buffers):
        message = f"{len(offsets)} offsets for {len(problem.buffers)} buffers"
        return (Violation("count", (), message),)
    return tuple(
        [
            *_single(problem, offsets),
            *_pairs(problem, offsets),
            *_peak(problem, offsets, peak),
        ]
    )


def _single(problem: Problem, offsets: Sequence[int]) -> Iterator[Violation]:
    for index, (buffer, offset) in enumerate(zip(problem.buffers, offsets, strict=True)):
        where = f"{buffer.name!r} at {offset}"
        if offset < 0:
            yield Violation("negative", (index,), f"{where}: below the arena's start")
        if offset % problem.alignment:
            message = f"{where}: not a multiple of {problem.alignment}"
            yield Violation("alignment", (index,), message)
        if buffer.offset is not None and buffer.offset != offset:
            yield Violation("fixed", (index,), f"{where}: it must lie at {buffer.offset}")


def _pairs(problem: Problem, offsets: Sequence[int]) -> Iterator[Violation]:
    for i, j in combinations(range(len(offsets)), 2):
        a, b = problem.buffers[i], problem.buffers[j]
        together = max(a.start, b.start) < min(a.stop, b.stop)
        shared = min(offsets[i] + a.size, offsets[j] + b.size) - max(offsets[i], offsets[j])
        if not together or shared <= 0 or a.size == 0 or b.size == 0:
            continue
        if not (_allowed(problem, offsets, i, j) or _allowed(problem, offsets, j, i)):
            message = (
                f"{a.name!r} [{offsets[i]}, {offsets[i] + a.size}) and "
                f"{b.name!r} [{offsets[j]}, {offsets[j] + b.size}) share {shared} bytes at step "
                f"{max(a.start, b.start)}"
            )
            yield Violation("overlap", (i, j), message)


def _allowed(problem: Problem, offsets: Sequence[int], out: int, source: int) -> bool:
    distance = problem.overlaps.get((out, source))
    return distance is not None and offsets[source] - offsets[out] >= distance


def _peak(problem: Problem, offsets: Sequence[int], peak: int | None) -> Iterator[Violation]:
    ends = [offset + b.size for offset, b in zip(offsets, problem.buffers, strict=True)]
    highest = max(ends, default=0)
    if peak is not None and peak != highest:
        message = f"the peak is said to be {peak} and is {highest}"
        yield Violation("peak", tuple(i for i, end in enumerate(ends) if end == highest), message)
