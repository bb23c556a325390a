"""What a search does before its trials: a survey, and a supernet's training that is stopped."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from elastic_space import TinySpace
from test_nas_supernet import data

import tflm_opt.nas.search as searching
from tflm_opt.errors import TflmOptError
from tflm_opt.nas import Interrupted, Study
from tflm_opt.nas.spaces import MobileNet, Stage
from tflm_opt.progress import Silent


class Told(Silent):
    """Keeps what it is told; Ctrl-C where an epoch of a supernet ends, if that is asked for."""

    def __init__(self, *, stop: bool = False) -> None:
        self.steps: list[str] = []
        self.epochs: list[int] = []
        self.stop = stop

    def step(self, text: str) -> None:
        self.steps.append(text)

    def detail(self, done: int, total: int) -> None:
        if "supernet" in self.steps[-1]:
            self.epochs.append(done)
            if self.stop and done:  # within the training, not before it
                signal.raise_signal(signal.SIGINT)


def search(monkeypatch: pytest.MonkeyPatch, told: Told, **options: Any) -> Study:
    @contextmanager
    def reporter(verbose: int) -> Iterator[Told]:
        yield told

    monkeypatch.setattr(searching, "reporter", reporter)
    return searching.search(**{"pricer": "toy:price", "workers": 0, **options})


def test_a_survey_picks_a_width_and_a_resolution_and_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = MobileNet.default((32, 32, 1), 4)
    told, path = Told(), tmp_path / "s"
    asked: dict[str, Any] = {"space": family, "survey": True, "evaluator": "toy:guess"}
    study = search(monkeypatch, told, directory=path, sram=6_000, trials=3, **asked)
    assert isinstance(study.space, MobileNet)
    parts = {
        (w, r): part for (w, r), part in ((tuple(f.values()), p) for f, p in family.subspaces())
    }
    width, resolution = study.space.choices["width"], study.space.choices["resolution"]
    assert (len(width), len(resolution)) == (1, 1)
    assert study.space == parts[width[0], resolution[0]]
    assert len(parts) > 1
    for trial in study.complete:
        assert (trial.architecture["width"], trial.architecture["resolution"]) == (
            width[0],
            resolution[0],
        )
    said = f"width {width[0]}, resolution {resolution[0]}"
    assert f"searching nets of {said}" in told.steps
    kept = json.loads((path / "survey.json").read_text("utf-8"))
    assert kept["rows"][kept["chosen"]]["fixed"] == {"width": width[0], "resolution": resolution[0]}
    assert "<svg" in (path / "survey.svg").read_text("utf-8")
    assert study.setup.family == family.to_json()

    again = search(monkeypatch, told, directory=path, trials=4, **asked)  # no other survey
    assert told.steps.count(f"searching nets of {said}") == 1
    assert len(again.complete) == 4


@pytest.mark.tensorflow
# Of Keras's, on NumPy 2.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_ctrl_c_while_a_supernet_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {
        "train": data(96),
        "val": data(64, seed=1),
        "space": TinySpace(),
        "trials": 3,
        "population": 3,
        "options": {
            "supernet": {"epochs": 2, "batch": 32, "members": 3},
            "finals": {"nets": 0},
        },
    }

    def found(study: Study) -> list[tuple[str, float | None]]:
        return [(t.key, t.accuracy) for t in study.trials]

    told = Told(stop=True)
    with pytest.raises(Interrupted, match=r"after 0 trials. To go on") as stopped:
        search(monkeypatch, told, directory=tmp_path / "s", **asked)
    assert told.epochs == [0, 1]
    assert stopped.value.study.trials == []
    resumed = search(monkeypatch, Told(), directory=tmp_path / "s", trials=3)
    assert len(resumed.complete) == 3
    assert found(resumed) == found(search(monkeypatch, Told(), directory=tmp_path / "t", **asked))
    told = Told()
    search(monkeypatch, told, directory=tmp_path / "s", trials=4)
    assert told.epochs == []  # it is trained


@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("evaluator", ["train", "supernet"])
def test_nets_of_each_resolution_are_trained_and_one_is_chosen(
    evaluator: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stripes of four pixels: nothing is left of them at four pixels a side."""
    family = MobileNet(
        (16, 16, 1),
        4,
        (Stage(16, 1, (1, 2), (3,), (2, 3)),),
        width=(0.5, 2.0),
        resolution=(4, 16),
        stem=8,
    )
    told, path = Told(), tmp_path / "s"
    options = {"supernet": {"epochs": 1, "batch": 32}, "training": {"epochs": 1}}
    asked: dict[str, Any] = {
        "train": data(320),
        "val": data(64, seed=1),
        "space": family,
        "survey": True,
        "evaluator": evaluator,
        "population": 2,
        "trials": 2,
        "options": {**options, "survey": {"nets": 1, "epochs": 4}},
    }
    study = search(monkeypatch, told, directory=path, **asked)
    assert study.space.choices["resolution"] == (16,)
    assert study.space.choices["width"] == (2.0,)  # of which MACs decide
    kept = json.loads((path / "survey.json").read_text("utf-8"))
    low, high = (r for r in kept["rows"] if r["accuracies"])
    assert (low["fixed"]["resolution"], high["fixed"]["resolution"]) == (4, 16)
    assert low["accuracies"] < high["accuracies"]
    assert "training nets of width 2.0, resolution 4, 4 epochs" in told.steps
    assert "chosen" in (path / "survey.svg").read_text("utf-8")

    search(monkeypatch, told, directory=path, **{**asked, "trials": 3})  # goes on as it began
    assert told.steps.count("training nets of width 2.0, resolution 4, 4 epochs") == 1


def test_a_survey_that_makes_no_sense_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for options, message in (
        ({"survey": {"nets": -1}}, "nets = -1: a whole number from 0"),
        ({"survey": {"rounds": 1}}, "no setting 'rounds'; known are nets, epochs"),
    ):
        asked: dict[str, Any] = {"space": TinySpace(), "options": options, "trials": 1}
        with pytest.raises(TflmOptError, match=message):
            search(monkeypatch, Told(), directory=tmp_path / "s", evaluator="toy:guess", **asked)
        assert not (tmp_path / "s").exists()
