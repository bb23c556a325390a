"""Successive halving: what ladders are, who goes on, and that training goes on where it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy import ToySpace, price

from tflm_opt.errors import TflmOptError
from tflm_opt.nas import Limits
from tflm_opt.nas.evolution import Candidate, Evolution, Rated
from tflm_opt.nas.generations import Generations
from tflm_opt.nas.halving import Halving, Rung, total_epochs
from tflm_opt.nas.ladder import Ladder, Score


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
def test_ladders(candidates: int, how: dict[str, Any], rungs: list[tuple[int, int]]) -> None:
    assert Halving(**how).rungs(candidates) == tuple(Rung(*rung) for rung in rungs)


def test_what_a_ladder_costs() -> None:
    assert total_epochs(Halving().rungs(8)) == 8 * 1 + 4 * 1 + 2 * 2 + 1 * 4


@given(st.integers(1, 300), st.integers(2, 4), st.integers(1, 3))
def test_as_many_begin_as_let_a_ladder_end(trials: int, factor: int, last: int) -> None:
    how = Halving(factor=factor, last=last)
    found = how.population(trials)
    sizes = [sum(r.keep for r in how.rungs(n)) for n in (found, found + 1)]
    assert sizes[1] > trials
    assert sizes[0] <= trials or found == last


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"epochs": 0}, "epochs = 0"),
        ({"epochs": 1.5}, "epochs = 1.5"),
        ({"factor": 1}, "factor = 1"),
        ({"last": True}, "last = True"),
        ({"drawn": 0}, "drawn = 0"),
        ({"proxy": "zen"}, "'zen' is not one of grad_norm, synflow, naswot"),
        ({"epoch": 1}, "no setting 'epoch'; known are epochs"),
        (3, "write a table"),
    ],
)
def test_bad_settings(bad: Any, said: str) -> None:
    with pytest.raises(TflmOptError, match=said):
        Halving.from_json(bad)


def test_more_left_than_begin() -> None:
    with pytest.raises(TflmOptError, match="a population of at least 5"):
        Halving(last=5).rungs(4)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.integers(0, 40))
def test_slots_of_rungs_follow_each_other(rungs: list[int], slot: int) -> None:
    slots = Generations(tuple(rungs))
    listed = [(g, r) for g in range(slot + 1) for r, size in enumerate(rungs) for _ in range(size)]
    assert (slots.of(slot), slots.rung(slot)) == listed[slot]
    assert slots.first(slot) == listed.index(listed[slot])
    assert slots.begins(slot) == (slots.first(slot) == slot and slots.rung(slot) == 0)


# Which nets climb: worth is what each slot's training finds, None a failure.

HOW = Halving(epochs=2)
SLOTS = Generations((8, 4, 2, 1))


def ladder(score: Score | None = None, drawn: int = 1) -> Ladder:
    draws = Evolution(ToySpace(), price, Limits(sram=30_000), population=8, seed=0)
    return Ladder(draws, HOW.rungs(8), score=score, drawn=drawn)


def climbed(one: Ladder, worth: list[float | None]) -> list[Candidate]:
    found: list[Candidate] = []
    for slot in range(len(worth)):
        known = zip(found[: SLOTS.first(slot)], worth, strict=False)
        rated = [Rated(c.architecture, (-w,), i) for i, (c, w) in enumerate(known) if w is not None]
        candidate = one.candidate(slot, rated, {c.key for c in found})
        assert candidate is not None
        found.append(candidate)
    return found


@given(st.lists(st.sampled_from([0.1, 0.2, 0.3, None]), min_size=30, max_size=30))
def test_the_best_go_on_and_newcomers_take_what_is_left(worth: list[float | None]) -> None:
    found = climbed(ladder(), worth)
    for slot, candidate in enumerate(found):
        rung, first = SLOTS.rung(slot), SLOTS.first(slot)
        assert candidate.epochs == tuple(r.epochs for r in HOW.rungs(8)[: rung + 1])
        before = range(first - SLOTS.rungs[rung - 1], first) if rung else range(0)
        alive = [i for i in before if worth[i] is not None]
        best = [found[i].key for i in sorted(alive, key=lambda i: (-(worth[i] or 0), i))]
        if slot - first < len(best):
            assert candidate.key == best[slot - first]
        else:
            assert candidate.key not in {c.key for c in found[:slot]}


def test_a_score_chooses_who_begins() -> None:
    plain = climbed(ladder(), [0.5] * 8)
    chosen = climbed(ladder(lambda c: c.cost.macs, drawn=4), [0.5] * 8)
    assert np.mean([c.cost.macs for c in chosen]) > 1.2 * np.mean([c.cost.macs for c in plain])
    assert climbed(ladder(lambda c: c.cost.macs, drawn=1), [0.5] * 8) == plain


def test_a_score_that_can_not_be_had_is_the_least() -> None:
    def score(candidate: Candidate) -> float:
        if candidate.architecture["resolution"] == 32:
            raise RuntimeError("no")
        return float("nan") if candidate.architecture["resolution"] == 24 else 0.0

    found = climbed(ladder(score, drawn=12), [0.5] * 8)
    assert {c.architecture["resolution"] for c in found} == {16}


@pytest.mark.tensorflow
def test_training_goes_on_from_where_it_was(tmp_path: Path) -> None:
    from test_nas_evaluate import net, stripes

    from tflm_opt.nas.climb import ClimbEvaluator, weights_file
    from tflm_opt.nas.data import checked
    from tflm_opt.nas.evaluate import TrainEvaluator
    from tflm_opt.nas.recipe import Recipe

    data = checked(stripes(320), stripes(150, seed=1))
    trainer = TrainEvaluator(data, Recipe(batch=32, rate=0.01))
    one = {"filters": 4}

    def climb(folder: str, *epochs: int) -> tuple[float, dict[str, np.ndarray]]:
        evaluator = ClimbEvaluator(trainer, tmp_path / folder)
        found = evaluator.evaluate(one, net(12, filters=4), seed=0, epochs=epochs)
        assert found.detail == {"epochs": epochs[-1]}
        with np.load(weights_file(tmp_path / folder, one, epochs[-1])) as file:
            return found.accuracy, {name: file[name] for name in file.files}

    _, first = climb("a", 1)
    accuracy, second = climb("a", 1, 2)
    moved = [np.abs(first[name] - second[name]).max() for name in first]
    assert 0 < max(moved) < max(np.abs(value).max() for value in first.values())  # not anew

    kept = sorted((tmp_path / "a").iterdir())
    assert [path.stem[-2:] for path in kept] == ["-1", "-2"]
    written = kept[1].stat().st_mtime_ns
    assert climb("a", 1, 2)[0] == accuracy  # as after a worker's death: there is nothing to train
    assert kept[1].stat().st_mtime_ns == written

    kept[0].unlink()
    kept[1].write_bytes(b"PK, and then nothing")
    again, anew = climb("a", 1, 2)
    assert again == accuracy
    assert all((anew[name] == second[name]).all() for name in second)


@pytest.mark.tensorflow
def test_training_that_breaks_down_climbs_no_further(tmp_path: Path) -> None:
    from test_nas_evaluate import net, stripes

    from tflm_opt.nas.climb import ClimbEvaluator
    from tflm_opt.nas.data import checked
    from tflm_opt.nas.evaluate import TrainEvaluator
    from tflm_opt.nas.recipe import Recipe

    data = checked(stripes(64), stripes(30, seed=1))
    evaluator = ClimbEvaluator(
        TrainEvaluator(data, Recipe(rate=1e38, batch=8)), tmp_path, proxy="naswot"
    )
    broken = evaluator.evaluate({}, net(6, activation=""), seed=0, epochs=(2, 4))
    assert (broken.accuracy, broken.detail) == (0.0, {"diverged": True, "epochs": 2})
    assert list(tmp_path.iterdir()) == []
    wide, narrow = (evaluator.score(net(6, filters=n), seed=0) for n in (16, 2))
    assert wide > narrow
