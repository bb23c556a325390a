"""From data and limits to firmware, through all phases of a search, at their smallest."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import tflm_opt
from tflm_opt.measure import measure
from tflm_opt.nas.best import begun
from tflm_opt.nas.data import Dataset
from tflm_opt.nas.recipe import accuracy
from tflm_opt.nas.spaces import MobileNet, Stage

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.qemu,
    # Of Keras's, on NumPy 2.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

SPACE = MobileNet(
    (16, 16, 1),
    4,
    (Stage(16, 2, (1, 2), (3, 5), (2, 3)), Stage(24, 2, (1,), (3,), (2, 4))),
    width=(0.5, 1.0),
    resolution=(12, 16),
    stem=8,
)


def stripes(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Across, down, diagonal, or a checkerboard; in noise."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[:16, :16]
    kinds = (row // 2, column // 2, (row + column) // 2, row // 2 + column // 2)
    y = rng.integers(0, 4, count)
    x = np.stack(kinds)[y] % 2 + rng.normal(0, 0.3, (count, 16, 16))
    return x[..., None].astype(np.float32), y


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tflm_opt.nas.Study:
    return tflm_opt.search(
        stripes(320, 0),
        stripes(160, 1),
        board="qemu_m4",
        sram="6KiB",
        flash="1MiB",
        latency_ms=200,
        space=SPACE,
        directory=tmp_path_factory.mktemp("search") / "faces",
        trials=12,  # two generations of five, and their finals
        population=5,
        workers=1,
        options={
            "supernet": {"epochs": 6, "batch": 32, "rate": 1e-2, "members": 3},
            "finals": {"nets": 1, "epochs": 4},
        },
        verbose=0,
    )


def test_a_search_ends_with_firmware(study: tflm_opt.nas.Study, tmp_path: Path) -> None:
    best = study.best
    assert best.cost is not None
    assert len(study.complete) == 12
    assert all(t.cost is not None and t.cost.sram <= 6 * 1024 for t in study.complete)

    # It is trained on from where its finals left it.
    assert [t.detail for t in study.finalists] == [{"by": "training", "epochs": 4}] * 2
    assert best == study.finalists[0]
    data = Dataset.load(study.directory)
    model, _ = begun(best, study, data)
    sized = data.at(model.input_shape[1:])
    assert accuracy(model, sized.x_val, sized.y_val) == best.accuracy

    result = best.optimize(epochs=6, test=stripes(200, 2), verbose=0)
    assert result.fits
    assert result.bit_exact
    # What the search promised is what is built.
    assert result.sram.total == pytest.approx(best.cost.sram, rel=0.02)
    assert result.flash.total == pytest.approx(best.cost.flash, rel=0.1)
    assert result.macs == best.cost.macs

    kept = json.loads((study.directory / "best" / "metrics.json").read_text("utf-8"))
    assert kept["about"]["architecture"] == best.architecture
    assert kept["accuracy"]["of"] == "test"
    assert kept["accuracy"]["engine"]["share"] > 0.6

    result.export("platformio", tmp_path / "firmware", board="disco_f746ng")
    result.save(tmp_path / "out")
    measured = measure(tmp_path / "out", "qemu_m4")
    assert measured["bit_exact"]
    assert measured["instructions"] == pytest.approx(best.cost.instructions, rel=0.1)
