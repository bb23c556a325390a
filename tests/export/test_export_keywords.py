"""The project in platformio_projects/keyword_spotting: spoken, (barely) trained, built, run."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from export import projects

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("espeak-ng"), reason="needs espeak-ng"),
]


@pytest.fixture(scope="module")
def speech() -> ModuleType:
    pytest.importorskip("scipy")
    return projects.load("examples/speech.py")


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
@projects.needs_arm
@pytest.mark.filterwarnings("ignore")
def test_project_builds_and_agrees_with_tflm(
    speech: ModuleType, data: object, tmp_path: Path, pio_environment: dict[str, str]
) -> None:
    """Samples to scores on a Cortex-M4 equal Python's features in TFLM, on every example."""
    pytest.importorskip("tensorflow")
    generate = projects.load("platformio_projects/keyword_spotting/generate.py")
    result = generate.optimize(speech.train(data, epochs=1), data)
    said = projects.built_and_run(
        "keyword_spotting",
        lambda project: generate.write(result, data, project),
        tmp_path,
        pio_environment,
    )
    assert "PASS: 6 of 6 words" in said
