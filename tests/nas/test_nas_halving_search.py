"""Searches by successive halving: the same ladder whoever climbs it, each net counted once."""

from __future__ import annotations

import csv
import io
import shutil
import signal
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_nas_search import log as log
from test_nas_search import record, search, start
from toy import TinySpace

from tflm_opt.errors import TflmOptError
from tflm_opt.nas.study import Study
from tflm_opt.nas.trials import COMPLETE, FAILED

LADDER = {"options": {"halving": {}}, "trials": None}  # 8 nets: 8 + 4 + 2 + 1 trials
TRIALS = 15


def trained(log: Path) -> Counter[tuple[str, str]]:
    """Nets and epochs, and how often they were trained so."""
    lines = [line.split(" ") for line in log.read_text("utf-8").splitlines()]
    return Counter((key, epochs) for key, _, epochs in lines)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """What one worker finds that nobody disturbs."""
    path = tmp_path_factory.mktemp("alone")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOY_LOG", str(path / "log.txt"))
        return search(path / "s", workers=0, **LADDER)


def test_the_better_half_goes_on_and_counts_once(alone: Study) -> None:
    study, trials, log = alone, alone.trials, alone.directory.parent / "log.txt"
    assert [t.rung for t in trials] == [0] * 8 + [1] * 4 + [2] * 2 + [3]
    assert {t.generation for t in trials} == {0}
    for first, before, count in ((8, 0, 4), (12, 8, 2), (14, 12, 1)):
        best = sorted(trials[before:first], key=lambda t: (-(t.accuracy or 0), t.number))
        assert [t.key for t in trials[first : first + count]] == [t.key for t in best[:count]]
    assert set(trained(log).values()) == {1}
    assert Counter(epochs for _, epochs in trained(log)) == {
        "1": 8,
        "1+2": 4,
        "1+2+4": 2,
        "1+2+4+8": 1,
    }

    assert len(study.nets) == len({t.key for t in trials}) == 8
    assert all(t.number == max(s.number for s in trials if s.key == t.key) for t in study.nets)
    assert study.best == trials[14]
    for objectives in (("accuracy",), ("accuracy", "sram"), None):
        front = study.pareto(objectives)
        assert len({t.key for t in front}) == len(front)
        assert front[0] == study.best
    marks = [
        e for e in ElementTree.fromstring(study.plot()).iter() if "point" in e.get("class", "")
    ]
    assert len(marks) == 8
    assert "15 trials of 8 nets" in repr(study)
    rows = list(csv.DictReader(io.StringIO(study.to_csv())))
    assert [int(row["rung"]) for row in rows] == [t.rung for t in trials]


def test_a_net_that_gets_worse_on_a_later_rung_is_what_it_is_there(tmp_path: Path) -> None:
    how = {"options": {"halving": {"factor": 4}}, "trials": None, "evaluator": f"{__name__}:worse"}
    study = search(tmp_path / "s", workers=0, **how)
    assert [t.rung for t in study.trials] == [0] * 8 + [1] * 2 + [2]
    assert max(study.complete, key=lambda t: t.accuracy or 0).rung == 0
    assert study.best.rung == 0
    assert study.best.key not in {t.key for t in study.trials[8:]}


def worse(architecture: Any, net: Any, *, seed: int, epochs: tuple[int, ...]) -> float:
    return (0.5 + net.macs % 97 / 200) / len(epochs) ** 2


