"""The project in platformio_projects/digits: generated from a (barely) trained net, built, run."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from export import projects


@pytest.fixture(scope="module")
def digits() -> ModuleType:
    return projects.load("examples/digits.py")


def test_data_are_split_and_enlarged(digits: ModuleType) -> None:
    data, again = digits.load(), digits.load()
    assert data.x_test.shape == (360, 32, 32, 1)
    assert data.x_train.shape == (1437, 32, 32, 1)
    assert data.x_train.dtype == np.float32
    assert data.x_train.min() >= 0
    assert data.x_train.max() <= 1
    np.testing.assert_array_equal(data.x_test, again.x_test)
    assert set(data.y_test) == set(range(10))
    held_out = {picture.tobytes() for picture in data.x_test}
    assert not held_out & {picture.tobytes() for picture in data.x_train}


def test_enlarging_keeps_constants_and_ramps(digits: ModuleType) -> None:
    flat = digits.enlarge(np.full((1, 8, 8), 0.25, np.float32))
    np.testing.assert_allclose(flat, 0.25, rtol=1e-6)
    ramp = digits.enlarge(np.arange(8, dtype=np.float32)[None, None, :].repeat(8, axis=1))
    np.testing.assert_allclose(np.diff(ramp[0, 0, 2:-2]), 0.25, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.qemu
@pytest.mark.tensorflow
@projects.needs_arm
@pytest.mark.filterwarnings("ignore")
def test_project_builds_and_agrees_with_tflm(
    digits: ModuleType, tmp_path: Path, pio_environment: dict[str, str]
) -> None:
    pytest.importorskip("tensorflow")
    import tflm_opt

    generate = projects.load("platformio_projects/digits/generate.py")
    data = digits.load()
    result = tflm_opt.optimize(
        digits.train(data, epochs=1), calibration=data.x_train[:100], name="digits", verbose=0
    )
    said = projects.built_and_run(
        "digits", lambda project: generate.write(result, data, project), tmp_path, pio_environment
    )
    assert "PASS: 10 of 10 digits" in said
