"""Run an optimized model over batches in the user's own terms: arrays in, arrays out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import MissingTool
from .graph.ir import NUMPY_DTYPES, Tensor
from .runtime import vectors

if TYPE_CHECKING:
    from .quant import FloatModel
    from .quant.diagnosis import Diagnosis
    from .result import Accuracy, OutputError, Result

DIAGNOSED = 32  # samples that `evaluate` runs layer by layer


def predict(result: Result, inputs: Any) -> Any:
    """See `Result.predict`."""
    from .proof import run_engine

    batch = _columns(result, inputs)
    floats = all(column.dtype.kind == "f" for column in batch)
    samples = _samples(batch, result.graph.inputs)
    outputs = run_engine(result.sources, samples)
    columns = [
        _column([row[i] for row in outputs], tensor, floats)
        for i, tensor in enumerate(result.graph.outputs)
    ]
    return columns[0] if len(columns) == 1 else columns


def evaluate(
    result: Result, inputs: Any, labels: Any = None
) -> tuple[Accuracy, tuple[OutputError, ...], Diagnosis | None]:
    """See `Result.evaluate`; and how far outputs lie from the float model's, if there is one."""
    from . import graph as graphs
    from .intervals import paired
    from .proof import run_engine
    from .result import Accuracy
    from .runtime import tflm

    inputs, labels = _gathered(inputs, labels)
    batch = _columns(result, inputs)
    wanted = _classes(labels, len(batch[0]), math.prod(result.graph.outputs[0].shape))
    samples = _samples(batch, result.graph.inputs)
    ran = run_engine(result.sources, samples)
    right = _right(ran, wanted)
    original = graphs.read(result.original)
    try:
        recoded = [vectors.recode(s, result.graph.inputs, original.inputs) for s in samples]
        in_tflm = _right(tflm.run(result.original, recoded), wanted)
        int8: float | None = float(np.mean(in_tflm))
    except MissingTool:
        in_tflm, int8 = right, None
    full, change, errors, diagnosis = None, None, (), None
    if all(column.dtype.kind == "f" for column in batch):
        diagnosis = _diagnosed(result, batch, DIAGNOSED)
        if result.float_model is not None:
            rows = [[column[i] for column in batch] for i in range(len(wanted))]
            floats = result.float_model.predict(rows)
            in_float = _right(floats, wanted)
            full, change = float(np.mean(in_float)), paired(in_float, in_tflm)
            errors = tuple(
                output_error(tensor, [row[i] for row in ran], [row[i] for row in floats])
                for i, tensor in enumerate(result.graph.outputs)
            )
    engine = float(np.mean(right))
    accuracy = Accuracy(full, int8, engine, samples=len(wanted), change=change)
    return accuracy, errors, diagnosis


def diagnose(result: Result, inputs: Any, *, samples: int) -> Diagnosis:
    """See `Result.diagnose`."""
    if samples < 1:
        raise ValueError(f"samples={samples}: run at least one")
    inputs, _ = _gathered(inputs, None, labelled=False)
    batch = _columns(result, inputs)
    if not all(column.dtype.kind == "f" for column in batch):
        raise ValueError(
            "diagnose takes float inputs, as the float model does; int8 codes are given"
        )
    return _diagnosed(result, batch, samples)


def _diagnosed(result: Result, batch: Sequence[np.ndarray], most: int) -> Diagnosis:
    from .quant.calibration import DRAWN_WARNING
    from .quant.diagnose import diagnose
    from .quant.float_twin import float_tflite

    count = len(batch[0])
    chosen = np.unique(np.linspace(0, count - 1, min(most, count)).astype(int))
    model = result.float_model
    return diagnose(
        result.original,
        None if model is None else float_tflite(model),
        [[column[i] for column in batch] for i in chosen],
        optimized=result.graph,
        names=() if model is None else _layer_names(model.trained or model),
        drawn=any(DRAWN_WARNING in warning for warning in result.warnings),
    )


def _layer_names(model: FloatModel) -> set[str]:
    """Of a Keras model, nested ones included; a SavedModel has none."""
    layers = getattr(model.origin, "_flatten_layers", None)
    return set() if layers is None else {layer.name for layer in layers()}


