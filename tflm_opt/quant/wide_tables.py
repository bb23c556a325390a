"""The two tables of softmax on int16: 512 straight lines each, as TFLM draws them.

A line's error is greatest at half way; half of it is taken off the start. All steps are in float32,
in TFLM's order: the values depend on it.

Source: TFLite's `LUTPopulate` and `InitializeLutForInt16` of TFLM's softmax.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

_STEPS = 512
_CODES = 65535
_LOW, _HIGH = -32768, 32767

Function = Callable[[np.ndarray], np.ndarray]


@cache
def softmax() -> tuple[np.ndarray, np.ndarray]:
    """(exp(x) for x from -10 to 0, 1 / (1 + x) for x from 0 to 1): 513 int16 each, 2^15 for 1.

    >>> [table[[0, -1]].tolist() for table in softmax()]
    [[2, 32767], [32767, 16384]]
    """
    return _table(10.0, _HIGH, _exp), _table(1.0, _LOW, _inverse)


def _exp(x: np.ndarray) -> np.ndarray:
    """As a C library's expf, which is the nearest float32 but for rare ties."""
    return np.exp(x.astype(np.float64)).astype(np.float32)


def _inverse(x: np.ndarray) -> np.ndarray:
    return np.float32(1) / (np.float32(1) + x)


def _table(span: float, zero_point: int, function: Function) -> np.ndarray:
    """Lines over `span`, of which `zero_point` is the code for 0."""
    one = np.float32
    scale, unit = one(span) / one(_CODES), one(2) / one(_CODES)
    start, stop = (scale * one(code - zero_point) for code in (_LOW, _HIGH))
    step = (stop - start) / one(_STEPS)
    factor = one(_CODES + 1) / (unit * one(_HIGH) - unit * one(_LOW))
    index = np.arange(_STEPS, dtype=np.float32)
    at = start + index * step
    first = _round(function(at) * factor)
    after = function(start + (index + one(1)) * step) * factor
    middle = _round(function(at + step / one(2)) * factor)
    error = _round((after + first) / one(2)) - middle
    starts = np.clip(first - _round(error / one(2)), _LOW, _HIGH)
    last = np.clip(_round(function(np.array([stop], np.float32)) * factor), _LOW, _HIGH)
    return np.concatenate([starts, last]).astype(np.int16)


def _round(values: np.ndarray) -> np.ndarray:
    """To nearest, halves away from zero."""
    return np.trunc(values + np.copysign(np.float32(0.5), values))
