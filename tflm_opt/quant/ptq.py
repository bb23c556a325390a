"""Post-training quantization, the pipeline: load, look, calibrate, convert, check.

    quantized = quantize(model, calibration=images)
    Path("model.tflite").write_bytes(quantized.tflite)

Per-channel symmetric int8 weights, per-tensor int8 activations, after Jacob et al., "Quantization
and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference" (2018), as TFLite
specifies them.
"""

from __future__ import annotations

import dataclasses
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..errors import MissingTool, TflmOptError, UnsupportedModel
from . import calibration as calibrating
from . import convert, draw, isolate, qat, sources, tfmot, widen
from .calibration import CalibrationWarning, Sample
from .floatmodel import FloatModel, ModelInput, require_finite_weights, view
from .options import PTQ

Progress = Callable[[str, float], None]
Origin = Literal["given", "drawn", "trained"]

UNUSED_CALIBRATION = (
    "the calibration data was not used: the model was trained with quantization and has its ranges"
)
UNUSED_OPTIONS = (
    "the options of PTQ were not used: the model was trained with quantization and has its ranges"
)
# Calibration samples that stay with the result, for what is measured afterwards.
EXAMPLES = 16


@dataclass(frozen=True, slots=True, eq=False)
class Quantized:
    """A full-int8 model and where it came from.

    Attributes:
        tflite: the file, as bytes.
        warnings: what makes its accuracy doubtful, a sentence each; empty if nothing does.
        calibration: "given", "drawn", or "trained": the model had its ranges already.
        samples: how many calibration samples the ranges come from; 0 if they were trained.
        inputs: names, shapes (no batch axis) and dtypes, in the file's order.
        outputs: names, in the file's order.
        float_model: the model before quantization, to compare against.
        examples: some of the calibration samples given, float, one array an input; a generator
            gives them only once.
    """

    tflite: bytes
    warnings: tuple[str, ...]
    calibration: Origin
    samples: int
    inputs: tuple[ModelInput, ...]
    outputs: tuple[str, ...]
    float_model: FloatModel
    examples: tuple[Sample, ...] = ()

    def predict(self, samples: Sequence[Sequence[np.ndarray]]) -> list[list[np.ndarray]]:
        """Samples × inputs (float, no batch axis) through the *float* model: samples × outputs."""
        with isolate.unchanged(), isolate.quiet():
            return self.float_model.predict(samples)


def quantize(
    model: Any,
    calibration: Any = None,
    *,
    train: Any = None,
    epochs: int = 3,
    trainer: str = "qat",
    io: convert.IO = "int8",
    options: PTQ | None = None,
    activations: convert.Activations = "int8",
    samples: int = 200,
    seed: int = 0,
    progress: Progress | None = None,
) -> Quantized:
    """Quantize a Keras model to a full-int8 `.tflite`.

        >>> quantize(keras_model, calibration=x_train).tflite[4:8]
        b'TFL3'

    Args:
        model: a Keras 3 or tf_keras model (compiled or not), one that `qat.prepare` made, the path
            of a `.keras` or `.h5` file, or of a SavedModel folder.
        calibration: real inputs: an array or a list of arrays, a dict by input name, a
            `tf.data.Dataset`, a `keras.utils.PyDataset`, a generator, or a function returning
            one; batched or not, with labels or without. None draws data for the input's range
            and warns, for then the accuracy means nothing.
        train: inputs and labels to train a copy of the model with first, with quantization (see
            `qat.trained`); `epochs`: how often.
        trainer: "qat", for Keras 3 models, or "tfmot", tensorflow-model-optimization's own training
            in a child process (see `tfmot.training`).
        io: dtype of the file's inputs and outputs.
        options: how ranges are chosen and what is done against rounding; by default `PTQ()`.
        activations: dtype of what layers hand on: int8, or int16 for accuracy at twice the memory;
            weights are int8 with both. Then `io` may be int16 too. It needs calibration data, given
            or drawn.
        samples: at most so many calibration samples are used.
        seed: for the choice of samples and for drawn data.
        progress: called with a phase and the fraction of it that is done.

    Returns:
        The file, with what was noticed on the way. Same arguments, same bytes.

    Raises:
        CalibrationError: NaN, infinite, constant, empty or misshapen calibration data.
        UnsupportedModel: unbuilt, dynamic or batched shapes, non-float inputs, an op without
            an int8 form.
        InvalidModel: a file that is missing or damaged.
        MissingTool: TensorFlow is not installed.
    """
    convert.require_types(io, activations)
    if options is not None and activations == "int16":
        raise TflmOptError(
            "options of PTQ are for int8 activations: int16 ones have room for all values. Leave "
            "them out, or choose activations='int8'"
        )
    if train is not None and activations == "int16":
        raise TflmOptError(
            "training with quantization is for int8 activations: leave out train=, or activations="
        )
    report = progress or (lambda phase, fraction: None)
    source = sources.detect(model)
    report("load", 0.0)
    with isolate.quiet():
        _import_tensorflow(source)
    with isolate.unchanged():
        with isolate.quiet():
            float_model, found = tfmot.opened(model, source)
            require_finite_weights(float_model.origin)
        trained = float_model
        if train is not None and trainer == "tfmot":
            return _trained_by_tfmot(float_model, found, train, epochs, io, seed, report)
        if train is not None:
            trained = _trained(float_model, train, calibration, epochs, seed, report)
            calibration = None
        chosen, remarks, kind = _calibration_data(trained, calibration, samples, seed)
        report("convert", 0.0)
        with isolate.quiet() as silence:

            def tick(phase: str, done: float) -> None:
                with silence.lifted():
                    report(phase, done)

            equalized: list[bytes] = []
            converted = convert.to_tflite(
                trained,
                chosen if kind != "trained" else None,
                io=io,
                activations=activations,
                tick=tick,
                options=options or PTQ(),
                keep=equalized.append,
            )
            tflite, more = widen.widened(converted)
    if trained is not float_model:
        float_model = dataclasses.replace(float_model, trained=trained)
    if equalized:
        float_model = dataclasses.replace(float_model, equalized=equalized[0])
    return Quantized(
        tflite,
        found + remarks + more + _option_remarks(options, kind, len(chosen)),
        kind,
        len(chosen),
        float_model.inputs,
        float_model.outputs,
        float_model,
        tuple(chosen[:EXAMPLES]) if kind == "given" else (),
    )


