"""Searches with toy nets: what they find, in one process and in several, stopped and gone on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from toy import ToySpace

import tflm_opt.nas.search as searching
from tflm_opt.errors import SearchFailed
from tflm_opt.nas.study import Study
from tflm_opt.nas.trials import COMPLETE, FAILED, RUNNING, Trial

TRIALS = 16  # two generations
ALWAYS: dict[str, Any] = {
    "sram": 30_000,
    "flash": 20_000,
    "latency_ms": 400,
    "population": 8,
    "evaluator": "toy:logged",
    "pricer": "toy:price",
    "verbose": 0,
}
DRIVER = """
import json, resource, sys
from toy import ToySpace
from tflm_opt.nas.search import search
options = json.loads(sys.argv[1])
if size := options.pop("file_size", 0):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
search(space=ToySpace(), **options)
"""


@pytest.fixture(autouse=True)
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "log.txt"
    monkeypatch.setenv("TOY_LOG", str(path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(p for p in sys.path if p))
    return path


def search(directory: Path, **options: Any) -> Study:
    chosen = {**ALWAYS, "space": ToySpace(), "trials": TRIALS, **options}
    return searching.search(directory=directory, **chosen)


def start(directory: Path, **options: Any) -> subprocess.Popen[str]:
    """The same in a process and a process group of its own."""
    chosen = {**ALWAYS, "directory": str(directory), "trials": TRIALS, "workers": 1, **options}
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, json.dumps(chosen)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def record(study: Study) -> list[tuple[Any, ...]]:
    return [(t.number, t.key, t.state, t.accuracy, t.cost, t.rejected) for t in study.trials]


def evaluated(log: Path) -> list[str]:
    """Keys, in the order in which evaluations began."""
    return [line.split()[0] for line in log.read_text("utf-8").splitlines()]


def wait_for(count: int, log: Path) -> None:
    limit = time.monotonic() + 60
    while not log.exists() or len(evaluated(log)) < count:
        assert time.monotonic() < limit
        time.sleep(0.02)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Any, ...]]:
    """What one worker finds that nobody disturbs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOY_LOG", str(tmp_path_factory.mktemp("alone") / "log.txt"))
        return record(search(tmp_path_factory.mktemp("alone"), workers=0))


def test_a_search_in_one_process(tmp_path: Path, log: Path) -> None:
    seen: list[Trial] = []
    study = search(tmp_path / "s", workers=0, callbacks=[lambda study, trial: seen.append(trial)])
    assert [t.number for t in study.trials] == [t.number for t in seen] == list(range(TRIALS))
    assert len(set(evaluated(log))) == TRIALS
    assert study.best.accuracy == max(t.accuracy for t in seen if t.accuracy)
    front = study.pareto(("accuracy", "sram"))
    assert front[0].accuracy == study.best.accuracy
    sizes = [t.cost.sram for t in front if t.cost]
    assert sizes == sorted(sizes, reverse=True)
    assert not any(study.limits.broken(t.cost) for t in study.trials if t.cost)


