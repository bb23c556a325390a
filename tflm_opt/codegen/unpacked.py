"""int4 weights in flash, and the scratch that they are unpacked into.

`tflm_opt_packed.h` says how they are packed, `tflm_opt_unpack.h` how scratch is divided; the
formulas here are the same. What the kernels can't do without is little for convolutions (a pair of
channels and of pixels) and fully connected layers (four channels), and all weights for depthwise
ones, which have few. More makes larger blocks of pixels, for each of which weights are unpacked
again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from tflm_opt.codegen.forms import MVE_PIXELS, Form, Products, up
from tflm_opt.graph.ir import Op, Tensor

_WORD = 8  # weights
_TOGETHER = 4  # channels
# Instructions a weight: straight to halves, and to bytes, which are spread out after that.
_SPREAD, _UNPACK = 0.4, 1.6


def packed_words(values: np.ndarray) -> np.ndarray:
    """Weights of -8 to 7 as int32 words of eight.

    >>> hex(packed_words(np.array([[1, 2, 3, 4, -8]]))[0] & 0xFFFFFFFF)
    '0x8c8b8a09'
    """
    flat = np.zeros(up(values.size, _WORD), np.uint8)
    flat[: values.size] = values.ravel().astype(np.int16)
    halves = (flat + 8 & 15).reshape(-1, 2, 4)
    return np.ascontiguousarray(halves[:, 0] | halves[:, 1] << 4).view("<i4").reshape(-1)


def needed(op: Op) -> int:
    """Bytes of scratch that the kernel of an op with an int4 filter can't do without."""
    filters = _filters(op)
    channels, depth = filters.shape[0], filters.elements // filters.shape[0]
    if op.kind == "DEPTHWISE_CONV_2D":
        return up(filters.elements, _WORD)
    if op.kind == "FULLY_CONNECTED":
        return _bytes(min(channels, _TOGETHER) * depth)
    return _pair(filters) + 8 * up(depth, 4) + 36


def form(op: Op, of_int8: Callable[[Op], Form | None] | None) -> Form:
    """The kernel at work.

    Args:
        of_int8: the form of the same op with int8 weights, where that takes scratch.
    """
    filters = _filters(op)
    inner = None if of_int8 is None else of_int8(op)
    spread = needed(op) if op.kind == "DEPTHWISE_CONV_2D" else _pair(filters)
    if op.kind == "CONV_2D" and isinstance(inner, Products):
        # Pointwise ones are gathered by no tier; here as in the kernel that takes any.
        inner = replace(inner, staged=inner.gathered)
    rows = op.output.elements // filters.shape[0] if op.kind == "FULLY_CONNECTED" else 1
    return Unpacked(inner, needed(op), spread, filters.elements, rows)


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A kernel that unpacks weights, around the form of the int8 one.

    Attributes:
        inner: None where it has no use for scratch of its own.
        needed: bytes that it can't do without.
        pair: bytes of weights as bytes, which `inner` can't have.
        weights: of the layer.
        rows: of a fully connected layer, 1 for others.
    """

    inner: Form | None
    needed: int
    pair: int
    weights: int
    rows: int

    @property
    def least(self) -> int:
        return self.needed if self.inner is None else up(self.inner.least, 4) + self.pair

    def _left(self, size: int) -> int:
        return (max(size, self.needed) - self.pair) & ~3

    def sizes(self) -> Iterator[int]:
        for size in () if self.inner is None else self.inner.sizes():
            yield max(up(size, 4) + self.pair, self.needed)

    def block(self, size: int) -> int:
        """A block's windows are read again for other channels, after outputs of the first.

        So the size has to be that of the kernel's blocks, or a multiple: those of a larger one
        would not end where they do.
        """
        if not isinstance(self.inner, Products):
            return 1 if self.inner is None else self.inner.block(self._left(size))
        together = self.inner.together(self._left(size))
        if max(size, self.needed) >= up(self.weights, _WORD):  # maybe the int8 kernel
            together = math.lcm(together, MVE_PIXELS)
        return together * self.inner.channels

    def work(self, size: int, tier: str) -> float:
        if self.inner is None:
            return (1.5 if tier == "dsp" else 4.0) * self.weights * self.rows
        return self.inner.work(self._left(size), tier) + self._unpacking(size, tier)

    def _unpacking(self, size: int, tier: str) -> float:
        """Instructions beside those of the int8 kernel."""
        if not isinstance(self.inner, Products):
            return _UNPACK * self.weights
        if max(size, self.needed) >= up(self.weights, _WORD) and tier != "dsp":
            return _UNPACK * self.weights
        together = self.inner.together(self._left(size))
        blocks = -(-self.inner.pixels // together)
        if tier == "dsp" and not self.pair:
            return _SPREAD * self.weights * blocks
        return _UNPACK * self.weights * blocks


def _filters(op: Op) -> Tensor:
    filters = op.inputs[1]
    assert filters is not None
    return filters


def _bytes(count: int) -> int:
    """`tflm_opt_unpacked_bytes`."""
    return (count + 14) & ~7


def _pair(filters: Tensor) -> int:
    """`tflm_opt_unpacked_pair`: of a convolution, bytes for a pair of channels."""
    if len(filters.shape) != 4:
        return 0
    _, height, width, channels = filters.shape
    depth, length = height * width * channels, width * channels
    return 0 if depth % _WORD == 0 and length % 4 == 0 else _bytes(2 * depth)
