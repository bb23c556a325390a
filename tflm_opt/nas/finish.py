"""The end of a search: the best net trained to its best, rounded, optimized, judged and kept.

    result = finish(model, data, board="disco_f746ng", sram="256KiB", directory=study / "best")
    result.export("platformio", "firmware")

A supernet's weights are a compromise between all of its nets, so the one that was chosen gains by
training alone (Cai et al., "Once-for-All", 2020). Everything after that is `optimize`, with the
study's board and limits: what a search promised is proved here or refused.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError, DoesNotFit, TflmOptError
from ..progress import Progress, Silent
from .data import Dataset, resized
from .net import Net
from .recipe import Recipe, accuracy, train

if TYPE_CHECKING:
    from ..boards import Board
    from ..result import Accuracy, Result

FORMAT = 1
MODEL = "model.keras"
TFLITE = "model.tflite"
METRICS = "metrics.json"
TUNING = Recipe(epochs=60, rate=2e-2)
# Of training with quantization, which begins with half of it: that of a net that has been trained,
# as the recipe's, which is for one that has far to go, would undo what it has learned.
_GENTLE = 1e-3
_CALIBRATION = 256
_JUDGED = 1000


@dataclass(frozen=True, slots=True, eq=False)
class Tuned:
    """A trained model.

    Attributes:
        model: a Keras model, not compiled.
        before: accuracy on the validation data before training; None for fresh weights.
        after: and of the epoch that was best.
        epoch: which that was, from 1; 0 where training made it no better.
    """

    model: Any
    before: float | None
    after: float
    epoch: int


def finish(
    model: Any,
    data: Dataset,
    *,
    recipe: Recipe = TUNING,
    qat: bool = False,
    qat_epochs: int = 3,
    board: str | Board | None = None,
    sram: int | str | None = None,
    flash: int | str | None = None,
    input: str = "resident",
    name: str | None = None,
    test: tuple[np.ndarray, np.ndarray] | None = None,
    judged: int = _JUDGED,
    directory: str | Path | None = None,
    about: Mapping[str, Any] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Result:
    """Fine-tune a net and make it what ships.

    Args:
        model: a Keras model with weights, as extracted from a supernet, or a `Net`, which is
            trained from scratch. It is not changed.
        data: inputs are resized to the model's. The epoch that is best on the validation data is
            what is kept.
        recipe: of training, by default as from scratch: a supernet's weights are far from what
            suits one net, and a rate too small doesn't get there.
        qat: train a copy with quantization after that, for `qat_epochs`, and ship it.
        board, sram, flash, input, name: as for `optimize`: the study's.
        test: inputs and labels that no decision was made by, to judge on; the validation data,
            which are a little too kind by then, where there are none.
        judged: how many samples at most are run in float, in TFLM, and by the engine.
        directory: gets model.keras (float), model.tflite and metrics.json, whole or not at all.
        about: plain values to keep in metrics.json: the architecture, the cost that was promised.
        seed: of training and of what `optimize` draws.

    Returns:
        What `optimize` made, with its accuracy in `findings`.

    Raises:
        DoesNotFit: the limits can't be met; what was made is in `directory` all the same.
        OutputExists: `directory` holds files of others; said before any training.
        DataError: data of other channels or classes, or smaller than the model's inputs.
    """
    import tflm_opt

    report = progress or Silent()
    if directory is not None:
        from ..export.folder import check_folder

        check_folder(directory)
    data = data.at(_shape(model))
    judges = _judges(data, test, judged)
    report.step("Training the net that was found")
    tuned = tune(model, data, recipe, seed=seed, progress=report)
    report.step("Training with quantization, and optimizing" if qat else "Optimizing")
    training: dict[str, Any] = {}
    if qat:
        sets = (data.x_train, data.y_train, data.x_val, data.y_val)
        training = {"quantize": "qat", "train": sets, "epochs": qat_epochs}
        _compile(tuned.model, min(_GENTLE, recipe.rate))
    error: DoesNotFit | None = None
    try:
        result = tflm_opt.optimize(
            tuned.model,
            sram,
            flash=flash,
            calibration=spread(data.x_train, _CALIBRATION),
            board=board,
            input=input,
            name=name,
            seed=seed,
            verbose=0,
            **training,
        )
    except DoesNotFit as caught:
        if caught.best is None:
            raise
        result, error = caught.best, caught
    report.step("Judging what ships")
    found = result.evaluate(*judges)
    if directory is not None:
        facts = {
            **metrics(result, found, tuned, of="val" if test is None else "test"),
            "recipe": recipe.to_json(),
            "qat_epochs": qat_epochs if qat else 0,
            "seed": seed,
            "about": dict(about or {}),
        }
        record(Path(directory), tuned.model, result, facts)
    if error is not None:
        raise error
    return result


def tune(
    model: Any, data: Dataset, recipe: Recipe, *, seed: int = 0, progress: Progress | None = None
) -> Tuned:
    """A trained copy of a Keras model, or of a `Net` from scratch: its best epoch's weights.

    Weights that are best as they come stay as they are.

    Raises:
        TflmOptError: training broke down before an epoch's end, and there are no weights to keep.
    """
    report = progress or Silent()
    fresh = isinstance(model, Net)
    copy = _fresh(model, seed) if isinstance(model, Net) else _copied(model)
    classes = math.prod(copy.output_shape[1:])
    if classes != data.classes and (classes, data.classes) != (1, 2):
        raise DataError(f"the model has {classes} outputs, the data {data.classes} classes")
    before = None if fresh else accuracy(copy, data.x_val, data.y_val)
    best = {"accuracy": before, "epoch": 0, "weights": copy.get_weights()}

    def judge(epoch: int, loss: float) -> None:
        report.detail(epoch, recipe.epochs)
        if not math.isfinite(loss):
            return
        found = accuracy(copy, data.x_val, data.y_val)
        if best["accuracy"] is None or found > best["accuracy"]:
            best.update(accuracy=found, epoch=epoch, weights=copy.get_weights())

    train(copy, data.x_train, data.y_train, recipe, seed=seed, after=judge)
    if best["accuracy"] is None:
        raise TflmOptError(
            f"training broke down in its first epoch (its loss is NaN) at a rate of {recipe.rate}: "
            "give a smaller one"
        )
    kept = _copied(copy)  # without the optimizer's state
    kept.set_weights(best["weights"])
    return Tuned(kept, before, best["accuracy"], best["epoch"])


def metrics(result: Result, found: Accuracy, tuned: Tuned, *, of: str) -> dict[str, Any]:
    """What is known of the net that ships, as plain values.

    Args:
        of: which data `found` is of.
    """
    return {
        "format": FORMAT,
        "accuracy": {
            "of": of,
            "samples": found.samples,
            **{which: _judged(found, which) for which in ("float", "int8", "engine")},
        },
        "validation": {"before": tuned.before, "after": tuned.after, "epoch": tuned.epoch},
        "sram": {**asdict(result.sram), "total": result.sram.total},
        "flash": {**asdict(result.flash), "total": result.flash.total},
        "macs": result.macs,
        "extra_macs": result.extra_macs,
        "fits": result.fits,
        "bit_exact": result.bit_exact,
        "board": result.board.id,
        "limits": {"sram": result.budget, "flash": result.flash_budget},
        "warnings": list(result.warnings),
    }


def record(directory: Path, model: Any, result: Result, facts: Mapping[str, Any]) -> None:
    """Write model.keras, model.tflite and metrics.json, in place of those that were there."""
    from ..export.folder import atomic_folder

    with atomic_folder(directory) as folder:
        model.save(folder / MODEL)
        (folder / TFLITE).write_bytes(result.tflite)
        (folder / METRICS).write_text(json.dumps(facts, indent=1) + "\n", "utf-8")


def spread(x: np.ndarray, count: int) -> np.ndarray:
    """At most so many samples, evenly from all."""
    return x[np.unique(np.linspace(0, len(x) - 1, min(count, len(x))).astype(int))]


def _judged(found: Accuracy, which: str) -> dict[str, float] | None:
    interval = found.interval(which)
    if interval is None:
        return None
    return {"share": getattr(found, which), "low": interval.low, "high": interval.high}


def _judges(
    data: Dataset, test: tuple[np.ndarray, np.ndarray] | None, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and labels to judge on, of the model's size."""
    if count < 1:
        raise TflmOptError(f"judged={count}: at least one sample is needed")
    x, y = (data.x_val, data.y_val) if test is None else test
    if len(x) != len(y) or not len(x):
        raise DataError(f"test holds {len(x)} samples and {len(y)} labels")
    if np.ndim(x) != 4 or x.shape[3] != data.shape[2]:
        raise DataError(f"test inputs are {np.shape(x)}, not (n, rows, columns, {data.shape[2]})")
    x, y = spread(np.asarray(x), count), spread(np.asarray(y), count)
    return resized(x, data.shape[:2]), y


def _shape(model: Any) -> tuple[int, ...]:
    return model.input_shape if isinstance(model, Net) else tuple(model.input_shape[1:])


def _fresh(net: Net, seed: int) -> Any:
    from .build import build

    return build(net, seed=seed)


def _copied(model: Any) -> Any:
    copy = type(model).from_config(model.get_config())  # a clone would be compiled as it is
    copy.set_weights(model.get_weights())
    return copy


def _compile(model: Any, rate: float) -> None:
    """For training with quantization, which takes optimizer and loss from here."""
    import keras

    from ..quant.qat.fitting import suited_loss

    last = model.layers[-1]
    if getattr(getattr(last, "activation", None), "__name__", "") in ("softmax", "sigmoid"):
        model.compile(keras.optimizers.Adam(rate), suited_loss(model, None))
    else:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(rate), loss)
