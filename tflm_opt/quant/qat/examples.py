"""Training data, looked at before hours are spent on it: inputs, and labels that fit the loss."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ...errors import CalibrationError, TflmOptError

_CHUNK = 4096
_SPARSE = ("sparse_categorical_crossentropy", "SparseCategoricalCrossentropy")


def split(train: Any) -> tuple[Any, Any, Any] | None:
    """Arrays as (inputs and labels, weights, validation); None for a data set.

    Raises:
        CalibrationError: a tuple of another length, or no labels.
    """
    if isinstance(train, np.ndarray):
        raise CalibrationError("the training data has no labels: give train=(inputs, labels)")
    if not isinstance(train, (tuple, list)):
        return None
    if not 2 <= len(train) <= 4:
        raise CalibrationError(
            f"train has {len(train)} parts: give (inputs, labels), (inputs, labels, weights), or "
            "(inputs, labels, validation inputs, validation labels)"
        )
    if train[1] is None:
        raise CalibrationError("the training data has no labels: give train=(inputs, labels)")
    pair = (train[0], train[1])
    if len(train) == 4:
        return pair, None, (train[2], train[3])
    return pair, train[2] if len(train) == 3 else None, None


def check(model: Any, loss: Any, inputs: Any, labels: Any, what: str = "training") -> None:
    """Refuse what can't be learned from.

    Raises:
        CalibrationError: none, unlike many, NaN, or labels that the loss can't take.
    """
    import keras

    arrays = [np.asarray(one) for one in keras.tree.flatten([inputs, labels])]
    counts = [one.shape[0] if one.ndim else 0 for one in arrays]
    if len(set(counts)) != 1 or not counts[0]:
        raise CalibrationError(
            f"the {what} data has {' and '.join(f'{count:,}' for count in counts)} samples of "
            "inputs and labels: give as many of each, and at least one"
        )
    for array in arrays:
        _require_finite(array, what)
    check_labels(model, loss, labels, what)


def _require_finite(array: np.ndarray, what: str) -> None:
    if array.dtype.kind != "f":
        return
    for start in range(0, len(array), _CHUNK):
        chunk = array[start : start + _CHUNK]
        bad = ~np.isfinite(chunk).reshape(len(chunk), -1).all(1)
        if bad.any():
            raise CalibrationError(
                f"sample {start + int(bad.argmax())} of the {what} data holds NaN or infinity: "
                "leave such samples out"
            )


def check_labels(model: Any, loss: Any, labels: Any, what: str = "training") -> None:
    """Refuse labels that the loss can't take; only where there is one output and a known loss."""
    name = loss if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__)
    if len(model.outputs) != 1 or isinstance(loss, (dict, list)) or isinstance(labels, dict):
        return
    shape, array = tuple(model.outputs[0].shape[1:]), np.asarray(labels)
    if name in _SPARSE:
        _check_classes(array, shape, what)
        return
    if name not in _KNOWN:
        return
    have, want = int(np.prod(array.shape[1:])), int(np.prod(shape))
    if have != want:
        hint = ""
        if "ategorical" in name and have == 1:
            hint = ": they look like class numbers, so compile the model with "
            hint += '"sparse_categorical_crossentropy", or give keras.utils.to_categorical(labels)'
        raise CalibrationError(
            f"the {what} labels are {_shown(array.shape[1:])} a sample, and the model gives "
            f"{_shown(shape)}{hint}"
        )


_KNOWN = (
    *("categorical_crossentropy", "CategoricalCrossentropy", "mse", "mean_squared_error"),
    *("MeanSquaredError", "mae", "mean_absolute_error", "MeanAbsoluteError"),
    *("binary_crossentropy", "BinaryCrossentropy"),
)


def _check_classes(labels: np.ndarray, shape: tuple[int, ...], what: str) -> None:
    count = shape[-1]
    if labels.shape[1:] not in (shape[:-1], (*shape[:-1], 1)):
        one_hot = labels.shape[1:] == shape
        hint = (
            ": they look one-hot, so compile the model with "
            '"categorical_crossentropy", or give labels.argmax(-1)'
            if one_hot
            else ""
        )
        raise CalibrationError(
            f"the {what} labels are {_shown(labels.shape[1:])} a sample, and the loss takes "
            f"one class number for each of the model's predictions{hint}"
        )
    if labels.size and (labels != np.floor(labels)).any():
        raise CalibrationError(f"the {what} labels are no whole numbers, and classes are numbered")
    low, high = (int(labels.min()), int(labels.max())) if labels.size else (0, 0)
    if low < 0 or high >= count:
        raise CalibrationError(
            f"the {what} labels go from {low} to {high}, and the model has {count} classes, "
            f"0 to {count - 1}"
        )


def _shown(shape: tuple[int, ...]) -> str:
    return "×".join(str(size) for size in shape) + " values" if shape else "one value"


def batches(train: Any, epochs: int) -> Any:
    """What `fit` takes: a data set, or each pass of a function that makes generators.

    Raises:
        CalibrationError: an iterator, which would be empty after its first pass.
    """
    if isinstance(train, Iterator):
        if epochs > 1:
            raise CalibrationError(
                f"a generator ends after one pass, and {epochs} epochs need {epochs}: give a "
                "function that returns one, a tf.data.Dataset, or epochs=1"
            )
        return lambda: train
    return train


def checked(generator: Any, model: Any, loss: Any) -> Iterator[Any]:
    """The batches of a pass, the first one looked at.

    Raises:
        CalibrationError: no batch at all, no labels, or labels that don't fit.
    """
    empty = True
    for batch in generator:
        if empty:
            check_batch(batch, model, loss)
        empty = False
        yield batch
    if empty:
        raise CalibrationError("the training data has no batch: it ended before the first one")


def check_batch(batch: Any, model: Any, loss: Any) -> None:
    """Refuse a first batch that holds no labels, or others than the loss takes."""
    if not isinstance(batch, (tuple, list)) or len(batch) not in (2, 3):
        raise CalibrationError(
            "the training data has no labels: let each batch be a tuple (inputs, labels)"
        )
    check_labels(model, loss, batch[1])


def first(dataset: Any) -> Any:
    """The first batch of a data set.

    Raises:
        CalibrationError: it has none.
        TflmOptError: it is no data set.
    """
    if hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__"):  # keras.utils.PyDataset
        if len(dataset) == 0:
            raise CalibrationError("the training data has no batch")
        return dataset[0]
    try:
        found = iter(dataset)
    except TypeError as error:
        raise TflmOptError(
            f"train is {type(dataset).__name__}: give (inputs, labels), a tf.data.Dataset, a "
            "keras.utils.PyDataset, or a function that returns a generator of batches"
        ) from error
    for batch in found:
        return batch
    raise CalibrationError("the training data has no batch")
