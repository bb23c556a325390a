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
    from .result import Accuracy, OutputError, Result


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


def evaluate(result: Result, inputs: Any, labels: Any) -> tuple[Accuracy, tuple[OutputError, ...]]:
    """See `Result.evaluate`; and how far outputs lie from the float model's, if there is one."""
    from . import graph as graphs
    from .proof import run_engine
    from .result import Accuracy
    from .runtime import tflm

    batch = _columns(result, inputs)
    wanted = _classes(labels, len(batch[0]))
    classes = math.prod(result.graph.outputs[0].shape)
    if not ((wanted >= 0) & (wanted < classes)).all():
        raise ValueError(f"labels must be class numbers from 0 to {classes - 1}")
    samples = _samples(batch, result.graph.inputs)
    ran = run_engine(result.sources, samples)
    original = graphs.read(result.original)
    try:
        recoded = [vectors.recode(s, result.graph.inputs, original.inputs) for s in samples]
        int8: float | None = _accuracy(tflm.run(result.original, recoded), wanted)
    except MissingTool:
        int8 = None
    full, errors = None, ()
    if result.float_model is not None and all(column.dtype.kind == "f" for column in batch):
        rows = [[column[i] for column in batch] for i in range(len(wanted))]
        floats = result.float_model.predict(rows)
        full = _accuracy(floats, wanted)
        errors = tuple(
            output_error(tensor, [row[i] for row in ran], [row[i] for row in floats])
            for i, tensor in enumerate(result.graph.outputs)
        )
    engine = _accuracy(ran, wanted)
    return Accuracy(float=full, int8=int8, engine=engine, samples=len(wanted)), errors


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


def _accuracy(outputs: Sequence[Sequence[np.ndarray]], wanted: np.ndarray) -> float:
    given = np.array([int(np.argmax(row[0])) for row in outputs])
    return float(np.mean(given == wanted))


def _classes(labels: Any, count: int) -> np.ndarray:
    array = np.asarray(labels)
    if array.ndim == 2 and array.shape[1] > 1:
        array = array.argmax(axis=1)
    array = array.reshape(-1)
    if array.size != count:
        raise ValueError(f"{array.size} labels for {count} samples")
    return array


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
    return columns


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