def _gathered(inputs: Any, labels: Any, *, labelled: bool = True) -> tuple[Any, Any]:
    """Inputs and labels as arrays: a generator or data set of batches is read to its end."""
    if isinstance(inputs, (Mapping, list, tuple)) or hasattr(inputs, "__array__"):
        if labels is None and labelled:
            raise ValueError("there are no labels: evaluate(inputs, labels)")
        return inputs, labels
    if not hasattr(inputs, "__iter__"):
        raise ValueError(
            f"inputs of type {type(inputs).__name__}: give an array, or batches of them"
        )
    batches = list(inputs)
    if not batches:
        raise ValueError("the generator ended before its first batch: make a new one for each call")
    if isinstance(batches[0], tuple) and len(batches[0]) == 2 and labels is None:
        given = [np.asarray(y) for _, y in batches]
        batches = [x for x, _ in batches]
        labels = np.concatenate([np.atleast_1d(y) for y in given])
    if labels is None and labelled:
        raise ValueError("batches without labels: yield (inputs, labels), or give labels")
    return _joined(batches), labels


def _joined(batches: Sequence[Any]) -> Any:
    try:
        if isinstance(batches[0], Mapping):
            return {
                key: np.concatenate([np.asarray(b[key]) for b in batches]) for key in batches[0]
            }
        if isinstance(batches[0], (list, tuple)):
            columns = zip(*batches, strict=True)
            return [np.concatenate([np.asarray(a) for a in column]) for column in columns]
        return np.concatenate([np.asarray(batch) for batch in batches])
    except (KeyError, ValueError) as error:
        raise ValueError(f"the batches don't fit together: {error}") from error


def output_error(
    tensor: Tensor, given: Sequence[np.ndarray], floats: Sequence[np.ndarray]
) -> OutputError:
    """How far an output's codes lie from what the float model gave for the same samples."""
    from .result import OutputError

    codes = np.stack(given).reshape(len(given), -1)
    quantized = tensor.quant is not None and codes.dtype.kind == "i"
    real = vectors.dequantize(codes, tensor.quant) if quantized and tensor.quant else codes
    wanted = np.stack(floats).reshape(len(floats), -1).astype(np.float64)
    difference = real.astype(np.float64) - wanted
    signal, noise = float(np.mean(wanted**2)), float(np.mean(difference**2))
    return OutputError(
        name=tensor.name,
        step=float(tensor.scale) if quantized else None,
        maximum=float(np.abs(difference).max()),
        rms=math.sqrt(noise),
        snr_db=10 * math.log10(signal / noise) if signal and noise else None,
        samples=len(given),
    )


def _right(outputs: Sequence[Sequence[np.ndarray]], wanted: np.ndarray) -> np.ndarray:
    """Whether each sample's largest output is the label's."""
    return np.array([int(np.argmax(row[0])) for row in outputs]) == wanted


def _classes(labels: Any, count: int, classes: int) -> np.ndarray:
    """Labels as class numbers, (count,)."""
    array = np.asarray(labels)
    if array.dtype.kind not in "iufb":
        raise ValueError(f"labels of dtype {array.dtype}: give class numbers")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError("labels hold NaN or infinity")
    if array.ndim > 2:
        raise ValueError(
            f"labels of shape {array.shape}: give (n,) class numbers or (n, {classes}) one-hot"
        )
    if array.ndim == 2 and array.shape[1] > 1:
        array = _one_hot(array, classes)
    array = array.reshape(-1)
    if array.size != count:
        raise ValueError(f"{array.size} labels for {count} samples")
    if array.dtype.kind == "f" and (array != np.floor(array)).any():
        odd = array[array != np.floor(array)][0]
        raise ValueError(f"labels are fractions ({odd:g}): give class numbers, whole ones")
    if not ((array >= 0) & (array < classes)).all():
        raise ValueError(f"labels must be class numbers from 0 to {classes - 1}")
    return array.astype(np.int64)


def _one_hot(array: np.ndarray, classes: int) -> np.ndarray:
    if array.shape[1] != classes:
        raise ValueError(f"labels of {array.shape[1]} columns for a model of {classes} classes")
    top = array.max(axis=1, keepdims=True)
    if (np.count_nonzero(array == top, axis=1) != 1).any():
        raise ValueError("labels are not one-hot: a row has no largest value, or several")
    return array.argmax(axis=1)


