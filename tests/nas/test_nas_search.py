"""Searches with toy nets: what they find, in one process and in several, stopped and gone on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from toy import ToySpace

import tflm_opt.nas.search as searching
from tflm_opt.nas.study import Study
from tflm_opt.nas.trials import Trial

ALWAYS: dict[str, Any] = {
    "space": ToySpace(),
    "sram": 30_000,
    "flash": 20_000,
    "latency_ms": 400,
    "population": 8,
    "evaluator": "toy:logged",
    "pricer": "toy:price",
    "verbose": 0,
}


@pytest.fixture(autouse=True)
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "log.txt"
    monkeypatch.setenv("TOY_LOG", str(path))
    return path


def search(directory: Path, **options: Any) -> Study:
    return searching.search(directory=directory, **{**ALWAYS, **options})


def record(study: Study) -> list[tuple[Any, ...]]:
    return [(t.number, t.key, t.state, t.accuracy, t.cost, t.rejected) for t in study.trials]


def evaluated(log: Path) -> list[str]:
    """Keys, in the order in which evaluations began."""
    return [line.split()[0] for line in log.read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Any, ...]]:
    """What one worker finds that nobody disturbs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOY_LOG", str(tmp_path_factory.mktemp("alone") / "log.txt"))
        return record(search(tmp_path_factory.mktemp("alone"), trials=24, workers=0))


def test_a_search_in_one_process(tmp_path: Path, log: Path) -> None:
    seen: list[Trial] = []
    study = search(
        tmp_path / "s", trials=24, workers=0, callbacks=[lambda study, trial: seen.append(trial)]
    )
    assert [t.number for t in study.trials] == [t.number for t in seen] == list(range(24))
    assert len(set(evaluated(log))) == 24
    assert study.best.accuracy == max(t.accuracy for t in seen if t.accuracy)
    front = study.pareto(("accuracy", "sram"))
    assert front[0].accuracy == study.best.accuracy
    assert [t.cost.sram for t in front if t.cost] == sorted(
        (t.cost.sram for t in front if t.cost), reverse=True
    )


def test_two_workers_find_what_one_does(
    tmp_path: Path, log: Path, alone: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY_SECONDS", "0.03")
    study = search(tmp_path / "s", trials=24, workers=2)
    assert record(study) == alone
    assert len(evaluated(log)) == len(set(evaluated(log))) == 24
    assert len({t.worker for t in study.trials}) == 2