def test_two_workers_climb_the_ladder_of_one(
    tmp_path: Path, log: Path, alone: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY_SECONDS", "0.1")
    study = search(tmp_path / "s", workers=2, **LADDER)
    assert record(study) == record(alone)
    assert set(trained(log).values()) == {1}
    assert len({t.worker for t in study.trials}) == 2


def test_a_ladder_whose_climbers_were_killed_is_climbed_on(
    tmp_path: Path, log: Path, alone: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY_FATAL", "11 worker parent")  # on the second rung
    killed = start(tmp_path / "s", **LADDER)
    killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert len(Study(tmp_path / "s").complete) == 10
    monkeypatch.delenv("TOY_FATAL")
    assert record(search(tmp_path / "s", workers=0, **LADDER)) == record(alone)
    again = [once for once, count in trained(log).items() if count > 1]
    assert len(again) == 1
    assert sum(trained(log).values()) == TRIALS + 1


def test_failed_trainings_leave_their_places_to_newcomers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY_FAIL", "deep=1")
    study = search(tmp_path / "s", workers=0, **LADDER)
    assert len(study.trials) == TRIALS
    alive = sum(t.state == COMPLETE for t in study.trials[:8])
    assert alive < 4  # or the seed shows nothing
    begun = {t.key for t in study.trials[:8]}
    second = study.trials[8:12]
    assert [t.key in begun for t in second] == [True] * alive + [False] * (4 - alive)
    assert all(t.architecture["deep"] for t in study.trials if t.state == FAILED)


def test_a_ladder_of_a_space_with_fewer_nets(tmp_path: Path) -> None:
    how = {**LADDER, "space": TinySpace(), "trials": 50}
    study = search(tmp_path / "s", workers=0, **how)
    assert Counter(t.rung for t in study.complete) == {0: 6, 1: 4, 2: 2, 3: 1}
    assert len(study.nets) == 6
    assert len(search(tmp_path / "s", workers=0, **{**how, "trials": 60}).complete) == 13


def test_ladders_follow_each_other(tmp_path: Path) -> None:
    study = search(tmp_path / "s", workers=0, **{**LADDER, "trials": 17})
    assert [t.generation for t in study.trials] == [0] * TRIALS + [1] * 2
    assert len(study.nets) == 8 + 2
    study = search(tmp_path / "s", workers=0, **{**LADDER, "generations": 2})
    assert len(study.trials) == 2 * TRIALS
    assert len(study.nets) == 16
    assert study.trials[-1].rung == 3


@pytest.mark.parametrize(("trials", "population"), [(31, 16), (33, 17), (12, 7), (1000, 50)])
def test_as_many_begin_as_trials_are_enough_for(
    tmp_path: Path, trials: int, population: int
) -> None:
    how = {**LADDER, "trials": trials, "population": None, "minutes": 1e-9}
    assert search(tmp_path / "s", workers=0, **how).setup.population == population


def test_a_proxy_chooses_who_begins(tmp_path: Path) -> None:
    def macs(proxy: str, evaluator: str = "toy:Scored") -> tuple[float, list[int]]:
        how = {"halving": {"proxy": proxy, "drawn": 6}}
        study = search(
            tmp_path / (proxy or "none"), workers=0, options=how, trials=8, evaluator=evaluator
        )
        costs = [t.cost for t in study.trials if t.cost]
        sizes = [t.architecture["resolution"] for t in study.trials]
        return float(np.mean([cost.macs for cost in costs])), sizes

    plain, _ = macs("")
    most, _ = macs("macs")
    _, sizes = macs("naswot")  # this evaluator's score: small images; none for those of 24
    assert most > 1.2 * plain
    assert 24 not in sizes
    assert sizes.count(16) >= 6


@pytest.mark.tensorflow
def test_nets_are_trained_on_from_rung_to_rung(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from test_nas_evaluate import stripes

    import tflm_opt
    from tflm_opt.nas import finish
    from tflm_opt.nas.net import Net
    from tflm_opt.nas.recipe import accuracy
    from tflm_opt.nas.spaces import MobileNet, Stage

    def found(name: str, **options: Any) -> Study:
        space = MobileNet(
            (12, 12, 1), 3, (Stage(8, 1, (1,), (3,), (2,)),), width=(0.5, 1.0, 1.5, 2.0), stem=8
        )
        return tflm_opt.search(
            stripes(320),
            stripes(150, seed=1),
            space=space,
            sram="64KiB",
            directory=tmp_path / name,
            evaluator="halving",
            population=2,
            pricer="toy:price",
            workers=0,
            options={
                "training": {"batch": 32, "rate": 0.003},
                "halving": {"epochs": 1, "factor": 4, "proxy": "naswot", "drawn": 2},
                "processes": False,
            },
            verbose=0,
            **options,
        )

    study = found("a")
    assert [t.detail["epochs"] for t in study.trials] == [1, 1, 4]
    first, last = (t.accuracy for t in study.trials if t.key == study.trials[2].key)
    assert first is not None
    assert last is not None
    assert last >= max(first, 0.5)  # of three classes: it went on, and lost nothing
    kept = sorted(path.stem[-2:] for path in (tmp_path / "a" / "rungs").iterdir())
    assert kept == ["-1", "-1", "-4"]

    found("b", trials=2)
    shutil.rmtree(tmp_path / "b" / "rungs")  # what the last rung would go on from
    assert record(found("b", trials=3)) == record(study)

    asked: dict[str, Any] = {}
    monkeypatch.setattr(
        finish, "finish", lambda model, data, **o: asked.update(model=model, data=data, **o)
    )
    study.best.optimize(verbose=0)  # from where the last rung came to
    assert (asked["recipe"].epochs, asked["recipe"].batch) == (56, 32)
    data = asked["data"]
    assert accuracy(asked["model"], data.x_val, data.y_val) == study.best.accuracy
    shutil.rmtree(tmp_path / "a" / "rungs")
    study.best.optimize(verbose=0)  # from scratch
    assert isinstance(asked["model"], Net)
    assert asked["recipe"].epochs == 60


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"evaluator": "halving"}, "needs data"),
        ({"options": {"halving": {"rungs": 3}}}, "no setting 'rungs'"),
        ({"options": {"halving": {"last": 9}}}, "a population of at least 9"),
        ({"options": {"halving": {"proxy": "naswot"}}}, r"no score\(net, seed=\).*'macs'"),
        ({"options": {"halving": {}}, "evaluator": "train"}, "'train', which knows no rungs"),
        (
            {"options": {"training": {"epochs": 3}}, "evaluator": "halving"},
            "epochs of the first rung",
        ),
        ({"options": {"training": {"epoch": 3}}, "evaluator": "halving"}, "no setting 'epoch'"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_written(
    tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(TflmOptError, match=said):
        search(tmp_path / "s", workers=0, **options)
    assert not (tmp_path / "s").exists()
