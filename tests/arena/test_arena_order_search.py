"""The search for an order against all orders of small problems, and its bounds on large ones."""

from __future__ import annotations

import random
from collections.abc import Iterator

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
