"""Any kind of model as the `.tflite` bytes that everything starts from.

The one place where TensorFlow may come in, and only for a Keras model.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import InvalidModel, TflmOptError
from .progress import Progress

if TYPE_CHECKING:
    from .quant import PTQ, FloatModel

UNUSED_CALIBRATION = (
    "the calibration data was not used: a .tflite is quantized already. To calibrate again, give "
    "the Keras model"
)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model of any kind, as the int8 `.tflite` that everything starts from."""

    tflite: bytes
    name: str
    source: str | None
    float_model: FloatModel | None
    warnings: tuple[str, ...]
    examples: tuple[tuple[np.ndarray, ...], ...] = ()  # calibration samples, as they were given


@dataclass(frozen=True, slots=True)
class Training:
    """What training with quantization gets: data as `fit` takes them, and how often."""

    data: Any
    epochs: int
    trainer: str = "qat"


def load(
    model: Any,
    *,
    calibration: Any = None,
    io: str = "int8",
    activations: str = "int8",
    seed: int = 0,
    training: Training | None = None,
    rounding: PTQ | None = None,
    progress: Progress,
) -> Loaded:
    """Any kind of model as int8 `.tflite` bytes; only a Keras one costs TensorFlow's import."""
    from .quant.sources import Source, detect

    source = detect(model)
    unused = (UNUSED_CALIBRATION,) if calibration is not None else ()
    if training is not None and source in (Source.TFLITE_BYTES, Source.TFLITE_FILE):
        raise TflmOptError("a .tflite can't be trained: give the Keras model it was made from")
    if rounding is not None and source in (Source.TFLITE_BYTES, Source.TFLITE_FILE):
        raise TflmOptError("a .tflite is rounded already: give the Keras model, or no quantize=")
    if activations == "int16" and source in (Source.TFLITE_BYTES, Source.TFLITE_FILE):
        raise TflmOptError(
            'a .tflite has its types already: int16="*" puts all layers of an int8 one on int16, '
            "or give the Keras model"
        )
    if source is Source.TFLITE_BYTES:
        return Loaded(bytes(model), "model", None, None, unused)
    if source is Source.TFLITE_FILE:
        path = Path(model)
        progress.step(f"Reading {path.name}")
        try:
            data = path.read_bytes()
        except OSError as error:
            raise InvalidModel(f"can't be read: {error.strerror}", source=str(path)) from error
        return Loaded(data, path.stem, str(path), None, unused)
    if source is Source.UNKNOWN:
        raise InvalidModel(_unknown(model))
    from . import quant

    progress.step("Quantizing" if training is None else "Training with quantization")
    made = quant.quantize(
        model,
        calibration,
        train=None if training is None else training.data,
        epochs=0 if training is None else training.epochs,
        trainer="qat" if training is None else training.trainer,
        io=io,  # type: ignore[arg-type]
        activations=activations,  # type: ignore[arg-type]
        options=rounding,
        seed=seed,
        progress=lambda _, done: progress.detail(round(done * 100), 100),
    )
    title = Path(model).stem if isinstance(model, (str, Path)) else made.float_model.name
    return Loaded(made.tflite, title, None, made.float_model, made.warnings, made.examples)


def widened(loaded: Loaded, layers: tuple[str, ...]) -> Loaded:
    """The model with the named layers on int16."""
    from . import graph
    from .quant.int16 import widen

    wide = widen(graph.read(loaded.tflite, loaded.source), layers)
    return dataclasses.replace(loaded, tflite=graph.write(wide))


def _unknown(model: Any) -> str:
    kinds = "a Keras model, a .keras, .h5 or .tflite file, a SavedModel folder, or .tflite bytes"
    if isinstance(model, (str, Path)):
        state = "is not a model" if Path(model).exists() else "does not exist"
        return f"{model} {state}: give {kinds}"
    if isinstance(model, (bytes, bytearray, memoryview)):
        return f"{len(model)} bytes that are not a .tflite file: give {kinds}"
    return f"an object of type {type(model).__name__} is not a model: give {kinds}"
