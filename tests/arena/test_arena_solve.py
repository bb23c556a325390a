"""The planner against its checker, its bound, and brute force."""

from __future__ import annotations

import random
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tflm_opt.arena import Buffer, Problem, lower_bound, solve, validate

# name, problem, least peak
CASES = [
    ("nothing", Problem(()), 0),
    ("one", Problem((Buffer("a", 10, 0, 1),)), 10),
    ("zero bytes", Problem((Buffer("a", 0, 0, 3), Buffer("b", 5, 1, 2))), 5),
    ("touching lifetimes share", Problem((Buffer("a", 64, 0, 1), Buffer("b", 64, 1, 2))), 64),
    ("same lifetime", Problem((Buffer("a", 64, 0, 2), Buffer("b", 64, 0, 2))), 128),
    ("rounding below, not on top", Problem((Buffer("a", 17, 0, 2), Buffer("b", 33, 0, 2))), 65),
    ("byte aligned", Problem((Buffer("a", 17, 0, 2), Buffer("b", 33, 0, 2)), alignment=1), 50),
    (
        "in place",
        Problem((Buffer("x", 64, 0, 2), Buffer("y", 64, 1, 3)), overlaps={(1, 0): 0}),
        64,
    ),
    (
        "input in the tail of a larger output",
        Problem((Buffer("x", 800, 0, 2), Buffer("y", 1600, 1, 3)), 1, {(1, 0): 801}),
        1601,
    ),
    (
        "distance rounded up",
        Problem((Buffer("x", 64, 0, 2), Buffer("y", 64, 1, 3)), 16, {(1, 0): 3}),
        80,
    ),
    (
        "an output that starts above its input",
        Problem((Buffer("x", 64, 0, 2), Buffer("y", 32, 1, 3)), 16, {(1, 0): -32}),
        64,
    ),
    (
        "an input just as far below its output as may be",
        Problem(
            (
                Buffer("stays", 32, 0, 3, offset=0),
                Buffer("x", 64, 0, 2),
                Buffer("y", 40, 1, 3, offset=48),
            ),
            8,
            {(2, 1): -16},
        ),
        96,
    ),
    (
        "a negative distance rounded up",
        Problem(
            (
                Buffer("stays", 32, 0, 3, offset=0),
                Buffer("x", 64, 0, 2),
                Buffer("y", 40, 1, 3, offset=48),
            ),
            8,
            {(2, 1): -15},
        ),
        104,
    ),
    (
        "any place over an input, from its size on",
        Problem((Buffer("x", 64, 0, 2), Buffer("y", 32, 1, 3)), 16, {(1, 0): -1000}),
        64,
    ),
    (
        "both inputs of an addition",
        Problem(
            (Buffer("a", 64, 0, 2), Buffer("b", 64, 0, 2), Buffer("y", 64, 1, 3)),
            overlaps={(2, 0): 0, (2, 1): 0},
        ),
        128,
    ),
    (
        "a chain drifts down",
        Problem(
            tuple(Buffer(f"t{i}", 10, i, i + 2) for i in range(5)),
            alignment=1,
            overlaps={(i + 1, i): 1 for i in range(4)},
        ),
        14,
    ),
    (
        "fixed in the middle",
        Problem((Buffer("a", 32, 0, 2, offset=32), Buffer("b", 48, 0, 2))),
        112,
    ),
    (
        "fixed, and room below",
        Problem((Buffer("a", 32, 0, 2, offset=48), Buffer("b", 48, 0, 2))),
        80,
    ),
]


@pytest.mark.parametrize(("name", "problem", "peak"), CASES, ids=[c[0] for c in CASES])
def test_known_problems(name: str, problem: Problem, peak: int) -> None:
    solution = solve(problem)
    assert validate(problem, solution.offsets, solution.peak) == ()
    assert solution.peak == peak
    assert solution.bound <= peak


def test_fixed_buffers_that_collide_are_refused() -> None:
    problem = Problem((Buffer("a", 32, 0, 2, offset=0), Buffer("b", 48, 1, 2, offset=16)))
    with pytest.raises(ValueError, match=r"'a' and 'b' have fixed offsets that collide"):
        solve(problem)


