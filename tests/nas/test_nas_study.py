"""A study's directory: what is refused, what is compared, and that refusing changes nothing."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from toy import TinySpace, ToySpace

import tflm_opt.nas.search as searching
from tflm_opt import nas
from tflm_opt.errors import NothingFits, StudyError, TflmOptError
from tflm_opt.nas import ledger as ledgers
from tflm_opt.nas.study import Study
from tflm_opt.nas.trials import COMPLETE, FAILED, OPEN, RUNNING, Slot, slots

SETTINGS: dict[str, Any] = {
    "space": ToySpace(),
    "sram": 30_000,
    "population": 4,
    "evaluator": "toy:accuracy",
    "pricer": "toy:price",
    "workers": 0,
    "verbose": 0,
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made") / "study"
    searching.search(directory=path, trials=6, **SETTINGS)
    return path


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "study"))


def digests(path: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in path.iterdir() if p.is_file()}


def test_a_study_is_loaded(made: Path) -> None:
    study = nas.load(made)
    assert [t.number for t in study.trials] == list(range(6))
    assert "6 trials" in repr(study)
    assert f"best {study.best.accuracy:.4f}" in repr(study)
    assert study.limits.sram == 30_000
    assert study.space.choices == ToySpace().choices


def test_the_table_has_every_trial_and_choice(made: Path) -> None:
    study = Study(made)
    rows = list(csv.DictReader(io.StringIO(study.to_csv())))
    assert [float(r["accuracy"]) for r in rows] == [t.accuracy for t in study.trials]
    assert [int(r["resolution"]) for r in rows] == [
        t.architecture["resolution"] for t in study.trials
    ]
    assert [int(r["sram"]) for r in rows] == [t.cost.sram for t in study.trials if t.cost]


@pytest.mark.parametrize("against", ["sram", "latency", "flash", "macs"])
def test_pictures_have_a_mark_for_each_trial(made: Path, against: str) -> None:
    study = Study(made)
    root = ElementTree.fromstring(study.plot(against))
    marks = [e for e in root.iter() if "point" in e.get("class", "")]
    front = [e for e in marks if "other" not in e.get("class", "")]
    assert len(marks) == 6
    assert len(front) == len(study.pareto(("accuracy", against)))
    places = {(float(e.get("cx", 0)), float(e.get("cy", 0))) for e in marks}
    assert all(64 <= x <= 680 and 44 <= y <= 342 for x, y in places)


def test_what_can_not_be_plotted_or_compared_is_refused(made: Path) -> None:
    study = Study(made)
    with pytest.raises(TflmOptError, match="not 'power'"):
        study.plot("power")
    with pytest.raises(TflmOptError, match="'power' is not one of"):
        study.pareto(("accuracy", "power"))
    with pytest.raises(TflmOptError, match="name 'accuracy' first"):
        study.pareto(("sram",))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sram": 20_000}, "limits with sram = 30000, and 20000 was asked"),
        ({"seed": 1}, "seed = 0, and 1 was asked"),
        ({"board": "nucleo_f446re"}, "and 'nucleo_f446re' was asked"),
        ({"population": 8}, "population = 4, and 8 was asked"),
        ({"evaluator": "toy:logged"}, "evaluator = 'toy:accuracy'"),
        ({"objectives": ("accuracy",)}, "objectives"),
        ({"space": SimpleNamespace(to_json=lambda: {"kind": "toy:Other"})}, "the space with kind"),
    ],
)
def test_a_study_with_other_settings_is_refused(
    made: Path, change: dict[str, Any], said: str
) -> None:
    before = digests(made)
    with pytest.raises(StudyError, match=said):
        searching.search(directory=made, **{**SETTINGS, **change})
    assert digests(made) == before


def test_other_data_are_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    train, val = [(rng.random((40, 8, 8, 1), np.float32), np.arange(40) % 2) for _ in range(2)]
    searching.search(train, val, directory=tmp_path / "s", trials=1, **SETTINGS)
    searching.search(train, val, directory=tmp_path / "s", trials=2, **SETTINGS)
    with pytest.raises(StudyError, match="other data"):
        searching.search(val, train, directory=tmp_path / "s", trials=3, **SETTINGS)
    assert len(Study(tmp_path / "s").trials) == 2


def test_goes_on(copy: Path) -> None:
    first = [t.key for t in Study(copy).trials]
    study = searching.search(directory=copy, trials=8, workers=0, verbose=0)
    assert [t.key for t in study.trials][:6] == first
    assert len(study.trials) == 8
    again = searching.search(directory=copy, workers=0, verbose=0)
    assert len(again.trials) == 8


def test_a_worker_by_hand(copy: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, "-m", "tflm_opt.nas.worker", str(copy)]
    done = subprocess.run([*command, "--trials", "8"], env=environment, check=True)
    assert done.returncode == 0
    assert [t.state for t in Study(copy).trials] == [COMPLETE] * 8
    edited(copy, lambda data: data.update(seed=5))
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "changed by hand" in done.stderr
    assert "Traceback" not in done.stderr


def test_trials_can_be_in_a_database_elsewhere(
    tmp_path: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRIALS_FOLDER", str(tmp_path))
    url = "sqlite:///$TRIALS_FOLDER/trials.db"
    for name in ("one", "other"):
        study = searching.search(directory=tmp_path / name, storage=url, trials=6, **SETTINGS)
        assert [t.key for t in study.trials] == [t.key for t in Study(made).trials]
    assert (tmp_path / "trials.db").exists()
    assert not (tmp_path / "one" / "study.db").exists()
    monkeypatch.setenv("TRIALS_FOLDER", str(tmp_path / "nowhere"))
    with pytest.raises(StudyError, match="database can't be used"):
        Study(tmp_path / "one")


def edited(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    data = json.loads((path / "study.json").read_text("utf-8"))
    change(data)
    (path / "study.json").write_text(json.dumps(data), "utf-8")


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda p: (p / "study.json").write_text("{", "utf-8"), "study.json can't be read"),
        (lambda p: (p / "study.json").write_text("[]", "utf-8"), "not one that a search wrote"),
        (lambda p: edited(p, lambda d: d.update(format=9)), "of format 9.*reads format 3"),
        (lambda p: edited(p, lambda d: d.update(seed=9)), "changed by hand"),
        (lambda p: edited(p, lambda d: d.pop("space")), "damaged"),
        (lambda p: edited(p, lambda d: d.update(limits={"ram": 1})), "damaged"),
        (lambda p: edited(p, lambda d: d.update(name="other")), "has no study 'other'"),
        (lambda p: (p / "study.db").write_bytes(b"no database at all" * 99), "can't be used"),
        (lambda p: (p / "study.db").unlink(), "no study.db"),
    ],
)
def test_a_damaged_study_is_refused(copy: Path, break_it: Callable[[Path], Any], said: str) -> None:
    break_it(copy)
    before = digests(copy)
    with pytest.raises(StudyError, match=said):
        nas.load(copy)
    assert digests(copy) == before


def test_a_space_of_another_version_is_refused(copy: Path) -> None:
    with pytest.raises(StudyError, match=r"its space can't be made.*no_such_module"):
        searching.search(
            directory=copy.parent / "other",
            **{**SETTINGS, "space": SimpleNamespace(to_json=lambda: {"kind": "no_such_module:X"})},
        )
    assert not (copy.parent / "other").exists()


def test_a_directory_of_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("all my work", "utf-8")
    with pytest.raises(StudyError, match=r"holds 'thesis.tex' and no study.json"):
        searching.search(directory=tmp_path, **SETTINGS)
    with pytest.raises(StudyError, match="is a file"):
        searching.search(directory=tmp_path / "thesis.tex", **SETTINGS)
    with pytest.raises(StudyError, match=r"holds no study.json"):
        nas.load(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_limits_that_nothing_fits_leave_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(NothingFits, match=r"the limit is 1,000, the least found 2,848.*binds"):
        searching.search(directory=tmp_path / "s", **{**SETTINGS, "sram": 1000})
    assert not (tmp_path / "s").exists()


def supernet(**training: Any) -> dict[str, Any]:
    return {"evaluator": "supernet", "options": {"supernet": training}}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"workers": -1}, "workers is -1"),
        ({"population": 1}, "population is 1"),
        ({"trials": 0}, "trials is 0"),
        ({"minutes": 0}, "minutes is 0"),
        ({"generations": 1.5}, "generations is 1.5"),
        ({"objectives": ("sram",)}, "name 'accuracy' first"),
        ({"sram": "lots"}, "'lots' is not a positive number of bytes"),
        ({"board": "arduino_due_x"}, "unknown board"),
        ({"input": "wireless"}, "input 'wireless' is not one of"),
        ({"evaluator": "guess"}, "'guess' is not one of supernet, train"),
        ({"evaluator": "train"}, "needs data"),
        (supernet(epoch=3), "has no setting 'epoch'; known are augment, "),
        (supernet(epochs=0), "epochs and batch are at least 1"),
        (supernet(epochs="3"), "no supernet can be had"),
        (supernet(augment=["shift", "rotate"]), "'rotate' is not one of shift, flip"),
        ({"evaluator": "supernet", "options": {"supernet": 5}}, "a table of settings, not 5"),
        (supernet(augment=5), "augmentation 5 is not one of shift, flip"),
        ({"evaluator": "toy:no_such"}, "can't be imported"),
        ({"pricer": "toy:no_such"}, "can't be imported"),
        ({"space": None}, "needs a space"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_written(
    tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(TflmOptError, match=said):
        searching.search(directory=tmp_path / "s", **{**SETTINGS, **options})
    assert not (tmp_path / "s").exists()


# What Optuna's trials mean, as a table: number, state, attributes.


def stored(*rows: tuple[str, dict[str, Any]]) -> list[Any]:
    return [
        SimpleNamespace(number=i, state=SimpleNamespace(name=state), user_attrs=attributes)
        for i, (state, attributes) in enumerate(rows)
    ]


def seen(found: list[Slot]) -> list[tuple[int, str, int]]:
    return [(s.trial.number, s.state, s.deaths) for s in found]


def test_retries_move_no_slot() -> None:
    found = slots(
        stored(
            ("COMPLETE", {}),
            ("FAIL", {}),
            ("RUNNING", {}),
            ("FAIL", {"retry_of": 1, "released": True}),
            ("RUNNING", {}),
            ("COMPLETE", {"retry_of": 3}),
            ("FAIL", {"error": "no"}),
        )
    )
    assert seen(found) == [
        (0, COMPLETE, 0),
        (5, COMPLETE, 1),
        (2, RUNNING, 0),
        (4, RUNNING, 0),
        (6, FAILED, 0),
    ]


def test_the_first_of_two_retries_counts_and_none_of_a_finished_trial() -> None:
    found = slots(
        stored(
            ("FAIL", {}),
            ("RUNNING", {"retry_of": 0}),
            ("COMPLETE", {"retry_of": 0}),
            ("COMPLETE", {}),
            ("RUNNING", {"retry_of": 3}),
        )
    )
    assert seen(found) == [(1, RUNNING, 1), (3, COMPLETE, 0)]


def test_failures_that_are_forgiven_are_open() -> None:
    rows = stored(("FAIL", {"error": "no"}), ("FAIL", {"error": "no"}))
    assert seen(slots(rows)) == [(0, FAILED, 0), (1, FAILED, 0)]
    assert seen(slots(rows, forgiven=0)) == [(0, OPEN, 0), (1, FAILED, 0)]


@pytest.fixture
def ledger(copy: Path) -> ledgers.Ledger:
    setup = Study(copy).setup
    return ledgers.Ledger(setup.database(copy), setup.name, str(copy))


def test_two_that_want_one_stale_slot(ledger: ledgers.Ledger, copy: Path) -> None:
    claim = ledger.claim()
    assert claim.slot == 6
    assert not ledger.stale(ledger.slots()[6])
    ledgers._at_work.clear()  # as if whoever claimed it were gone
    setup = Study(copy).setup
    other = ledgers.Ledger(setup.database(copy), setup.name, str(copy))
    mine, theirs = ledger.slots()[6], other.slots()[6]
    assert ledger.stale(mine)
    assert other.stale(theirs)
    won = other.retry(theirs)
    assert won is not None
    assert won.slot == 6
    assert ledger.retry(mine) is None
    assert not ledger.complete(claim, [0.5, 1, 1], {"accuracy": 0.5})  # it was taken away
    assert other.complete(won, [0.6, 1, 1], {"accuracy": 0.6})
    slot = ledger.slots()[6]
    assert slot.state == COMPLETE
    assert slot.trial.user_attrs["result"]["accuracy"] == 0.6
    assert ledger.claim().slot == 7


def test_a_worker_on_another_machine_is_dead_when_it_goes_silent(
    ledger: ledgers.Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = ledgers.here()
    with monkeypatch.context() as patch:
        patch.setattr(ledgers, "here", lambda: {**here, "host": "elsewhere"})
        claim = ledger.claim()
    assert not ledger.stale(ledger.slots()[6])
    now = time.monotonic()
    monkeypatch.setattr(ledgers.time, "monotonic", lambda: now + ledgers.SILENCE - 1)
    assert not ledger.stale(ledger.slots()[6])
    ledger._set(claim, "beat", 1)
    monkeypatch.setattr(ledgers.time, "monotonic", lambda: now + 2 * ledgers.SILENCE - 2)
    assert not ledger.stale(ledger.slots()[6])
    monkeypatch.setattr(ledgers.time, "monotonic", lambda: now + 3 * ledgers.SILENCE)
    assert ledger.stale(ledger.slots()[6])


def test_a_claim_shows_signs_of_life(
    ledger: ledgers.Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledgers, "BEAT", 0.02)
    claim = ledger.claim()
    with ledger.beating(claim):
        limit = time.monotonic() + 20
        while ledger.slots()[6].trial.user_attrs.get("beat", 0) < 2:
            assert time.monotonic() < limit
            time.sleep(0.02)


def test_a_trial_is_finished_under_its_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tflm_opt.nas import finish

    rng = np.random.default_rng(0)
    train, val = [(rng.random((40, 8, 8, 1), np.float32), np.arange(40) % 2) for _ in range(2)]
    study = searching.search(
        train, val, directory=tmp_path / "2 dogs", trials=3, seed=7, **{**SETTINGS, "flash": "64kB"}
    )
    asked: dict[str, Any] = {}

    def finished(model: Any, data: Any, **options: Any) -> str:
        asked.update(options, model=model, data=data)
        return "result"

    monkeypatch.setattr(finish, "finish", finished)
    best = study.best
    assert best.optimize(epochs=4, qat=True, verbose=0) == "result"
    assert asked["model"] == study.space.net(best.architecture)
    assert (asked["data"].x_train == train[0]).all()
    assert (asked["sram"], asked["flash"], asked["seed"]) == (30_000, 64_000, 7)
    assert asked["recipe"].epochs == 4
    assert asked["qat"]
    assert asked["name"] is None  # "2_dogs" is no name in C
    assert asked["directory"] == tmp_path / "2 dogs" / "best"
    other = next(t for t in study.trials if t != best)
    other.optimize(verbose=0)
    assert asked["directory"] == tmp_path / "2 dogs" / f"trial{other.number}"


def test_a_search_without_data_can_not_be_finished(made: Path) -> None:
    with pytest.raises(TflmOptError, match="had no data to train on"):
        Study(made).best.optimize()


def test_a_search_ends_when_the_space_does(tmp_path: Path) -> None:
    options = {**SETTINGS, "space": TinySpace()}
    study = searching.search(directory=tmp_path / "s", trials=50, **options)
    assert len({t.key for t in study.trials if t.state == COMPLETE}) == len(study.trials) == 6
    assert len(searching.search(directory=tmp_path / "s", workers=0).trials) == 6
    assert "failed" not in repr(study)


@pytest.mark.parametrize("name", ["100% {new}", "what?mode=ro", "ünder#way"])
def test_directories_may_be_called_anything(tmp_path: Path, name: str) -> None:
    searching.search(directory=tmp_path / name, trials=1, **SETTINGS)
    assert len(nas.load(tmp_path / name).complete) == 1
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_a_url_that_is_none_is_said(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="database"):
        searching.search(directory=tmp_path / "s", storage="my{database", **SETTINGS)
    study = searching.search(directory=tmp_path / "s", storage="", trials=1, workers=0)
    assert len(study.trials) == 1


def test_minutes_end_a_search(tmp_path: Path) -> None:
    study = searching.search(directory=tmp_path / "s", minutes=1e-9, **SETTINGS)
    assert study.trials == []
    assert study.pareto() == []
    with pytest.raises(TflmOptError, match="no trial is complete yet"):
        _ = study.best
    assert ElementTree.fromstring(study.plot()).tag.endswith("svg")
    assert len(searching.search(directory=tmp_path / "s", generations=1, workers=0).trials) == 4
