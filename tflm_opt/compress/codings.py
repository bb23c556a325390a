"""The codings that TFLM's op DECODE reads: look-up tables, and a bit map of what isn't zero.

An encoded tensor comes in two parts: packed bits, and ancillary data, which begin with a header of
16 bytes (0: kind of coding; 1: version of the header, 1; 4 to 15: the coding's own).

Look-up table, kind 0. The bits are indices of 1 to 7 bits, most significant bit first, without
gaps. Header byte 4 is the coding's version, 1; byte 5 holds the axis of the tables in its upper
half (15: one table for all) and the width of an index in its lower three bits; byte 6 how many
values a table has. The tables follow the header, one a channel. Runtimes of 2025 take the axis from
the tensor's quantization, so tables are a channel each exactly where scales are: right for all.

Pruning, kind 2. One bit a value, most significant bit first, set where it isn't the zero point.
Header byte 4 is the version, 1. The values that are set follow the header.

Source: tflite-micro, `decode_state_lut.cc` and `decode_state_prune.cc`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..graph import Tensor

HEADER = 16
LUT, PRUNING = 0, 2
MOST_BITS = 7
_ONE_TABLE = 15  # in the place of an axis
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Encoded:
    """One coding of a tensor.

    Attributes:
        coding: "lut4" (a look-up table with indices of 4 bits), "pruning", ...
        packed, ancillary: the two tensors' bytes.
    """

    coding: str
    packed: bytes
    ancillary: bytes

    @property
    def size(self) -> int:
        return len(self.packed) + len(self.ancillary)


def best(tensor: Tensor) -> Encoded | None:
    """The smallest coding of a constant int8 tensor; None where none is smaller than it is.

    Example:
        >>> best(weights).coding
        'lut4'
    """
    if tensor.data is None or tensor.dtype != "int8" or not tensor.elements:
        return None
    found = [one for one in (lut(tensor), pruning(tensor)) if one and one.size < tensor.nbytes]
    return min(found, key=lambda one: one.size, default=None)


def lut(tensor: Tensor) -> Encoded | None:
    """As indices into tables of a channel each, or one for a tensor quantized as a whole.

    None where a table would have too many values, or channels lie along an axis in the middle.
    """
    assert tensor.data is not None
    axis = _axis(tensor)
    if axis is not None and axis not in (0, len(tensor.shape) - 1):
        return None
    rows = tensor.data[np.newaxis] if axis is None else np.moveaxis(tensor.data, axis, 0)
    pairs = [np.unique(row, return_inverse=True) for row in rows]
    length = max(len(values) for values, _ in pairs)
    bits = max(1, (length - 1).bit_length())
    if bits > MOST_BITS:
        return None
    indices = np.stack(
        [found.reshape(row.shape) for (_, found), row in zip(pairs, rows, strict=True)]
    )
    indices = indices[0] if axis is None else np.moveaxis(indices, 0, axis)
    tables = np.zeros((len(pairs), length), np.int8)
    for table, (values, _) in zip(tables, pairs, strict=True):
        table[: len(values)] = values
    place = _ONE_TABLE if axis is None else axis
    header = _header(LUT, _VERSION, place << 4 | bits, length)
    return Encoded(f"lut{bits}", _packed(indices, bits), header + tables.tobytes())


def pruning(tensor: Tensor) -> Encoded | None:
    """As a bit map and the values that aren't zero; None for a zero point other than 0."""
    assert tensor.data is not None
    axis = _axis(tensor)
    if axis is not None and axis not in (0, len(tensor.shape) - 1):
        return None
    if tensor.quant is not None and tensor.quant.zero_point.any():
        return None
    kept = tensor.data != 0
    header = _header(PRUNING, _VERSION)
    return Encoded("pruning", _packed(kept, 1), header + tensor.data[kept].tobytes())


def _axis(tensor: Tensor) -> int | None:
    """The axis along which a tensor has scales of its own; None if it has one scale."""
    return tensor.quant.axis if tensor.quant is not None and tensor.quant.per_channel else None


def _header(kind: int, *own: int) -> bytes:
    return bytes([kind, _VERSION, 0, 0, *own]).ljust(HEADER, b"\0")


def _packed(indices: np.ndarray, bits: int) -> bytes:
    """Indices of `bits` bits each, most significant first, one after another."""
    spread = np.unpackbits(indices.astype(np.uint8).reshape(-1, 1), axis=1)[:, 8 - bits :]
    return np.packbits(spread).tobytes()