def brute_force(problem: Problem) -> int:
    """Least peak by trying the offsets of every buffer; for tiny problems."""
    buffers, a = problem.buffers, problem.alignment
    best = sum(-(-b.size // a) * a for b in buffers) + 1

    def fits(i: int, x: int, placed: list[int]) -> bool:
        for j, y in enumerate(placed):
            if max(buffers[i].start, buffers[j].start) >= min(buffers[i].stop, buffers[j].stop):
                continue
            apart = x + buffers[i].size <= y or y + buffers[j].size <= x
            below = y - x >= problem.overlaps.get((i, j), 10**9)
            above = x - y >= problem.overlaps.get((j, i), 10**9)
            if buffers[i].size and buffers[j].size and not (apart or below or above):
                return False
        return True

    def visit(placed: list[int], peak: int) -> None:
        nonlocal best
        i = len(placed)
        if i == len(buffers):
            best = min(best, peak)
            return
        for x in range(0, best - buffers[i].size, a):
            if max(peak, x + buffers[i].size) < best and fits(i, x, placed):
                visit([*placed, x], max(peak, x + buffers[i].size))

    visit([], 0)
    return best


def random_problem(
    rng: random.Random, count: int, sizes: int, steps: int, align: int, lowest: int = 0
) -> Problem:
    """Buffers of up to `sizes` bytes, some pairs with a distance from `lowest` on."""
    buffers = []
    for index in range(count):
        start = rng.randrange(steps)
        stop = min(steps, start + 1 + int(rng.expovariate(0.5)))
        buffers.append(Buffer(f"b{index}", rng.randrange(sizes + 1), start, stop))
    overlaps: dict[tuple[int, int], int] = {}
    for _ in range(rng.randrange(count + 1)):
        out, source = rng.randrange(count), rng.randrange(count)
        if out != source and (source, out) not in overlaps:
            overlaps[out, source] = rng.choice([0, 1, rng.randrange(lowest, sizes + 2)])
    return Problem(tuple(buffers), align, overlaps)


def test_optimal_on_tiny_problems() -> None:
    rng = random.Random(1)
    for _ in range(150):
        lowest = rng.choice([0, 0, -7])
        problem = random_problem(rng, rng.randint(1, 4), 5, 3, rng.choice([1, 1, 2]), lowest)
        solution = solve(problem)
        best = brute_force(problem)
        assert lower_bound(problem) <= best, problem
        assert solution.peak == best, problem


@pytest.mark.parametrize("align", [1, 16])
def test_lowest_fit_reaches_the_optimum_in_some_order(align: int) -> None:
    """The claim that the search space rests on, by all orders of small problems."""
    rng = random.Random(align)
    from tflm_opt.arena.solve import _conflicts, _Search

    for _ in range(40):
        problem = random_problem(rng, 4, 4 * align, 3, align)
        search = _Search(problem, _conflicts(problem), {}, 0)
        for order in permutations(range(4)):
            search.attempt(order)
        assert search.peak == brute_force(problem), problem


def test_valid_on_ten_thousand_random_problems() -> None:
    rng = random.Random(2026)
    for number in range(10_000):
        large = number % 500 == 0
        problem = random_problem(
            rng,
            rng.randint(30, 60) if large else rng.randint(1, 10),
            4096,
            12,
            rng.choice([1, 4, 16]),
            rng.choice([0, 0, -5000]),
        )
        solution = solve(problem, work=2_000)
        assert validate(problem, solution.offsets, solution.peak) == (), problem
        assert lower_bound(problem) <= solution.bound <= solution.peak


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    count = draw(st.integers(1, 12))
    seed = draw(st.integers(0, 2**32))
    return random_problem(
        random.Random(seed),
        count,
        draw(st.integers(1, 10_000)),
        draw(st.integers(1, 15)),
        draw(st.sampled_from([1, 4, 8, 16, 64])),
        draw(st.sampled_from([0, -1, -100, -20_000])),
    )


@settings(deadline=None, max_examples=100)
@given(problems(), st.integers(0, 3))
def test_valid_above_the_bound_and_repeatable(problem: Problem, seed: int) -> None:
    solution = solve(problem, seed=seed, work=5_000)
    assert validate(problem, solution.offsets, solution.peak) == ()
    assert (
        solution.bound
        <= solution.peak
        <= sum(-(-b.size // problem.alignment) * problem.alignment for b in problem.buffers)
    )
    assert solve(problem, seed=seed, work=5_000) == solution


def test_time_is_a_limit_too() -> None:
    problem = random_problem(random.Random(3), 60, 4096, 20, 16)
    solution = solve(problem, seconds=0.0)
    assert validate(problem, solution.offsets, solution.peak) == ()
