"""Finals: the best of each generation are asked about once more, and that decides."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from test_nas_halving_search import trained
from test_nas_search import log as log
from test_nas_search import record, search, start, wait_for
from toy import TinySpace, ToySpace, price

from tflm_opt.errors import TflmOptError
from tflm_opt.nas.evolution import Evolution, Rated
from tflm_opt.nas.finals import Finalists, Finals
from tflm_opt.nas.limits import Limits
from tflm_opt.nas.space import key, smallest
from tflm_opt.nas.study import Study, by_accuracy

NETS, EPOCHS = 2, 5
FINALS: dict[str, Any] = {"options": {"finals": {"nets": NETS, "epochs": EPOCHS}}, "trials": 20}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """What one worker finds that nobody disturbs: two generations of 8, and their finals."""
    path = tmp_path_factory.mktemp("alone")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOY_LOG", str(path / "log.txt"))
        return search(path / "s", workers=0, **FINALS)


def test_the_best_that_were_not_there_before_get_to_the_finals(alone: Study) -> None:
    trials = alone.trials
    assert [t.rung for t in trials] == ([0] * 8 + [1] * NETS) * 2
    assert [t.generation for t in trials] == [0] * 10 + [1] * 10
    asked = Counter(epochs for _, epochs in trained(alone.directory.parent / "log.txt").elements())
    assert asked == {"": 16, str(EPOCHS): 2 * NETS}
    before: set[str] = set()
    for first in (8, 18):
        met = [t for t in trials[:first] if not t.rung and t.key not in before]
        expected = [t.key for t in sorted(met, key=lambda t: (-(t.accuracy or 0), t.number))[:NETS]]
        assert [t.key for t in trials[first : first + NETS]] == expected
        before.update(expected)
    assert len(before) == 2 * NETS


def test_they_decide_what_is_best_and_nothing_else(alone: Study) -> None:
    finals = [t for t in alone.trials if t.rung]
    assert alone.best == alone.finalists[0] == min(finals, key=by_accuracy)
    assert sorted(t.number for t in alone.finalists) == [t.number for t in finals]
    assert len(alone.nets) == 16  # with the accuracies that all of them have
    assert not any(t.rung for t in [*alone.nets, *alone.pareto(("accuracy", "sram"))])
    assert f"{alone.best.accuracy:.4f}" in repr(alone)


def test_evolution_goes_on_as_without_them(alone: Study, tmp_path: Path, log: Path) -> None:
    without = search(tmp_path / "s", workers=0, trials=16)
    assert without.finalists == []
    nets = [(t.key, t.accuracy) for t in alone.trials if not t.rung]
    assert nets == [(t.key, t.accuracy) for t in without.trials]


def test_workers_that_are_killed_end_with_the_same(
    alone: Study, tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY_SECONDS", "0.05")
    monkeypatch.setenv("TOY_FATAL", "9 worker parent")  # in the first finals
    process = start(tmp_path / "s", **FINALS)
    process.communicate()
    wait_for(9, log)
    monkeypatch.delenv("TOY_FATAL")
    assert record(search(tmp_path / "s", workers=2, **FINALS)) == record(alone)


def test_a_net_that_fails_in_finals_isn_t_asked_again(
    alone: Study, tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import toy

    first = next(t for t in alone.trials if t.rung)

    def failing(architecture: Any, net: Any, *, seed: int, epochs: Any = ()) -> float:
        if epochs and architecture == first.architecture:
            raise RuntimeError("too large")
        return logged(architecture, net, seed=seed, epochs=epochs)

    logged = toy.logged
    monkeypatch.setattr(toy, "logged", failing)
    study = search(tmp_path / "s", workers=0, **FINALS)
    assert [t.key for t in study.trials] == [t.key for t in alone.trials]
    assert [t.number for t in study.trials if t.error] == [first.number]
    assert len(study.finalists) == 2 * NETS - 1


class ManyChoices(ToySpace):
    """With sixteen more choices, an eighth of all 22 is three."""

    def __init__(self) -> None:
        super().__init__()
        self.choices = {**self.choices, **{f"kernel{i}": (3, 5) for i in range(16)}}


def test_near_copies_get_to_the_finals_last() -> None:
    space = ManyChoices()

    def net(*others: int) -> dict[str, Any]:
        return {**smallest(space), **{f"kernel{i}": 5 for i in others}}

    best, copy, near, other, third = net(), net(1), net(1, 2), net(1, 2, 3), net(4, 5, 6)
    order = [best, copy, near, other, third]
    rated = [Rated(one, (-0.9 + 0.01 * i,), i) for i, one in enumerate(order)]
    draws = Evolution(space, price, Limits(), population=5, seed=0)

    def finalists(nets: int, slots: range, rated: list[Rated]) -> list[str | None]:
        finals = Finalists(draws, Finals(nets=nets))
        found = [finals.candidate(slot, rated, ()) for slot in slots]
        return [None if one is None else one.key for one in found]

    assert finalists(2, range(5, 7), rated) == [key(best), key(other)]
    assert finalists(4, range(5, 9), rated) == [key(n) for n in (best, other, third, copy)]
    assert finalists(6, range(5, 11), rated)[4:] == [key(near), None]
    # In the next generation: what was in the finals of the one before is near too.
    later = [Rated(net(4, 5), (-0.95,), 7), Rated(net(9, 10, 11, 12), (-0.8,), 8)]
    assert finalists(2, range(12, 14), rated + later) == [key(third), key(net(9, 10, 11, 12))]


def test_where_there_are_fewer_nets_than_places_some_stay_empty(tmp_path: Path, log: Path) -> None:
    study = search(
        tmp_path / "s",
        workers=0,
        space=TinySpace(),
        options={"finals": {"nets": 7}},
        trials=15,
    )
    assert 0 < len(study.nets) == len(study.finalists) < 7
    assert study.best in study.finalists


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"finals": {"nets": -1}}, "nets = -1: a whole number from 0"),
        ({"finals": {"epochs": 0}}, "epochs = 0: a whole number from 1"),
        ({"finals": {"rounds": 1}}, "no setting 'rounds'; known are nets, epochs"),
        ({"finals": 3}, "write a table"),
        ({"finals": {}, "halving": {}}, "from the beginning"),
    ],
)
def test_finals_that_make_no_sense_are_refused(
    options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(TflmOptError, match=message):
        search(tmp_path / "s", workers=0, options=options)
    assert not (tmp_path / "s").exists()
    if "halving" not in options:
        with pytest.raises(TflmOptError, match=message):
            Finals.from_json(options["finals"])


def test_no_finals(tmp_path: Path, log: Path) -> None:
    study = search(tmp_path / "s", workers=0, options={"finals": {"nets": 0}}, trials=8)
    assert study.setup.finals() is None
    assert not study.finalists
    assert isinstance(study.best.study, Study)


def test_a_net_keeps_its_price_in_the_finals(alone: Study) -> None:
    costs = {t.key: t.cost for t in alone.nets}
    assert all(t.cost == costs[t.key] for t in alone.finalists)