def _option_remarks(options: PTQ | None, kind: Origin, samples: int) -> tuple[str, ...]:
    if kind == "trained":
        return () if options is None else (UNUSED_OPTIONS,)
    return (options or PTQ()).remarks(samples)


def _trained(
    model: FloatModel, train: Any, calibration: Any, epochs: int, seed: int, report: Progress
) -> FloatModel:
    if not _is_keras_3(model.origin):
        raise UnsupportedModel(
            f"{type(model.origin).__name__} {model.name!r} is no Keras 3 model, and only those can "
            "be trained with quantization here",
            remedy="Rebuild it in Keras 3, or train it with tensorflow-model-optimization",
        )
    with isolate.quiet() as silence:

        def tick(done: float) -> None:
            with silence.lifted():
                report("train", done)

        made = qat.trained(
            model.origin, train, calibration=calibration, epochs=epochs, seed=seed, tick=tick
        )
    return view(made, sources.Source.KERAS)


def _trained_by_tfmot(
    model: FloatModel,
    found: tuple[str, ...],
    train: Any,
    epochs: int,
    io: convert.IO,
    seed: int,
    report: Progress,
) -> Quantized:
    with isolate.quiet() as silence:

        def tick(done: float) -> None:
            with silence.lifted():
                report("train", done)

        made = tfmot.trained(model, train, epochs=epochs, io=io, found=found, seed=seed, tick=tick)
    remarks = found + made.remarks
    return Quantized(made.tflite, remarks, "trained", 0, model.inputs, model.outputs, model)


def _is_keras_3(model: Any) -> bool:
    return any(base.__module__.startswith("keras.") for base in type(model).__mro__)


def _import_tensorflow(source: sources.Source) -> None:
    if source in (sources.Source.UNKNOWN, sources.Source.TFLITE_BYTES, sources.Source.TFLITE_FILE):
        return
    try:
        import tensorflow  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingTool(
            "TensorFlow",
            needed_for="to quantize a Keras model (a .tflite needs none)",
            install="pip install 'tflm-opt[keras]', or in a checkout: pip install -e '.[keras]'",
        ) from error


def _calibration_data(
    model: FloatModel, given: Any, samples: int, seed: int
) -> tuple[list[Sample], tuple[str, ...], Origin]:
    if qat.is_prepared(model.origin):
        qat.require_ready(model.origin)
        return [], () if given is None else (UNUSED_CALIBRATION,), "trained"
    if tfmot.has_ranges(model.origin):
        doubts = tfmot.remarks(model.origin)
        for doubt in doubts:
            warnings.warn(doubt, CalibrationWarning, stacklevel=_callers_level())
        return [], doubts + (() if given is None else (UNUSED_CALIBRATION,)), "trained"
    if given is not None:
        chosen = calibrating.gather(given, model.inputs, samples=samples, seed=seed)
        doubts = calibrating.remarks(chosen, model.inputs) + draw.remarks(model, chosen)
        for doubt in doubts:
            warnings.warn(doubt, CalibrationWarning, stacklevel=_callers_level())
        return chosen, doubts, "given"
    chosen, ranges = draw.draw(model, samples=samples, seed=seed)
    warning = f"{calibrating.DRAWN_WARNING} (drawn as {'; '.join(ranges)})"
    warnings.warn(warning, CalibrationWarning, stacklevel=_callers_level())
    return chosen, (warning,), "drawn"


def _callers_level() -> int:
    """The `stacklevel` that makes a warning name the line of the caller's own code."""
    package = __name__.partition(".")[0]
    frame, level = sys._getframe(1), 1
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] == package:
        frame, level = frame.f_back, level + 1
    return level
