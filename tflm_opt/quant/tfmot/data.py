"""Training data of any kind, written to files that another process maps into its memory.

Arrays go over slice by slice; data sets and generators are read once, batch by batch, up to a
bound, so that one which never ends is noticed. Each epoch then sees the same samples.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ...errors import CalibrationError
from ..floatmodel import ModelInput

BOUND = 4 << 30  # bytes of data that go over at most
_SLICE = 1024  # rows of an array written at once


@dataclass(slots=True)
class Column:
    """One array, in a file of raw values. `shape`: of a row."""

    file: str
    handle: BinaryIO
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    rows: int = 0

    def record(self) -> dict[str, Any]:
        return {"file": self.file, "dtype": self.dtype.str, "shape": [self.rows, *self.shape]}


@dataclass(slots=True)
class Written:
    """What was written, by role: inputs and labels in the model's order, weights one or none."""

    inputs: list[Column] = field(default_factory=list)
    labels: list[Column] = field(default_factory=list)
    weights: list[Column] = field(default_factory=list)

    def record(self) -> dict[str, Any]:
        return {
            role: [column.record() for column in columns]
            for role, columns in (
                ("inputs", self.inputs),
                ("labels", self.labels),
                ("weights", self.weights),
            )
        }


def write(
    train: Any,
    inputs: Sequence[ModelInput],
    outputs: Sequence[str],
    folder: Path,
    *,
    bound: int = BOUND,
) -> Written:
    """Write training data into `folder`.

    Args:
        train: a tuple (x, y) or (x, y, sample_weight) of arrays, lists or dicts of them; or what
            gives such tuples batch by batch: a `tf.data.Dataset`, a `PyDataset`, a generator.
        inputs, outputs: of the model, by which dicts are read.
        bound: bytes; more is refused.

    Raises:
        CalibrationError: empty, NaN or infinite inputs, shapes or counts that don't fit, or more
            than `bound`.
    """
    written = Written()
    with contextlib.ExitStack() as files:
        for number, item in enumerate(_batches(train)):
            where = "the training data" if isinstance(train, tuple) else f"training batch {number}"
            if not isinstance(item, (tuple, list)) or len(item) not in (2, 3):
                raise CalibrationError(
                    f"{where} must be a tuple (inputs, labels) or (inputs, labels, weights)"
                )
            _append(item, inputs, outputs, folder, files, written, where, bound)
    if not written.inputs or not written.inputs[0].rows:
        raise CalibrationError("the training data is empty")
    return written


def _batches(train: Any) -> Iterable[Any]:
    if isinstance(train, tuple):
        return (train,)
    cardinality = getattr(train, "cardinality", None)
    if callable(cardinality) and int(cardinality()) == -1:  # type: ignore[call-overload]
        raise CalibrationError(
            "the training data set repeats for ever: leave out .repeat(), epochs are counted here"
        )
    if hasattr(train, "__getitem__") and hasattr(train, "__len__"):
        return (train[index] for index in range(len(train)))
    if hasattr(train, "__iter__"):
        return train
    if callable(train):
        return train()  # type: ignore[no-any-return]
    raise CalibrationError(
        f"training data of type {type(train).__name__} can't be read: give a tuple "
        "(inputs, labels), a tf.data.Dataset, a PyDataset or a generator of batches"
    )


def _append(
    item: Sequence[Any],
    inputs: Sequence[ModelInput],
    outputs: Sequence[str],
    folder: Path,
    files: contextlib.ExitStack,
    written: Written,
    where: str,
    bound: int,
) -> None:
    names = [(one.name, *one.keys) for one in inputs]
    given = _flat(item[0], names, f"{where}: inputs")
    labels = _flat(item[1], [(name,) for name in outputs], f"{where}: labels")
    weights = [np.asarray(item[2])] if len(item) == 3 and item[2] is not None else []
    counts = [len(array) for array in (*given, *labels, *weights)]
    if len(set(counts)) != 1:
        raise CalibrationError(
            f"{where}: inputs, labels and weights have {', '.join(f'{n:,}' for n in counts)} "
            "samples: give as many of each"
        )
    for one, array in zip(inputs, given, strict=True):
        if array.shape[1:] != one.shape:
            raise CalibrationError(
                f"{where}: input {one.name!r} has samples of shape {array.shape[1:]}, and the "
                f"model takes {one.shape}"
            )
    for role, arrays in (("inputs", given), ("labels", labels), ("weights", weights)):
        columns = getattr(written, role)
        for place, array in enumerate(arrays):
            if place == len(columns):
                columns.append(_column(f"{role}{place}.bin", array, role, folder, files))
            _write(array, columns[place], where, role)
    if sum(f.stat().st_size for f in folder.glob("*.bin")) > bound:
        raise CalibrationError(
            f"the training data is larger than {bound >> 20:,} MiB, or never ends: give less of "
            'it, or train with quantize="qat", which reads it as it goes'
        )


def _column(
    name: str, array: np.ndarray, role: str, folder: Path, files: contextlib.ExitStack
) -> Column:
    dtype = np.dtype(np.float32) if role == "inputs" or array.dtype.kind == "f" else array.dtype
    handle = files.enter_context((folder / name).open("wb"))
    return Column(name, handle, dtype, array.shape[1:])


def _write(array: np.ndarray, column: Column, where: str, role: str) -> None:
    if array.shape[1:] != column.shape:
        raise CalibrationError(
            f"{where}: {role} have shape {array.shape[1:]} a sample, {column.shape} before"
        )
    for rows in _slices(array):
        values = np.ascontiguousarray(rows, column.dtype)
        if column.dtype.kind == "f" and not np.isfinite(values).all():
            raise CalibrationError(f"{where}: {role} hold values that are NaN or infinite")
        column.handle.write(values.tobytes())
        column.rows += len(values)
    column.handle.flush()


def _slices(array: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(array), _SLICE):
        yield array[start : start + _SLICE]


def _flat(value: Any, names: Sequence[tuple[str, ...]], where: str) -> list[np.ndarray]:
    """One array a name, from a dict, a list, or an array that is alone."""
    if isinstance(value, Mapping):
        found = [next((value[key] for key in one if key in value), None) for one in names]
        missing = [one[0] for one, array in zip(names, found, strict=True) if array is None]
        if missing:
            raise CalibrationError(f"{where} have no {missing[0]!r}: {sorted(map(str, value))}")
    elif isinstance(value, (list, tuple)) and len(names) > 1:
        found = list(value)
    else:
        found = [value]
    if len(found) != len(names):
        raise CalibrationError(f"{where}: {len(found)} arrays for {[one[0] for one in names]}")
    arrays = [np.asarray(array) for array in found]
    for array in arrays:
        if array.ndim == 0 or array.dtype.kind not in "biuf":
            raise CalibrationError(f"{where} are no arrays of numbers ({array.dtype})")
    return arrays
