"""Calibration data of any kind to a checked list of samples: one array an input, no batch axis.

Arrays, lists, dicts, `tf.data`, `PyDataset`, generators and TFLite's representative-dataset
functions all reduce to a stream of *items*, and an item to columns: one array an input, of the
input's shape (a sample) or with a batch axis in front (split). Which array belongs to which
input follows from names in a dict and from order otherwise. Labels are recognised by Keras's
rule: in a tuple `(x, y)` or `(x, y, weights)` only `x` counts.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import CalibrationError
from .floatmodel import ModelInput

Sample = tuple[np.ndarray, ...]

_FEW = 10
_FAR = 100  # times the usual peak: an outlier, or a unit mixed up

DRAWN_WARNING = (
    "NO CALIBRATION DATA WAS GIVEN: the int8 ranges come from random data drawn for the input's "
    "range, so the ACCURACY of this model is NOT TO BE TRUSTED. Its memory and speed are real. "
    "Give calibration=... some 100 real inputs before you deploy it"
)


class CalibrationWarning(UserWarning):
    """The quantized model's ranges do not come from real data, or from little of it."""


def gather(
    data: Any, inputs: Sequence[ModelInput], *, samples: int = 200, seed: int = 0
) -> list[Sample]:
    """Read at most `samples` samples out of `data` and check them.

        >>> gather(np.random.rand(50, 8, 8, 1), [ModelInput("image", (8, 8, 1))], samples=10)

    From arrays and indexable data sets a seeded choice is taken, since data on disk is often
    sorted by class; from iterables the first ones.

    Raises:
        CalibrationError: empty, a wrong shape, NaN, Inf, or an input that never varies.
    """
    if samples < 1:
        raise CalibrationError(f"samples={samples}: at least one calibration sample is needed")
    rng = np.random.default_rng(seed)
    chosen = list(itertools.islice(_stream(data, inputs, rng, samples), samples))
    if not chosen:
        raise CalibrationError(
            "the calibration data is empty. Give some 100 real inputs, or None to use drawn data"
        )
    _check(chosen, inputs)
    return chosen


def remarks(chosen: Sequence[Sample], inputs: Sequence[ModelInput]) -> tuple[str, ...]:
    """What is legal in this data and yet makes the ranges doubtful, a sentence each."""
    found = []
    if len(chosen) < _FEW:
        found.append(
            f"few calibration samples ({len(chosen)}): rare large activations may be clipped. "
            "Some 100 are usual"
        )
    for column, item in enumerate(inputs):
        peaks = [float(np.abs(one[column]).max(initial=0)) for one in chosen]
        typical, most = float(np.median(peaks)), max(peaks)
        if typical and most > _FAR * typical:
            found.append(
                f"one calibration sample of input {item.name!r} reaches {most:g}, "
                f"{most / typical:,.0f} times the median sample's {typical:g}: it alone sets the "
                "range, and the others are left few of the 256 codes. Leave it out, or use "
                "percentile ranges"
            )
        first = chosen[0][column]
        if len(chosen) > 1 and all(np.array_equal(first, one[column]) for one in chosen[1:]):
            found.append(
                f"all {len(chosen)} calibration samples of input {item.name!r} are the same"
            )
    return tuple(found)


def _stream(
    data: Any, inputs: Sequence[ModelInput], rng: np.random.Generator, samples: int
) -> Iterator[Sample]:
    if _is_one_item(data, inputs):
        columns = _columns(data, inputs, "the calibration data")
        count = len(columns[0])
        for row in np.sort(rng.permutation(count)[:samples]):
            yield tuple(column[row] for column in columns)
        return
    for index, item in enumerate(_items(data, rng)):
        columns = _columns(item, inputs, f"item {index} of the calibration data")
        yield from zip(*columns, strict=True)


def _is_one_item(data: Any, inputs: Sequence[ModelInput]) -> bool:
    """Whether `data` is arrays as a whole, and not a sequence or stream of items."""
    if isinstance(data, Mapping) or _is_array(data):
        return True
    if not isinstance(data, (list, tuple)) or not data:
        return False
    if len(inputs) > 1 and _fit(data, inputs):
        return True
    return _is_labelled(data) and _reads(data[0], inputs) and not _reads(data[1], inputs)


def _is_labelled(item: Any) -> bool:
    """Keras's convention: a tuple (x, y) or (x, y, sample_weight)."""
    return isinstance(item, tuple) and len(item) in (2, 3)


def _reads(item: Any, inputs: Sequence[ModelInput]) -> bool:
    if _is_array(item):
        return len(inputs) == 1 and _fits(item, inputs[0])
    if isinstance(item, Mapping):
        return all(_key(one, item) is not None for one in inputs)
    return _fit(item, inputs)


def _fit(item: Any, inputs: Sequence[ModelInput]) -> bool:
    return (
        isinstance(item, (list, tuple))
        and len(item) == len(inputs)
        and all(_fits(value, one) for value, one in zip(item, inputs, strict=True))
    )