def _columns(result: Result, inputs: Any) -> list[np.ndarray]:
    """One array (n, *shape) for each model input."""
    wanted = result.graph.inputs
    if isinstance(inputs, Mapping):
        inputs = [_named(inputs, names) for names in _input_names(result)]
    elif len(wanted) == 1 and not isinstance(inputs, (list, tuple)):
        inputs = [inputs]
    elif len(wanted) == 1 and len(inputs) != 1:
        inputs = [np.asarray(inputs)]
    if len(inputs) != len(wanted):
        raise ValueError(f"the model has {len(wanted)} inputs, {len(inputs)} arrays were given")
    columns = [_batched(np.asarray(a), tensor) for a, tensor in zip(inputs, wanted, strict=True)]
    if len({len(column) for column in columns}) != 1:
        raise ValueError(f"inputs of different lengths: {[len(column) for column in columns]}")
    if not len(columns[0]):
        raise ValueError("the batch is empty: give at least one sample")
    for column, tensor in zip(columns, wanted, strict=True):
        _require_finite(column, tensor.name)
    return columns


def _require_finite(column: np.ndarray, name: str) -> None:
    if column.dtype.kind != "f" or np.isfinite(column).all():
        return
    bad = ~np.isfinite(column)
    first = int(np.argmax(bad.reshape(len(column), -1).any(axis=1)))
    raise ValueError(
        f"input {name!r} holds {np.count_nonzero(bad)} values that are NaN or infinite, the "
        f"first in sample {first}"
    )


def _input_names(result: Result) -> list[tuple[str, ...]]:
    """What each input may be called: its name in the file, and those of the Keras model."""
    names: list[tuple[str, ...]] = [(tensor.name,) for tensor in result.graph.inputs]
    if result.float_model is None:
        return names
    keras = [(one.name, *one.keys) for one in result.float_model.inputs]
    return [here + there for here, there in zip(names, keras, strict=True)]


def _named(inputs: Mapping[str, Any], names: Sequence[str]) -> Any:
    for name in names:
        if name in inputs:
            return inputs[name]
    raise ValueError(f"no array for input {names[0]}; given: {', '.join(map(str, inputs))}")


def _batched(array: np.ndarray, tensor: Tensor) -> np.ndarray:
    shape = tensor.shape[1:] if tensor.shape[:1] == (1,) else tensor.shape
    if array.shape == tensor.shape and array.shape[:1] == (1,):
        return array
    if array.shape == shape:
        return array[np.newaxis]
    if array.shape[1:] != shape:
        # A missing channel axis of size 1, as in grayscale pictures, is what people mean.
        if (*array.shape[1:], 1) == shape:
            return array[..., np.newaxis]
        raise ValueError(
            f"input {tensor.name!r} takes (n, {', '.join(map(str, shape))}), "
            f"an array of shape {array.shape} was given"
        )
    return array


def samples(columns: Sequence[np.ndarray], inputs: Sequence[Tensor]) -> list[list[np.ndarray]]:
    """Samples in the inputs' own types of one array (n, *shape) for each input.

    Raises:
        ValueError: other shapes or types, or none.
    """
    batch = [_batched(array, tensor) for array, tensor in zip(columns, inputs, strict=True)]
    if len({len(column) for column in batch}) != 1 or not len(batch[0]):
        raise ValueError(f"inputs of {' and '.join(str(len(c)) for c in batch)} samples")
    return _samples(batch, inputs)


def _samples(batch: Sequence[np.ndarray], inputs: Sequence[Tensor]) -> list[list[np.ndarray]]:
    return [
        [_sample(column[i], tensor) for column, tensor in zip(batch, inputs, strict=True)]
        for i in range(len(batch[0]))
    ]


def _sample(array: np.ndarray, tensor: Tensor) -> np.ndarray:
    dtype = np.dtype(NUMPY_DTYPES[tensor.dtype])
    array = array.reshape(tensor.shape)
    if array.dtype == dtype:
        return array
    if array.dtype.kind == "f" and tensor.dtype in vectors.CODES and tensor.quant is not None:
        return vectors.codes_of(array, tensor.quant, tensor.dtype)
    if array.dtype.kind in "fiub" and dtype.kind == "f":
        return array.astype(dtype)
    raise ValueError(
        f"input {tensor.name!r} is {tensor.dtype}; give {tensor.dtype} codes or floats, "
        f"not {array.dtype}"
    )


def _column(rows: Sequence[np.ndarray], tensor: Tensor, floats: bool) -> np.ndarray:
    column = np.stack(rows)
    if tensor.shape[:1] == (1,):
        column = column.reshape(len(rows), *tensor.shape[1:])
    if floats and tensor.dtype in vectors.CODES and tensor.quant is not None:
        return vectors.dequantize(column, tensor.quant)
    return column
