"""The end of a search: training makes no net worse, and what is kept is what ships."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_nas_evaluate import net, stripes

import tflm_opt
from tflm_opt.errors import DataError, DoesNotFit, OutputExists, TflmOptError
from tflm_opt.nas import finish as finishing
from tflm_opt.nas.data import Dataset, checked
from tflm_opt.nas.finish import finish, spread, tune
from tflm_opt.nas.recipe import Recipe, accuracy

# Keras's own, when it saves a model.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
RECIPE = Recipe(epochs=3, batch=32, rate=0.02)


@pytest.fixture(scope="module")
def data() -> Dataset:
    return checked(stripes(320), stripes(120, seed=1))


@pytest.fixture(scope="module")
def trained(data: Dataset) -> Any:
    return tune(net(12), data, RECIPE).model


@pytest.mark.tensorflow
def test_a_net_from_scratch_learns(trained: Any, data: Dataset) -> None:
    assert accuracy(trained, data.x_val, data.y_val) > 0.7
    assert not trained.compiled


@pytest.mark.tensorflow
def test_training_makes_no_net_worse(trained: Any, data: Dataset) -> None:
    weights = trained.get_weights()
    before = accuracy(trained, data.x_val, data.y_val)
    wild = tune(trained, data, Recipe(epochs=1, batch=32, rate=1e38))
    assert (wild.before, wild.after, wild.epoch) == (before, before, 0)
    for one, other in zip(wild.model.get_weights(), weights, strict=True):
        assert np.array_equal(one, other)
    for one, other in zip(trained.get_weights(), weights, strict=True):
        assert np.array_equal(one, other)


@pytest.mark.tensorflow
def test_what_is_kept_is_what_ships(trained: Any, data: Dataset, tmp_path: Path) -> None:
    import keras

    best = tmp_path / "best"
    test = stripes(90, seed=2)
    result = finish(
        trained,
        data,
        recipe=RECIPE.of(1),
        board="qemu_m4",
        sram="32KiB",
        test=test,
        judged=60,
        directory=best,
        about={"architecture": {"width": 8}},
    )
    assert result.fits
    assert result.bit_exact
    found = json.loads((best / "metrics.json").read_text("utf-8"))
    assert found["sram"]["total"] == result.sram.total <= 32768
    assert found["flash"]["total"] == result.flash.total
    assert found["about"] == {"architecture": {"width": 8}}
    assert found["accuracy"]["of"] == "test"
    assert found["accuracy"]["samples"] == 60
    assert found["limits"]["sram"] == 32768
    assert (best / "model.tflite").read_bytes() == result.tflite
    kept = keras.models.load_model(best / "model.keras")
    assert accuracy(kept, data.x_val, data.y_val) == pytest.approx(found["validation"]["after"])
    x, y = (spread(part, 60) for part in test)
    assert accuracy(kept, x, y) == pytest.approx(found["accuracy"]["float"]["share"])
    ran = float(np.mean(np.asarray(result.predict(x)).reshape(60, -1).argmax(1) == y))
    assert ran == pytest.approx(found["accuracy"]["engine"]["share"])
    accuracies = result.findings.accuracy
    assert accuracies is not None
    assert accuracies.engine == pytest.approx(ran)


@pytest.mark.tensorflow
def test_what_does_not_fit_is_kept_and_said(trained: Any, data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(DoesNotFit):
        finish(
            trained,
            data,
            recipe=RECIPE.of(1),
            qat=True,
            qat_epochs=1,
            sram=600,
            judged=20,
            directory=tmp_path / "best",
        )
    found = json.loads((tmp_path / "best" / "metrics.json").read_text("utf-8"))
    assert not found["fits"]
    assert found["sram"]["total"] > 600
    assert found["qat_epochs"] == 1
    assert found["accuracy"]["int8"]["share"] > 0.5


@pytest.mark.tensorflow
@pytest.mark.parametrize(("rate", "then"), [(0.02, 1e-3), (1e-4, 1e-4)])
def test_training_with_quantization_begins_gently(
    trained: Any, data: Dataset, monkeypatch: pytest.MonkeyPatch, rate: float, then: float
) -> None:
    """At a recipe's own rate, for nets that have far to go, it would undo what was learned."""

    class Seen(Exception):
        pass

    def optimize(model: Any, *_: Any, **options: Any) -> None:
        assert options["quantize"] == "qat"
        assert float(model.optimizer.learning_rate) == pytest.approx(then)
        raise Seen

    monkeypatch.setattr(tflm_opt, "optimize", optimize)
    with pytest.raises(Seen):
        finish(trained, data, recipe=Recipe(epochs=1, batch=32, rate=rate), qat=True)


def test_folders_of_others_and_bad_data_are_refused_before_training(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finishing, "tune", lambda *_, **__: pytest.fail("it trained"))
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(OutputExists):
        finish(net(12), data, directory=tmp_path)
    for wrong, says in (
        ({"test": (data.x_val, data.y_val[:3])}, "3 labels"),
        ({"test": (data.x_val[..., 0], data.y_val)}, "test inputs are"),
    ):
        with pytest.raises(DataError, match=says):
            finish(net(12), data, **wrong)
    with pytest.raises(TflmOptError, match="judged=0"):
        finish(net(12), data, judged=0)
    with pytest.raises(DataError, match="can't become"):
        finish(net(13), data)


@pytest.mark.tensorflow
def test_training_that_breaks_down_is_said(data: Dataset) -> None:
    with pytest.raises(TflmOptError, match="a smaller one"):
        tune(net(12, activation=""), data, Recipe(epochs=1, rate=1e38))
    with pytest.raises(DataError, match="4 outputs, the data 3"):
        tune(net(12, 4), data, RECIPE)


def test_samples_from_all() -> None:
    assert spread(np.arange(10), 3).tolist() == [0, 4, 9]
    assert spread(np.arange(2), 5).tolist() == [0, 1]
    assert math.prod(spread(np.zeros((7, 2)), 7).shape) == 14
