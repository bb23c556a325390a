"""The exact search against brute force, against CP-SAT where it is at hand, and its limits."""

from __future__ import annotations

import random

import pytest
from test_arena_solve import CASES, brute_force, random_problem

from tflm_opt.arena import Buffer, Problem, Solution, exact, lower_bound, solve, validate


def stacked(problem: Problem) -> Solution:
    """A valid placement to start from, as bad as can be: everything free above everything else."""
    step = problem.alignment
    fixed = [b.offset + b.size for b in problem.buffers if b.offset is not None]
    offsets, top = [], max(fixed, default=0)
    for buffer in problem.buffers:
        if buffer.offset is not None:
            offsets.append(buffer.offset)
            continue
        offsets.append(-(-top // step) * step)
        top = offsets[-1] + buffer.size
    return Solution(tuple(offsets), top, 0)


@pytest.mark.parametrize(("name", "problem", "peak"), CASES, ids=[c[0] for c in CASES])
def test_known_problems(name: str, problem: Problem, peak: int) -> None:
    found = exact.prove(problem, stacked(problem))
    assert validate(problem, found.offsets, found.peak) == ()
    assert found.peak == found.bound == peak


@pytest.mark.parametrize("lowest", [0, -7])
def test_tiny_problems_against_brute_force(lowest: int) -> None:
    rng = random.Random(3 + lowest)
    above = 0
    for _ in range(250):
        problem = random_problem(rng, rng.randint(1, 5), 5, 3, rng.choice([1, 1, 2]), lowest)
        found = exact.prove(problem, stacked(problem))
        assert validate(problem, found.offsets, found.peak) == (), problem
        assert found.peak == found.bound == brute_force(problem), problem
        above += lower_bound(problem) < found.bound
    assert above > 2  # the bound alone would not do


def test_fixed_offsets_stay() -> None:
    rng = random.Random(8)
    for _ in range(100):
        free = random_problem(rng, 4, 5, 3, 1, rng.choice([0, -4]))
        spot = solve(free).offsets[0] + rng.randrange(3)
        first = Buffer("fixed", free.buffers[0].size, 0, free.buffers[0].stop, offset=spot)
        problem = Problem((first, *free.buffers[1:]), 1, free.overlaps)
        found = exact.prove(problem, stacked(problem))
        assert validate(problem, found.offsets, found.peak) == ()
        assert found.offsets[0] == spot
        assert found.bound == found.peak <= solve(problem, work=2_000, proof=0).peak


def test_a_better_placement_than_the_local_search_finds() -> None:
    rng = random.Random(12)
    better = 0
    for _ in range(60):
        problem = random_problem(rng, 25, 1000, 12, 1)
        local = solve(problem, work=300, proof=0)
        both = solve(problem, work=300)
        assert validate(problem, both.offsets, both.peak) == ()
        assert local.bound <= both.bound <= both.peak <= local.peak
        better += both.peak < local.peak
    assert better > 5


def test_effort_is_a_limit_and_the_same_everywhere() -> None:
    problem = random_problem(random.Random(5), 120, 60_000, 30, 16, -9000)
    known = solve(problem, work=500, proof=0)
    for effort in (0, 1_000, 200_000):
        found = exact.prove(problem, known, effort=effort)
        assert found == exact.prove(problem, known, effort=effort)
        assert validate(problem, found.offsets, found.peak) == ()
        assert known.bound <= found.bound <= found.peak <= known.peak


def test_hundreds_of_buffers() -> None:
    """A chain of blocks: wide, and solved; more than the largest number is left alone."""
    buffers, overlaps = [], {}
    for index in range(300):
        buffers.append(Buffer(f"t{index}", 16 * (index * 37 % 29 + 1), index, index + 3))
        if index and index % 3 == 0:
            overlaps[index, index - 2] = 16 * (index % 5 - 2)
    problem = Problem(tuple(buffers), 16, overlaps)
    found = solve(problem, work=2_000)
    assert validate(problem, found.offsets, found.peak) == ()
    assert found.is_optimal
    wider = Problem((*buffers, *(Buffer("u", 16, i, i + 2) for i in range(200))), 16)
    assert solve(wider, work=0) == solve(wider, work=0, proof=0)


def cp_sat(problem: Problem, most: int) -> tuple[int, bool]:
    """(peak, whether it is optimal) from Google's CP-SAT."""
    cp_model = pytest.importorskip("ortools.sat.python.cp_model", reason="ortools is not installed")
    model, step = cp_model.CpModel(), problem.alignment
    offsets = [
        step * model.new_int_var(0, max(0, most - b.size) // step, f"offset{i}")
        if b.offset is None
        else b.offset
        for i, b in enumerate(problem.buffers)
    ]
    peak = model.new_int_var(0, most, "peak")
    for offset, buffer in zip(offsets, problem.buffers, strict=True):
        model.add(peak >= offset + buffer.size)
    for i, a in enumerate(problem.buffers):
        for j, b in enumerate(problem.buffers[:i]):
            if max(a.start, b.start) >= min(a.stop, b.stop) or not a.size or not b.size:
                continue
            ways = [offsets[j] - offsets[i] >= a.size, offsets[i] - offsets[j] >= b.size]
            if (i, j) in problem.overlaps:
                ways.append(offsets[j] - offsets[i] >= problem.overlaps[i, j])
            if (j, i) in problem.overlaps:
                ways.append(offsets[i] - offsets[j] >= problem.overlaps[j, i])
            chosen = [model.new_bool_var("") for _ in ways]
            for way, choice in zip(ways, chosen, strict=True):
                model.add(way).only_enforce_if(choice)
            model.add_bool_or(chosen)
    model.minimize(peak)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.max_deterministic_time = 2.0
    status = solver.solve(model)
    return round(solver.objective_value), status == cp_model.OPTIMAL


@pytest.mark.parametrize("lowest", [0, -3000])
def test_medium_problems_against_cp_sat(lowest: int) -> None:
    rng = random.Random(31)
    compared = proved = 0
    for _ in range(25):
        problem = random_problem(rng, rng.randint(8, 20), 4096, 10, rng.choice([1, 16]), lowest)
        start = stacked(problem)
        found = exact.prove(problem, start)
        peak, optimal = cp_sat(problem, start.peak)
        assert found.bound <= peak
        if optimal:
            assert peak <= found.peak
            compared += 1
            proved += found.peak == found.bound == peak
    assert compared >= 20
    assert proved >= compared - 4
