"""A lower bound on the arena of a problem: no placement needs fewer bytes.

At every step, the buffers alive then must be in memory together. Without overlaps and with an
alignment of 1 the bound is the largest sum of their sizes. Two refinements keep it close:

**Alignment.** Offsets are multiples of `A`. Round every size up to `A`: buffers that are disjoint
stay disjoint, since the upper one starts at a multiple of `A` that is not below the lower one's
end. So the rounded sizes add up, and only the topmost buffer need not be rounded: from the sum,
the largest amount of rounding among the live buffers is taken back.

**Overlaps.** The live buffers fall into clusters, connected by the pairs that may overlap.
Buffers of different clusters are disjoint, so what the clusters need adds up. A cluster needs at
least
- the rounded size of any set of its members no two of which may overlap; and
- for an output `o` and a set `T` of its inputs, no two of which may overlap:
  `min(size(o), min of d over T) + sum of the sizes of T`. Proof: an input of `T` that intersects
  `o` starts at `offset(o) + d` or later (rounded up to `A`, as both offsets are multiples), and
  one that does not, does not touch `o` at all. So no input of `T` touches the first
  `min(size(o), min d)` bytes of `o`: these and the inputs are pairwise disjoint. A negative
  distance counts as 0.

With one input this is `max(size(o), min(d, size(o)) + size(input))`: exactly what the pair needs.
A fixed offset adds `offset + size` of that buffer.

**Chains.** In a chain of ops whose outputs overlap their inputs, each output lies below its input,
and the distances add up. Suppose a placement with peak `T`. For a pair that could not be disjoint
within `T` bytes (its sizes and the needs of the other clusters at that step are more than `T`),
`offset(input) >= offset(output) + d` must hold. The longest path through these inequalities gives
a lowest offset for every buffer; if one then ends above `T`, there is no such placement. With a
higher `T` fewer pairs are forced, so `T` rises from the bound of the steps to the next value that
could make a difference, the longest path's own end or the need of a forced pair, until nothing
contradicts it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tflm_opt.arena.problem import Problem, align_up


def lower_bound(problem: Problem) -> int:
    """Bytes that every placement of `problem` needs at least.

    Example:
        >>> lower_bound(Problem((Buffer("x", 64, 0, 2), Buffer("y", 64, 1, 3))))
        128
    """
    return _chain_bound(problem, widest_step(problem))


def widest_step(problem: Problem) -> int:
    """The largest bound of a single step, or the highest end of a buffer with a fixed offset."""
    steps = step_bounds(problem)
    fixed = [b.offset + b.size for b in problem.buffers if b.offset is not None]
    return max([*steps.values(), *fixed], default=0)


def step_bounds(problem: Problem) -> dict[int, int]:
    """Bytes needed at least while the buffers of a step are alive, by step.

    Only steps at which a buffer becomes alive are listed: the need is highest at one of them.
    """
    starts = sorted({buffer.start for buffer in problem.buffers})
    return {step: _step_bound(problem, live_at(problem, step)) for step in starts}


def live_at(problem: Problem, step: int) -> tuple[int, ...]:
    """Positions of the buffers alive at `step`, but for those of 0 bytes."""
    return tuple(
        index
        for index, buffer in enumerate(problem.buffers)
        if buffer.start <= step < buffer.stop and buffer.size
    )


def _chain_bound(problem: Problem, peak: int) -> int:
    apart = _needs_apart(problem)
    while True:
        forced = [(pair, d) for pair, d in problem.overlaps.items() if apart.get(pair, 0) > peak]
        end = _longest_path(problem, forced)
        if end is not None and end <= peak:
            return peak
        limits = [apart[pair] for pair, _ in forced]
        # The path's end is above the peak, or there is none: the forced pairs form a cycle.
        peak = min(limits if end is None else [*limits, end])


def _needs_apart(problem: Problem) -> dict[tuple[int, int], int]:
    """Bytes needed at least if the two buffers of a pair were disjoint, by pair."""
    needs = {}
    for out, source in problem.overlaps:
        a, b = problem.buffers[out], problem.buffers[source]
        step = max(a.start, b.start)
        if step >= min(a.stop, b.stop) or not a.size or not b.size:
            continue
        live = live_at(problem, step)
        others = [c for c in _clusters(problem, live) if out not in c]
        pair = sum(align_up(x.size, problem.alignment) for x in (a, b))
        needs[out, source] = (
            pair + sum(_cluster_bound(problem, c) for c in others) - _rounding(problem, live)
        )
    return needs


def _longest_path(problem: Problem, forced: Sequence[tuple[tuple[int, int], int]]) -> int | None:
    """The highest end of a buffer when all are as low as the forced distances let them be.

    None if the distances form a cycle that no offsets satisfy.
    """
    lowest = [0 if b.offset is None else b.offset for b in problem.buffers]
    for _ in range(len(forced) + 1):
        changed = False
        for (out, source), distance in forced:
            least = align_up(lowest[out] + distance, problem.alignment)
            if least > lowest[source]:
                lowest[source], changed = least, True
        if not changed:
            ends = [low + b.size for low, b in zip(lowest, problem.buffers, strict=True)]
            return max(ends, default=0)
    return None


def _rounding(problem: Problem, live: Sequence[int]) -> int:
    """The most that rounding up adds to one of the live buffers."""
    sizes = [problem.buffers[i].size for i in live]
    return max((align_up(size, problem.alignment) - size for size in sizes), default=0)


def _step_bound(problem: Problem, live: Sequence[int]) -> int:
    needs = sum(_cluster_bound(problem, cluster) for cluster in _clusters(problem, live))
    return needs - _rounding(problem, live)


def _clusters(problem: Problem, live: Sequence[int]) -> list[list[int]]:
    """The live buffers, grouped by the pairs that may overlap (connected components)."""
    alive = set(live)
    links: dict[int, set[int]] = {index: set() for index in live}
    for out, source in problem.overlaps:
        if out in alive and source in alive:
            links[out].add(source)
            links[source].add(out)
    clusters = []
    while alive:
        cluster, frontier = [], [min(alive)]
        alive.discard(frontier[0])
        while frontier:
            index = frontier.pop()
            cluster.append(index)
            fresh = links[index] & alive
            alive -= fresh
            frontier.extend(sorted(fresh))
        clusters.append(cluster)
    return clusters


def _cluster_bound(problem: Problem, cluster: Sequence[int]) -> int:
    best = _independent(problem, cluster)
    for out in cluster:
        sources = {i: problem.overlaps[out, i] for i in cluster if (out, i) in problem.overlaps}
        size = align_up(problem.buffers[out].size, problem.alignment)
        for distance in sorted(set(sources.values())):
            chosen = [i for i, d in sources.items() if d >= distance]
            free = max(min(size, align_up(distance, problem.alignment)), 0)
            best = max(best, free + _independent(problem, chosen))
    return best


def _independent(problem: Problem, members: Iterable[int]) -> int:
    """Rounded size of a set of `members` no two of which may overlap, chosen greedily."""
    sizes = {i: align_up(problem.buffers[i].size, problem.alignment) for i in members}
    best = 0
    # Greedy by size finds "the output alone"; the largest first is then left out once each, which
    # finds "all the inputs". Any such set is a valid bound, so greedy is safe.
    for skipped in (None, *sizes):
        chosen: list[int] = []
        for i in sorted(sizes, key=lambda i: -sizes[i]):
            if i != skipped and not any(_may_overlap(problem, i, j) for j in chosen):
                chosen.append(i)
        best = max(best, sum(sizes[i] for i in chosen))
    return best


def _may_overlap(problem: Problem, i: int, j: int) -> bool:
    return (i, j) in problem.overlaps or (j, i) in problem.overlaps