def test_two_workers_find_what_one_does(
    tmp_path: Path, log: Path, alone: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY_SECONDS", "0.1")
    study = search(tmp_path / "s", workers=2)
    assert record(study) == alone
    assert len(evaluated(log)) == len(set(evaluated(log))) == TRIALS
    assert len({t.worker for t in study.trials}) == 2


def test_workers_share_the_pricing(
    tmp_path: Path, alone: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slots that hang on each other are looked for at the same time, each by its own worker."""
    prices = tmp_path / "prices.txt"
    monkeypatch.setenv("TOY_PRICES", str(prices))
    monkeypatch.setenv("TOY_SECONDS", "0.1")
    study = search(tmp_path / "s", workers=3, pricer="toy:priced")
    assert record(study) == alone
    lines = prices.read_text("utf-8").splitlines()
    asked = [line.split(" ", 2)[2] for line in lines if line.split()[1] != str(os.getpid())]
    assert len({line.split()[1] for line in lines}) >= 3
    assert len(asked) < 1.2 * len(set(asked))


def test_workers_that_die_cost_the_trial_in_flight_and_a_deadly_one_is_left(
    tmp_path: Path, log: Path, alone: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY_FATAL", "2,5,6,7 worker")
    study = search(tmp_path / "s", workers=1, trials=5)
    keys = evaluated(log)
    assert keys[1] == keys[2]  # again, and it went well
    assert keys[4] == keys[5] == keys[6] == study.trials[3].key
    assert "died, 3 times" in study.trials[3].error
    assert [t.state for t in study.trials] == [COMPLETE, COMPLETE, COMPLETE, FAILED, COMPLETE]
    assert [t.key for t in study.trials] == [row[1] for row in alone[:5]]
    assert len(keys) == 5 + 1 + 2


def test_a_search_that_was_killed_goes_on(
    tmp_path: Path, log: Path, alone: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY_FATAL", "11 worker parent")
    killed = start(tmp_path / "s")
    killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert len(Study(tmp_path / "s").complete) == 10
    monkeypatch.delenv("TOY_FATAL")
    assert record(search(tmp_path / "s", workers=0)) == alone
    assert len(evaluated(log)) == TRIALS + 1


def test_workers_end_when_the_search_was_killed(
    tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY_SECONDS", "0.2")
    killed = start(tmp_path / "s")
    wait_for(2, log)
    worker = int(log.read_text("utf-8").split()[1])
    killed.kill()
    killed.communicate(timeout=60)
    limit = time.monotonic() + 20
    while Path(f"/proc/{worker}").exists():
        assert time.monotonic() < limit
        time.sleep(0.02)
    assert not any(t.state == RUNNING for t in Study(tmp_path / "s").trials)


def test_ctrl_c_stops_workers_and_says_how_to_go_on(
    tmp_path: Path, log: Path, alone: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY_SECONDS", "0.2")
    running = start(tmp_path / "s", workers=2)
    wait_for(5, log)
    os.killpg(running.pid, signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode != 0
    assert f"To go on: tflm_opt.search(directory={str(tmp_path / 's')!r})" in said
    study = Study(tmp_path / "s")
    assert len(study.complete) == len(study.trials) >= 3
    monkeypatch.setenv("TOY_SECONDS", "0")
    assert record(search(tmp_path / "s", workers=0)) == alone
    assert len(evaluated(log)) <= TRIALS + 2


def test_a_failed_evaluation_is_recorded_and_the_search_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY_FAIL", "resolution=24")
    study = search(tmp_path / "s", workers=0)
    failed = [t for t in study.trials if t.state == FAILED]
    assert 0 < len(failed) < TRIALS
    assert {t.error for t in failed} == {"RuntimeError: can't do resolution"}
    assert {t.architecture["resolution"] for t in failed} == {24}


def test_where_all_evaluations_fail_the_search_ends_and_can_be_resumed(
    tmp_path: Path, alone: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY_FAIL", "all=")
    with pytest.raises(SearchFailed, match=r"all 3 evaluations failed.*can't do all") as caught:
        search(tmp_path / "s", workers=1)
    assert caught.value.reason == "evaluations"
    assert "can't do all" in (tmp_path / "s" / "log" / "worker0.txt").read_text("utf-8")
    monkeypatch.delenv("TOY_FAIL")
    assert record(search(tmp_path / "s", workers=0)) == alone


def test_a_full_disk_is_said_and_the_study_intact(
    tmp_path: Path, alone: list[tuple[Any, ...]]
) -> None:
    search(tmp_path / "s", workers=0, trials=2)
    room = (tmp_path / "s" / "study.db").stat().st_size + 4096
    running = start(tmp_path / "s", file_size=room)
    _, said = running.communicate(timeout=120)
    assert running.returncode != 0
    assert "is full: the study has every trial that was finished" in said
    before = len(Study(tmp_path / "s").complete)
    assert 2 <= before < TRIALS
    assert record(search(tmp_path / "s", workers=0)) == alone
