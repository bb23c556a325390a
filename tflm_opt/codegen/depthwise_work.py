"""Instructions of depthwise convolutions on cores with the DSP extension, or with vectors.

The mirror of `tflm_opt_depthwise_squares_s8.c` and its siblings, for `codegen.forms`: on average
within 3 % of what was measured (with vectors, 6 %), and within 14 % at worst.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer's output, and its filter: taps and strides are down and across.

    Attributes:
        gap: from one tap of a row to the next.
        taps: inside the input, all of a column of outputs and all of a row of them; None with
            padding as TensorFlow's `same`.
    """

    rows: int
    columns: int
    channels: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    gap: int = 1
    taps: tuple[int, int] | None = None


def inside(layer: Layer, axis: int) -> int:
    """Taps inside the input, all along an axis."""
    if layer.taps is not None:
        return layer.taps[axis]
    outputs = (layer.rows, layer.columns)[axis]
    kernel, stride = layer.kernel[axis], layer.stride[axis]
    padding = max(kernel - stride, 0) // 2
    starts = range(-padding, outputs * stride - padding, stride)
    return sum(min(at + kernel, outputs * stride) - max(at, 0) for at in starts)


def directly(layer: Layer) -> float:
    """Instructions of cores with the DSP extension, pixel by pixel, fitted to measurements."""
    pixels = layer.rows * layer.columns
    taps = inside(layer, 0) * inside(layer, 1)
    tap, output, pixel = (
        (0.7, 35, 180) if layer.kernel[1] <= 3 and layer.gap == 1 else (3.7, 18, 215)
    )
    return -(-layer.channels // 4) * 4 * (tap * taps + output * pixels) + pixel * pixels


def in_words(layer: Layer, band: int) -> float:
    """Instructions of the same cores, by words, from their code; fitted where that varies."""
    down, across = layer.stride
    whole, left = divmod(layer.rows, band)
    bands = [band] * whole + [left] * (left > 0)
    read = min(layer.columns * across, (layer.columns - 1) * across + layer.kernel[1])
    in_squares = layer.kernel == (3, 3) and down == across
    each = 0.0
    for rows in bands:
        pairs = min((rows - 1) * down + layer.kernel[0], layer.rows * down + 1) / 2
        each += 86 + pairs * (8 + 3.0 * read) + 3.2 * layer.kernel[0] * layer.kernel[1]
        each += _squares(layer, rows) if in_squares else _groups(layer, rows)
    return -(-layer.channels // 4) * 4 * each + 970 * len(bands) + 1850


def _squares(layer: Layer, rows: int) -> float:
    """Of a channel of a band, two rows and two columns of outputs at once."""
    columns, one = divmod(layer.columns, 2)
    square = 54 if layer.stride[1] == 1 else 58
    return rows // 2 * (square * columns + 38 * one + 14) + rows % 2 * 34 * (columns + one)


def _groups(layer: Layer, rows: int) -> float:
    """Of a channel of a band, four columns of outputs at once."""
    groups, left = divmod(layer.columns, 4)
    taps = 5 if max(layer.kernel) <= 5 else 7
    pair = 5 * taps + 4  # of rows: all its products for a group, and what they need
    last = (0, 2 * taps + 1, 3 * taps + 2, pair)[left]
    rows_inside = inside(layer, 0) / layer.rows
    pairs = min(rows_inside + 1, layer.kernel[0] + 1) / 2
    return rows * (36 + groups * (33 + pairs * pair) + (left > 0) * 25 + pairs * last)


def by_pixels(layer: Layer) -> float:
    """Instructions of cores with vectors, without scratch: 16 channels of a pixel at a time."""
    pixels = layer.rows * layer.columns
    taps = inside(layer, 0) * inside(layer, 1)
    groups = -(-layer.channels // 16)
    if layer.channels < 16:  # eight at a time
        groups = -(-layer.channels // 8)
        return groups * (12 * taps + 90 * pixels) + 70 * pixels
    return groups * (17 * taps + 55 * pixels) + 70 * pixels + 100 * layer.rows


def by_pairs(layer: Layer, band: int) -> float:
    """The same by words of pairs of rows, 3x3 with steps of one, in bands of so many rows."""
    squares = -(-layer.rows // 2) * -(-layer.columns // 2)
    bands = -(-layer.rows // band)
    return layer.channels * (18.8 * squares + 19.4 * layer.rows + 56 * bands)


def by_tiles(layer: Layer, band: int, parts: int) -> float:
    """The same by tiles, in bands of so many rows, or in parts of a row."""
    rows, (down, across) = layer.rows, layer.stride
    bands = -(-rows // band)
    is_small = max(layer.kernel) <= 4
    read = rows if is_small else rows + bands * min(4 // down, band)
    sums = (6 if is_small else 18) * rows * -(-layer.columns // 2)
    outputs = 11 * -(-rows * layer.columns // 4)
    words = 0.875 * read * (layer.columns * across + 2)
    return layer.channels * (sums + outputs + words + parts * (13 * rows + 22 * read + 40 * bands))