def _fits(value: Any, one: ModelInput) -> bool:
    shape = tuple(np.shape(value)) if _is_array(value) else None
    return shape is not None and one.shape in (shape, shape[1:])


def _is_array(value: Any) -> bool:
    return hasattr(value, "__array__") or isinstance(value, (np.generic, int, float))


def _items(data: Any, rng: np.random.Generator) -> Iterable[Any]:
    """The items of what is not one item itself."""
    items: Any = data
    if not hasattr(data, "__iter__") and not hasattr(data, "__getitem__") and callable(data):
        items = data()  # TFLite's habit: a function that returns a generator
    if isinstance(items, (list, tuple)):
        return items
    is_text = isinstance(items, (str, bytes))
    if hasattr(items, "__getitem__") and not is_text:
        with contextlib.suppress(TypeError, NotImplementedError, AttributeError):
            order = rng.permutation(len(items)).tolist()
            return (items[index] for index in order)
    if hasattr(items, "__iter__") and not is_text:
        return items
    raise CalibrationError(
        f"calibration data of type {type(data).__module__}.{type(data).__qualname__} can't be "
        "read. Give an array, a list, a dict by input name, a tf.data.Dataset, a "
        "keras.utils.PyDataset or a generator"
    )


def _columns(item: Any, inputs: Sequence[ModelInput], where: str) -> list[np.ndarray]:
    """One array an input, each with a leading batch axis, all of one length."""
    columns = [
        _batch(value, one, where)
        for value, one in zip(_values(item, inputs, where), inputs, strict=True)
    ]
    lengths = [len(column) for column in columns]
    if len(set(lengths)) > 1:
        named = ", ".join(f"{one.name!r}: {n}" for one, n in zip(inputs, lengths, strict=True))
        raise CalibrationError(f"{where} has a different number of samples by input ({named})")
    return columns


def _values(item: Any, inputs: Sequence[ModelInput], where: str) -> Sequence[Any]:
    if isinstance(item, Mapping):
        keys = [_key(one, item) for one in inputs]
        if None in keys:
            raise CalibrationError(
                f"{where} has no value for input {inputs[keys.index(None)].name!r}: its keys are "
                f"{sorted(map(str, item))} and the model's inputs are {[o.name for o in inputs]}"
            )
        return [item[key] for key in keys]
    if isinstance(item, (list, tuple)):
        if _fit(item, inputs):
            return item
        if _is_labelled(item) or (isinstance(item, tuple) and len(item) == 1):
            return _values(item[0], inputs, where)
        if len(item) == len(inputs):
            return item
    if len(inputs) == 1:
        return [item]
    given = len(item) if isinstance(item, (list, tuple)) else "one array"
    raise CalibrationError(
        f"{where} must hold {len(inputs)} arrays, for the inputs {[o.name for o in inputs]}; "
        f"given: {given}. Name them in a dict, or give them as a list in that order"
    )


def _key(one: ModelInput, item: Mapping[Any, Any]) -> str | None:
    return next((key for key in (one.name, *one.keys) if key in item), None)


def _batch(value: Any, one: ModelInput, where: str) -> np.ndarray:
    array = _numbers(value, one, where)
    if array.shape == one.shape:
        return array[np.newaxis]
    if array.shape[1:] == one.shape and array.ndim == len(one.shape) + 1:
        return array
    raise CalibrationError(
        f"{where} has the wrong shape for input {one.name!r}: expected {one.shape}, or "
        f"{('batch', *one.shape)!r} with a batch axis, given {array.shape}".replace("'batch'", "N")
    )


def _numbers(value: Any, one: ModelInput, where: str) -> np.ndarray:
    try:
        array = np.asarray(value)
        if array.dtype.kind in "OSUc":
            raise TypeError(f"dtype {array.dtype}")
        return array
    except (TypeError, ValueError) as error:
        raise CalibrationError(
            f"{where} is no array of numbers for input {one.name!r} "
            f"({type(value).__name__}: {error})"
        ) from error


def _check(chosen: list[Sample], inputs: Sequence[ModelInput]) -> None:
    for column, one in enumerate(inputs):
        low, high = math.inf, -math.inf
        for index, sample in enumerate(chosen):
            array = sample[column]
            bad = array.size - int(np.count_nonzero(np.isfinite(array)))
            if bad:
                raise CalibrationError(
                    f"calibration sample {index} of input {one.name!r} holds {bad} values that "
                    "are NaN or infinite. Clean the data: one such value spoils every range"
                )
            if array.size:
                low, high = min(low, float(array.min())), max(high, float(array.max()))
        if low >= high:
            raise CalibrationError(
                f"calibration data for input {one.name!r} is constant: all {len(chosen)} samples "
                f"hold only the value {low:g}, so no activation range can be learnt from it. "
                "Give real inputs, or None to use drawn data"
            )
