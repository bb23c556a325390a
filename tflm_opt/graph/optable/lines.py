"""Where the rows of an op that stretches its image lie, as integers.

    place of output row i, in input rows = (i · step + start) / unit

A resize or a transposed convolution that makes rows [a, b) of input rows [lo, hi) is the same
line with another start: `(a · step + start) - lo · unit`. So a band needs three numbers, and bands
at the same phase need the same ones: of a doubled image, those that begin at even rows, and those
that begin at odd ones.
"""

from __future__ import annotations

from functools import lru_cache
from math import gcd
from typing import NamedTuple

import numpy as np

from .. import options
from ..ir import Op
from .spec import operand

ONE = 1024  # TFLite's fixed point of image coordinates


class Line(NamedTuple):
    """Output place i is at (i · step + start) / unit."""

    step: int
    start: int
    unit: int

    def at(self, first: int, lowest: int) -> Line:
        """The line of output places from `first` on, over an input that begins at `lowest`.

        >>> Line(1, 0, 2).at(5, 2)
        Line(step=1, start=1, unit=2)
        """
        return self._replace(start=first * self.step + self.start - lowest * self.unit)


def row_line(op: Op) -> Line | None:
    """The line of an op's rows; None for ops that have none.

    >>> row_line(resize_nearest_8_to_16)
    Line(step=1, start=0, unit=2)
    """
    if op.kind == "RESIZE_NEAREST_NEIGHBOR":
        return nearest_line(op, 1)
    if op.kind == "RESIZE_BILINEAR":
        return bilinear_line(op, 1)
    record = op.options
    if op.kind == "TRANSPOSE_CONV" and isinstance(record, options.TransposeConvOptions):
        return Line(1, record.padding.top, record.stride[0])
    return None


def bilinear_line(op: Op, axis: int) -> Line:
    """In 1/1024 of a place, rounded as TFLM does."""
    record = op.options
    if axis == 1 and isinstance(record, options.BandResizeBilinearOptions):
        return Line(record.step, record.start, ONE)
    top, bottom = _ratio(op, axis)
    step = (ONE * top + bottom // 2) // bottom
    return Line(step, step // 2 - ONE // 2 if _half_pixel(op) else 0, ONE)


@lru_cache(maxsize=1024)
def nearest_line(op: Op, axis: int) -> Line | None:
    """The line through TFLM's places, which it finds in float32; None if there is no such line."""
    record = op.options
    if axis == 1 and isinstance(record, options.BandResizeNearestOptions):
        return Line(record.step, record.start, record.unit)
    top, bottom = _ratio(op, axis)
    corners, half = _corners(op), _half_pixel(op)
    shared = gcd(2 * top, 2 * bottom)
    start = ((top if half else 0) + (bottom if corners else 0)) // shared
    line = Line(2 * top // shared, start, 2 * bottom // shared)
    size, out = operand(op, 0).shape[axis], op.outputs[0].shape[axis]
    places = np.minimum((np.arange(out) * line.step + line.start) // line.unit, size - 1)
    return line if np.array_equal(places, nearest_places(op, axis)) else None


def nearest_places(op: Op, axis: int) -> np.ndarray:
    """The input place of each output place, in TFLM's own float32 arithmetic."""
    size, count = operand(op, 0).shape[axis], op.outputs[0].shape[axis]
    top, bottom = _ratio(op, axis)
    scale = np.float32(top) / np.float32(bottom)
    centers = np.arange(count, dtype=np.float32) + np.float32(0.5 if _half_pixel(op) else 0)
    at = (centers * scale).astype(np.float64)
    found = np.floor(at + 0.5 if _corners(op) else at).astype(np.int64)
    return np.minimum(found, size - 1)


def _ratio(op: Op, axis: int) -> tuple[int, int]:
    """Places of the input and of the output that lie equally far apart."""
    size, count = operand(op, 0).shape[axis], op.outputs[0].shape[axis]
    return (size - 1, count - 1) if _corners(op) and count > 1 else (size, count)


def _corners(op: Op) -> bool:
    return bool(getattr(op.options, "align_corners", False))


def _half_pixel(op: Op) -> bool:
    return bool(getattr(op.options, "half_pixel_centers", False))
