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
    _check_inputs(model, inputs, f"the {what} data")
    for array in arrays:
        _require_finite(array, what)
    check_labels(model, loss, labels, what)


def check_weights(weights: Any, labels: Any) -> None:
    """Refuse weights of samples that are none: another number of them than of labels, or NaN.

    Raises:
        CalibrationError: says which.
    """
    import keras

    count = len(keras.tree.flatten(labels)[0])
    for array in map(np.asarray, keras.tree.flatten(weights)):
        if not array.ndim or len(array) != count:
            raise CalibrationError(
                f"the training data has {count:,} samples and "
                f"{len(array) if array.ndim else 1:,} weights of samples: give one for each"
            )
        _require_finite(array, "weights of the training")


def _check_inputs(model: Any, inputs: Any, where: str) -> None:
    """Refuse samples of another shape than the model's inputs have."""
    import keras

    arrays = keras.tree.flatten(inputs)
    if isinstance(inputs, dict) or len(arrays) != len(model.inputs):
        return  # Keras finds out which is which, and says so
    for array, one in zip(arrays, model.inputs, strict=True):
        have, want = tuple(np.shape(array)[1:]), tuple(one.shape[1:])
        # Keras itself adds or takes off a last axis of 1.
        alike = {have, (*have, 1), have[:-1] if have[-1:] == (1,) else have}
        if None not in want and want not in alike:
            raise CalibrationError(
                f"{where} has samples of shape {have} for input {one.name!r}, which takes {want}"
            )


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


class Checked:
    """The batches of one pass after another, each looked at before it is trained on.

    Keras reads a generator in a thread of TensorFlow's, which makes an error of its own of any that
    comes up there; so the first is kept, in `error`.
    """

    def __init__(self, model: Any, loss: Any) -> None:
        self._model, self._loss = model, loss
        self._first_pass = 0
        self.error: Exception | None = None

    def batches(self, generator: Any) -> Iterator[Any]:
        """The batches of a pass.

        Raises:
            CalibrationError: no batch at all, or one that can't be learned from.
        """
        count = 0
        try:
            for batch in generator:
                check_batch(batch, self._model, self._loss, f"batch {count} of the training data")
                count += 1
                yield batch
            self._ended(count)
        except Exception as error:
            self.error = self.error or error
            raise

    def _ended(self, count: int) -> None:
        if not count:
            raise CalibrationError("the training data has no batch: it ended before the first one")
        if count < self._first_pass:
            raise CalibrationError(
                f"the training data ended early: the first pass had {self._first_pass} batches and "
                f"this one {count}. Let the function return a new generator at each call"
            )
        self._first_pass = count


def check_batch(
    batch: Any, model: Any, loss: Any, where: str = "the first batch of the training data"
) -> None:
    """Refuse a batch that can't be learned from.

    Raises:
        CalibrationError: no labels, other shapes than the model or the loss takes, NaN.
    """
    import keras

    if not isinstance(batch, (tuple, list)) or len(batch) not in (2, 3):
        raise CalibrationError(
            f"{where} is {type(batch).__name__}, so the training data has no labels: let each "
            "batch be a tuple (inputs, labels)"
        )
    _check_inputs(model, batch[0], where)
    arrays = [np.asarray(one) for one in keras.tree.flatten([batch[0], batch[1]])]
    counts = {one.shape[0] if one.ndim else 0 for one in arrays}
    if len(counts) != 1 or 0 in counts:
        raise CalibrationError(
            f"{where} has {' and '.join(map(str, sorted(counts)))} samples of inputs and labels: "
            "give as many of each, and at least one"
        )
    for array in arrays:
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise CalibrationError(f"{where} holds NaN or infinity: leave such samples out")
    check_labels(model, loss, batch[1], f"{where.removeprefix('the ')}'s")


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
