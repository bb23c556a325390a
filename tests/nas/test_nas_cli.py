"""`tflm-opt search` and `study`, as scripts see them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tflm_opt import nas
from tflm_opt.cli import cli
from tflm_opt.errors import TflmOptError
from tflm_opt.nas import Trial, config
from tflm_opt.nas.search import search
from tflm_opt.nas.spaces import ResNet

HERE = Path(__file__).parent

TEXT = """
[data]
train = "train.npz"
val = "val.npz"

[limits]
board = "disco_f746ng"
sram = 30_000
latency_ms = 200

[search]
directory = "faces"
trials = 6
population = 4
workers = 1
evaluator = "toy:accuracy"
pricer = "toy:price"

[space]
kind = "toy:ToySpace"
"""


def run(*arguments: object, status: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tflm_opt", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def file(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("train", "val"):
        np.savez(tmp_path / name, x=rng.random((20, 8, 8, 1), np.float32), y=np.arange(20) % 2)
    path = tmp_path / "faces.toml"
    path.write_text(TEXT)
    return path


def test_search_from_a_file(file: Path) -> None:
    done = run("search", file, "-q")
    assert "6 trials" in done.stdout
    directory = file.parent / "faces"
    more = json.loads(
        run("search", directory, "--minutes", "60", "--trials", 8, "-q", "--json").stdout
    )
    assert [trial["state"] for trial in more["trials"]] == ["complete"] * 8
    accuracies = [trial["accuracy"] for trial in more["trials"]]
    assert accuracies[more["best"]] == max(accuracies)
    assert more["best"] in more["front"]

    picture = file.parent / "front.svg"
    assert run("study", directory, "--plot", picture).stdout == ""
    assert picture.read_text().startswith("<svg")
    rows = run("study", directory, "--csv").stdout.splitlines()
    assert len(rows) == 1 + 8
    assert json.loads(run("study", directory, "--json").stdout)["trials"] == more["trials"]


def test_the_best_net_is_finished(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, object]] = []

    def optimize(trial: Trial, **options: object) -> str:
        asked.append({"number": trial.number, **options})
        return "what ships"

    monkeypatch.setattr(Trial, "optimize", optimize)
    monkeypatch.syspath_prepend(HERE)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), *sys.path]))
    file.write_text(TEXT + "\n[finish]\nepochs = 30\n")
    done = CliRunner().invoke(cli, ["search", str(file), "-q"])
    assert done.exit_code == 0, done.output
    best = nas.load(file.parent / "faces").best
    assert asked == [{"number": best.number, "epochs": 30, "verbose": 0}]
    assert "what ships" in done.output


def test_interrupted(file: Path) -> None:
    file.write_text(file.read_text().replace("toy:accuracy", "toy:logged"))
    (file.parent / "log").touch()
    toy = {"TOY_LOG": str(file.parent / "log"), "TOY_SECONDS": "0.5"}
    path = os.pathsep.join([str(HERE), *sys.path])
    begun = subprocess.Popen(
        [sys.executable, "-m", "tflm_opt", "search", str(file), "--trials", "500", "-q"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **toy, "PYTHONPATH": path},
    )
    while (file.parent / "log").stat().st_size < 40:  # two evaluations have begun
        assert begun.poll() is None
        time.sleep(0.1)
    begun.send_signal(signal.SIGINT)
    _, said = begun.communicate(timeout=60)
    assert begun.returncode == 130
    assert f"trials; `tflm-opt search {file}` goes on" in said


def test_a_study_that_is_none(tmp_path: Path) -> None:
    for command in ("study", "search"):
        assert str(tmp_path) in run(command, tmp_path, status=2).stderr


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("sram", "ram", "[limits] has no 'ram'"),
        ("trials", "trails", "did you mean trials?"),
        ("[search]", "[serach]", "did you mean search?"),
        ('val = "val.npz"', "", "[data] needs train and val"),
        ('kind = "toy:ToySpace"', 'kind = "mobilnet"', "did you mean 'mobilenet'?"),
        ("trials = 6", "trials = ", "is no TOML"),
        ("[data]", "finish = 3\n[data]", "finish is a table"),
        ("[space]", "[finish]\nepoch = 3\n[space]", "did you mean epochs?"),
    ],
)
def test_words_that_nobody_reads(file: Path, old: str, new: str, said: str) -> None:
    assert old in TEXT
    file.write_text(TEXT.replace(old, new, 1))
    with pytest.raises(TflmOptError) as raised:
        config.read(file)
    assert said in str(raised.value)
    assert str(file) in str(raised.value)


def test_data_files_that_are_none(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(HERE)
    read = config.read(file)
    (x, y), _ = read.arrays()
    assert x.shape == (20, 8, 8, 1)
    assert y.shape == (20,)
    path = file.parent / "val.npz"
    np.savez(path, images=x)
    with pytest.raises(TflmOptError, match=r"val\.npz has no array .*x"):
        read.arrays()
    path.write_bytes(b"PK, and then nothing")
    with pytest.raises(TflmOptError, match=r"val\.npz: no \.npz file"):
        read.arrays()
    path.unlink()
    with pytest.raises(TflmOptError, match=r"val\.npz: No such file"):
        read.arrays()


PARTIAL = TEXT.replace('kind = "toy:ToySpace"', 'kind = "resnet"\nwidth = [0.5]')


def test_a_space_of_which_only_some_is_said(file: Path) -> None:
    file.write_text(PARTIAL)
    space = config.read(file).arguments()["space"]
    default = ResNet.default((8, 8, 1), 2)
    assert space.to_json() == {**default.to_json(), "width": [0.5]}
    assert default.to_json()["width"] != [0.5]
    file.write_text(PARTIAL.replace("[0.5]", "0.5"))
    with pytest.raises(TflmOptError, match=r"faces\.toml: \[space\]: .*width"):
        config.read(file).arguments()
    file.write_text(PARTIAL.replace("width", "widht"))
    with pytest.raises(TflmOptError, match=r"faces\.toml: \[space\]: .*widht"):
        config.read(file).arguments()


def test_a_search_of_a_space_of_which_only_some_is_said_goes_on(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(HERE)
    file.write_text(
        PARTIAL.replace("toy:accuracy", "toy:guess").replace("workers = 1", "workers = 0")
    )
    for trials in (2, 3):
        asked = {**config.read(file).arguments(), "trials": trials, "verbose": 0}
        study = search(**asked)
        assert len(study.complete) == trials
    assert {t.architecture["width"] for t in study.trials} == {0.5}


HALVED = """
[search.options.halving]
epochs = 2
factor = 4
"""


def test_halving_from_a_file(file: Path) -> None:
    text = TEXT.replace("toy:accuracy", "toy:climbing").replace("trials = 6\n", "")
    file.write_text(text.replace("\n[space]", HALVED + "\n[space]"))
    found = json.loads(run("search", file, "-q", "--json").stdout)
    assert [(t["rung"], t["accuracy"] > 0) for t in found["trials"]] == [(0, True)] * 4 + [
        (1, True)
    ]
    assert found["best"] == 4
    assert "5 trials of 4 nets" in run("study", file.parent / "faces").stdout


def test_data_from_a_function(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (file.parent / "own.py").write_text("def load():\n    return ('a', 'b'), ('c', 'd')\n")
    monkeypatch.syspath_prepend(file.parent)
    monkeypatch.syspath_prepend(HERE)
    text = TEXT.replace('train = "train.npz"\nval = "val.npz"', 'from = "own:load"')
    file.write_text(text)
    assert config.read(file).arrays() == (("a", "b"), ("c", "d"))
    file.write_text(text.replace("own:load", "own:nothing"))
    with pytest.raises(TflmOptError, match="own:nothing"):
        config.read(file).arrays()
