"""The search for an order against all orders of small problems, and its bounds on large ones."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tflm_opt.arena.downsets import Step, Steps
from tflm_opt.arena.order_search import least_peak, peak_of


def all_orders(work: Steps) -> Iterator[tuple[int, ...]]:
    """Every valid order, by trying."""

    def visit(done: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        if len(done) == len(work.steps):
            yield done
        for index, step in enumerate(work.steps):
            waits = {i for i in range(len(work.steps)) if step.waits >> i & 1}
            if index not in done and waits <= set(done):
                yield from visit((*done, index))

    return visit(())


def is_valid(work: Steps, order: tuple[int, ...]) -> bool:
    place = {step: i for i, step in enumerate(order)}
    return len(order) == len(place) == len(work.steps) and all(
        place[i] < place[index]
        for index, step in enumerate(work.steps)
        for i in range(len(work.steps))
        if step.waits >> i & 1
    )


def simulated(work: Steps, order: tuple[int, ...]) -> int:
    """The peak of an order, from lifetimes written down one by one."""
    born = dict.fromkeys(work.given, -1)
    for time, index in enumerate(order):
        born.update(dict.fromkeys(work.steps[index].made, time))
    last = dict(born)
    for time, index in enumerate(order):
        for buffer in work.steps[index].read:
            last[buffer] = time
    for buffer in work.kept:
        last[buffer] = len(order)
    peak = sum(work.sizes[b] for b in work.given)
    for time, index in enumerate(order):
        step = work.steps[index]
        alive = {b for b in born if born[b] <= time <= last[b]}
        over = [b for b in step.distances if last[b] == time]
        below = alive - set(over) - set(step.made)
        both = sum(work.sizes[b] for b in below) + step.scratch
        made = sum(work.sizes[b] for b in step.made)
        need = max(made, sum(work.sizes[b] for b in over))
        for nearest in over:
            d = min(max(step.distances[nearest], 0), made)
            above = [b for b in over if step.distances[b] >= step.distances[nearest]]
            need = max(need, d + sum(work.sizes[b] for b in above))
        peak = max(peak, both + need)
    return peak


def random_steps(rng: random.Random, count: int, parents: int = 2) -> Steps:
    """A random graph: each step reads what some of the last ones made, or what was given."""
    sizes = [16 * rng.randrange(12) for _ in range(rng.randint(1, 2))]
    given = frozenset(range(len(sizes)))
    maker: dict[int, int] = {}
    steps = []
    for index in range(count):
        known = range(max(0, len(sizes) - rng.randint(1, 6)), len(sizes))
        read = tuple(sorted(rng.sample(known, min(len(known), rng.randint(1, parents)))))
        made = tuple(range(len(sizes), len(sizes) + (1 if rng.random() < 0.85 else 2)))
        sizes += [16 * rng.randrange(1, 12) for _ in made]
        maker.update(dict.fromkeys(made, index))
        waits = sum({1 << maker[b] for b in read if b in maker})
        over = [b for b in read if rng.random() < 0.5 and len(made) == 1]
        distances = {b: 16 * rng.randrange(-3, 14) for b in over}
        scratch = 16 * rng.randrange(6) if rng.random() < 0.2 else 0
        steps.append(Step(waits, made, read, distances, scratch))
    kept = {b for b in range(len(sizes)) if rng.random() < 0.08} | {len(sizes) - 1}
    return Steps(tuple(steps), tuple(sizes), given, frozenset(kept))


def test_least_of_all_orders() -> None:
    rng = random.Random(7)
    gained = 0
    for _ in range(400):
        work = random_steps(rng, rng.randint(1, 8), rng.randint(1, 3))
        peaks = {order: simulated(work, order) for order in all_orders(work)}
        found = least_peak(work)
        assert found.peak == found.bound == min(peaks.values()) == peaks[found.order], work
        assert peak_of(work) == peaks[tuple(range(len(work.steps)))]
        gained += found.peak < peak_of(work)
    assert gained > 50


def least_of_all_sets(work: Steps) -> int:
    """The least peak by trying every set of steps done, one at a time."""
    count = len(work.steps)
    waits = [{i for i in range(count) if step.waits >> i & 1} for step in work.steps]
    known = {frozenset[int](): sum(work.sizes[b] for b in work.given)}
    for _ in range(count):
        further: dict[frozenset[int], int] = {}
        for done, peak in known.items():
            for index in range(count):
                if index not in done and waits[index] <= done:
                    need = max(peak, _need(work, done, index))
                    both = done | {index}
                    further[both] = min(need, further.get(both, need))
        known = further
    return known[frozenset(range(count))]


def _need(work: Steps, done: frozenset[int], index: int) -> int:
    """Bytes while one step runs, when others are done."""
    step, later = work.steps[index], set(range(len(work.steps))) - done - {index}
    awaited = {b for i in later for b in work.steps[i].read} | work.kept
    made = {b for i in done for b in work.steps[i].made} | work.given
    ends = {b for b in step.read if b not in awaited}
    over = {b: max(step.distances[b], 0) for b in ends if b in step.distances}
    rest = [b for b in made if (b in awaited or b in ends) and b not in over]
    size = sum(work.sizes[b] for b in step.made)
    needs = [size, sum(work.sizes[b] for b in over)]
    for nearest in over.values():
        higher = sum(work.sizes[b] for b, d in over.items() if d >= nearest)
        needs.append(min(nearest, size) + higher)
    return sum(work.sizes[b] for b in rest) + step.scratch + max(needs)


def wired(parents: list[list[int]], sizes: list[int], given: int = 64) -> Steps:
    """Step `i` makes buffer `i + 1` from those of its parents; -1 is the input."""
    steps = []
    for i, every in enumerate(parents):
        read = sorted(set(every))
        waits = sum(1 << p for p in read if p >= 0)
        steps.append(Step(waits, (i + 1,), tuple(p + 1 for p in read)))
    return Steps(tuple(steps), (given, *sizes), frozenset({0}), frozenset({len(steps)}))


def levels(branches: int, depth: int, sizes: list[int]) -> Steps:
    """Chains side by side, all steps of a level before the next, then joined."""
    parents = [[i - branches if i >= branches else -1] for i in range(branches * depth)]
    return wired([*parents, [*range(branches * (depth - 1), branches * depth)]], sizes)


def inception(rng: random.Random, cells: int, branches: int, depth: int) -> Steps:
    """Cells of parallel chains, each joined and handed on."""
    parents: list[list[int]] = []
    last = -1
    for _ in range(cells):
        ends = []
        for _ in range(branches):
            at = last
            for _ in range(depth):
                parents.append([at])
                at = len(parents) - 1
            ends.append(at)
        parents.append(ends)
        last = len(parents) - 1
    return wired(parents, [16 * rng.randint(1, 40) for _ in parents])


def nas_cells(rng: random.Random, cells: int) -> Steps:
    """Cells of sums of two of the nodes before, each behind two ops, as DARTS has them."""
    parents: list[list[int]] = []
    one, two = -1, -1
    for _ in range(cells):
        nodes, inner = [one, two], []
        for _ in range(4):
            ends = []
            for node in (rng.choice(nodes), rng.choice(nodes)):
                parents += [[node], [len(parents)]]
                ends.append(len(parents) - 1)
            parents.append(ends)
            nodes.append(len(parents) - 1)
            inner.append(len(parents) - 1)
        parents.append(inner)
        one, two = two, len(parents) - 1
    return wired(parents, [16 * rng.randint(10, 20) for _ in parents])


def randomly_wired(rng: random.Random, count: int, parents: int, back: int) -> Steps:
    """Each step reads up to `parents` of the `back` steps before it; the last, what is left."""
    found = [[-1]]
    for i in range(1, count - 1):
        found.append(rng.sample(range(max(0, i - back), i), min(i, parents, back)))
    used = {p for ps in found for p in ps}
    found.append([i for i in range(count - 1) if i not in used])
    return wired(found, [16 * rng.randint(5, 40) for _ in found])


def test_least_of_all_sets_in_cells_and_chains() -> None:
    """Too many orders to try one by one, and few enough sets."""
    rng = random.Random(11)
    gained = 0
    for number in range(120):
        shape = number % 4
        if shape == 0:
            branches, depth = rng.choice([(2, 5), (3, 4), (4, 3)])
            work = levels(
                branches, depth, [16 * rng.randint(1, 30) for _ in range(branches * depth + 1)]
            )
        elif shape == 1:
            work = inception(rng, 2, 3, rng.randint(1, 2))
        elif shape == 2:
            work = randomly_wired(rng, 14, 2, rng.randint(2, 8))
        else:
            work = random_steps(rng, 13, 3)
        found = least_peak(work)
        assert is_valid(work, found.order)
        assert found.peak == found.bound == least_of_all_sets(work) == simulated(work, found.order)
        gained += found.peak < peak_of(work)
    assert gained > 40


LARGE = {
    "a chain": wired([[i - 1] for i in range(800)], [160] * 800),
    "inception": inception(random.Random(1), 9, 4, 3),
    "wide inception": inception(random.Random(2), 4, 16, 4),
    "levels": levels(8, 8, [16 * (i * 7919 % 31 + 1) for i in range(65)]),
    "many levels": levels(40, 10, [16 * (i * 7919 % 37 + 1) for i in range(401)]),
    "NAS": nas_cells(random.Random(3), 3),
    "deep NAS": nas_cells(random.Random(4), 20),
    "randomly wired": randomly_wired(random.Random(5), 100, 3, 10),
    "wired afar": randomly_wired(random.Random(6), 400, 3, 100),
}
PROVED = {"a chain", "inception", "wide inception", "NAS", "randomly wired"}


@pytest.mark.parametrize("name", LARGE)
def test_large_graphs(name: str) -> None:
    work = LARGE[name]
    found = least_peak(work)
    assert is_valid(work, found.order)
    assert found.bound <= found.peak == simulated(work, found.order) <= peak_of(work)
    if name in PROVED:
        assert found.peak == found.bound
        assert least_peak(work) == found


def test_less_effort_leaves_a_bound() -> None:
    """Whatever the effort: never above the order given, never a bound above the least peak."""
    rng = random.Random(21)
    short = 0
    for _ in range(60):
        work = random_steps(rng, 12, 3)
        least = least_of_all_sets(work)
        for effort in (0, 30, 300):
            found = least_peak(work, effort=effort)
            assert is_valid(work, found.order)
            assert found.bound <= least <= found.peak <= peak_of(work)
            short += found.bound < found.peak
    assert short > 5


def test_steps_that_gain_nothing_stay() -> None:
    work = levels(3, 1, [16, 16, 16, 48])
    assert least_peak(work).order == (0, 1, 2, 3)
