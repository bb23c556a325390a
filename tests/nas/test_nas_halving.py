"""Successive halving: who goes on, what it costs, and that training goes on from where it was."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tflm_opt.errors import TflmOptError
from tflm_opt.nas.halving import Rung, epochs, halve, plan


@pytest.mark.parametrize(
    ("candidates", "how", "rungs"),
    [
        (8, {}, [(8, 1), (4, 2), (2, 4), (1, 8)]),
        (27, {"factor": 3}, [(27, 1), (9, 3), (3, 9), (1, 27)]),
        (10, {"epochs": 2, "last": 3}, [(10, 2), (5, 4), (3, 8)]),
        (1, {"epochs": 5}, [(1, 5)]),
        (4, {"last": 4}, [(4, 1)]),
    ],
)
def test_ladders(candidates: int, how: dict[str, int], rungs: list[tuple[int, int]]) -> None:
    assert plan(candidates, **how) == tuple(Rung(*rung) for rung in rungs)


def test_what_a_ladder_costs() -> None:
    assert epochs(plan(8)) == 8 * 1 + 4 * 1 + 2 * 2 + 1 * 4


@given(
    st.lists(st.sampled_from([0.1, 0.2, 0.3, math.nan]), min_size=1, max_size=20),
    st.integers(1, 3),
    st.integers(2, 4),
)
def test_the_best_go_on_and_train_for_what_the_ladder_says(
    worth: list[float], first: int, factor: int
) -> None:
    rungs = plan(len(worth), epochs=first, factor=factor)
    behind: Counter[int] = Counter()

    def train_some(candidate: int, low: int, high: int) -> float:
        assert behind[candidate] == low < high
        behind[candidate] = high
        return worth[candidate]

    found = halve(range(len(worth)), train_some, rungs)
    assert sum(behind.values()) <= epochs(rungs)
    for number, rung in enumerate(rungs):
        there = [candidate for candidate, n, _ in found if n == number]
        assert len(there) <= rung.keep
        if number:
            before = [candidate for candidate, n, _ in found if n == number - 1]
            alive = [c for c in before if not math.isnan(worth[c])]
            best = sorted(alive, key=lambda c: (-worth[c], c))[: rung.keep]
            assert there == sorted(best)


def test_order_decides_between_equals() -> None:
    found = halve("abcd", lambda *_: 0.5, plan(4))
    assert [candidate for candidate, *_ in found] == list("abcdaba")


def test_a_score_chooses_who_begins() -> None:
    trained = halve("abcde", lambda *_: 0.0, [Rung(2, 1)], score="caebd".index)
    assert [candidate for candidate, *_ in trained] == ["b", "d"]
    with pytest.raises(TflmOptError, match="5 candidates for 2 places"):
        halve("abcde", lambda *_: 0.0, [Rung(2, 1)])


@pytest.mark.parametrize(
    "rungs", [[], [Rung(2, 1), Rung(3, 2)], [Rung(2, 2), Rung(1, 2)], [Rung(0, 1)], [Rung(1, 0)]]
)
def test_no_ladders(rungs: list[Rung]) -> None:
    with pytest.raises(TflmOptError, match="rung"):
        halve("", lambda *_: 0.0, rungs)


@pytest.mark.parametrize(
    "bad", [{"candidates": 0}, {"epochs": 0}, {"factor": 1}, {"last": 0}, {"last": 5}]
)
def test_bad_plans(bad: dict[str, int]) -> None:
    with pytest.raises(TflmOptError, match="halving of"):
        plan(**{"candidates": 4, **bad})


@pytest.mark.tensorflow
def test_training_goes_on_from_where_it_was(tmp_path: Path) -> None:
    import numpy as np
    from test_nas_evaluate import net, stripes

    from tflm_opt.nas.data import checked
    from tflm_opt.nas.evaluate import TrainEvaluator
    from tflm_opt.nas.halving import Halving
    from tflm_opt.nas.recipe import Recipe

    data = checked(stripes(320), stripes(150, seed=1))
    evaluator = TrainEvaluator(data, Recipe(batch=32, rate=0.01))
    candidates = [{"filters": 2}, {"filters": 12}]

    def run(folder: Path) -> list[float]:
        halving = Halving(evaluator, lambda one: net(12, filters=one["filters"]), folder)
        return [accuracy for *_, accuracy in halve(candidates, halving.train_some, plan(2))]

    found = run(tmp_path / "a")
    assert found == run(tmp_path / "b")
    assert len(found) == 3
    best = int(found[1] > found[0])
    halving = Halving(evaluator, lambda one: net(12, filters=one["filters"]), tmp_path / "a")
    files = [halving.weights(candidates[best], n) for n in (1, 2)]
    with np.load(files[0]) as one, np.load(files[1]) as two:
        moved = [np.abs(one[name] - two[name]).max() for name in one.files]
        size = max(np.abs(one[name]).max() for name in one.files)
    assert 0 < max(moved) < size  # it went on, and did not begin anew
    with pytest.raises(FileNotFoundError):
        halving.train_some(candidates[1 - best], 2, 3)
