"""The project in platformio_projects/keyword_spotting: spoken, (barely) trained, built, run."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = ROOT / "platformio_projects" / "keyword_spotting"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("espeak-ng"), reason="needs espeak-ng"),
]


def _load(path: Path) -> ModuleType:
    sys.path.insert(0, str(ROOT / "examples"))
    spec = importlib.util.spec_from_file_location(f"keyword_spotting_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def speech() -> ModuleType:
    pytest.importorskip("scipy")
    return _load(ROOT / "examples" / "speech.py")


@pytest.fixture(scope="module")
def data(speech: ModuleType) -> object:
    return speech.load(voices=1)


def test_voices_are_held_out(speech: ModuleType, data: object) -> None:
    assert not set(speech.TRAINED) & set(speech.HELD_OUT)
    assert data.x_train.shape[1:] == (49, 40, 1)
    assert set(data.y_test) == set(range(len(speech.LABELS)))
    assert (speech.features(data.clips) == data.x_test).all()
    assert not {x.tobytes() for x in data.x_train} & {x.tobytes() for x in data.x_test}
    values = data.x_train * 128
    assert (values == np.rint(values)).all()
    assert (np.abs(np.percentile(values, (5, 50, 99)) - (-110, -40, 60)) < 45).all()


def test_words_differ_and_are_said_the_same_each_time(speech: ModuleType) -> None:
    yes, again, no = (speech.speak(word, "en-us+f1", 150, 50) for word in ("yes", "yes", "no"))
    np.testing.assert_array_equal(yes, again)
    assert yes.size != no.size or (yes != no).any()
    assert 3_000 < yes.size < 16_000


@pytest.mark.qemu
@pytest.mark.tensorflow
@pytest.mark.skipif(
    not (shutil.which("arm-none-eabi-gcc") and shutil.which("qemu-system-arm")),
    reason="needs the Arm compiler and qemu-system-arm",
)
@pytest.mark.filterwarnings("ignore")
def test_project_builds_and_agrees_with_tflm(
    speech: ModuleType, data: object, tmp_path: Path, pio_environment: dict[str, str]
) -> None:
    """Samples to scores on a Cortex-M4 equal Python's features in TFLM, on every example."""
    pytest.importorskip("tensorflow")
    generate = _load(PROJECT / "generate.py")
    result = generate.optimize(speech.train(data, epochs=1), data)
    project = tmp_path / "keyword_spotting"
    skip = shutil.ignore_patterns("lib", "platforms", "examples.c", ".pio", "__pycache__")
    shutil.copytree(PROJECT, project, ignore=skip)
    generate.write(result, data, project)
    generate.write(result, data, project)  # what it wrote, it may replace
    command = [sys.executable, "-m", "platformio", "run", "-e", "qemu_m4", "-t", "run"]
    done = subprocess.run(
        command, cwd=project, env=pio_environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASS: 6 of 6 words" in done.stdout
    assert "warning:" not in done.stdout + done.stderr
