"""What each kernel does with scratch: the sizes that help, the blocks that it works in, its work.

The mirror of the kernels' C: `tflm_opt_gemm.h` and `tflm_opt_depthwise.h` have the same formulas,
and the tests compare them. `codegen.rooms` makes choices of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from tflm_opt.graph.ir import Op
from tflm_opt.graph.options import ConvOptions


class Form(Protocol):
    """A kernel at work on one op, or on a slice of one."""

    @property
    def least(self) -> int:
        """Bytes of scratch below which none is as good."""
        ...

    def sizes(self) -> Iterator[int]:
        """Sizes of scratch that are worth a look."""
        ...

    def block(self, size: int) -> int:
        """Output elements written together, with so much scratch, on any tier."""
        ...

    def work(self, size: int, tier: str) -> float:
        """Estimated instructions on a tier, with so much scratch."""
        ...


def up(value: int, step: int) -> int:
    """`value` rounded up to a multiple of `step`."""
    return -(-value // step) * step


# Pixels that `tflm_opt_mve.h` makes together, with scratch and without.
_MVE_PIXELS = 3


@dataclass(frozen=True, slots=True)
class Products:
    """Pixels times weights (`tflm_opt_gemm.h`): pointwise and other convolutions.

    In scratch lie the weights of one pair of channels, or of all of them, and the pixels of a
    block. All windows of a block are read before any of its outputs is written.

    Attributes:
        pixels: of the output.
        channels: of the output.
        depth: products of one output.
        gathered: whether windows are gathered first; not for pointwise ones.
        staged: whether scratch has room for a window to be gathered, on the kernel that takes any
            convolution: also where none is, of pointwise ones with steps.
    """

    pixels: int
    channels: int
    depth: int
    gathered: bool
    staged: bool = False

    # Bytes of one channel's bias, multiplier, constant and shift.
    _SHORT = 16
    _PIXELS = (2, 4, 8, 16, 32)

    @property
    def _pair(self) -> int:
        return 4 * up(self.depth, 4)

    @property
    def _fixed(self) -> int:
        return up(self.depth, 4) if self.gathered or self.staged else 0

    @property
    def least(self) -> int:
        return self._pair + 2 * self._SHORT + self._pair

    @property
    def _all(self) -> int:
        """With the weights of all channels."""
        pairs = -(-self.channels // 2)
        return self._fixed + pairs * (self._pair + 2 * self._SHORT) + self._pair

    def sizes(self) -> Iterator[int]:
        for pixels in (*self._PIXELS, self.pixels):
            if pixels <= up(self.pixels, 2):
                yield self.least + (up(pixels, 2) // 2 - 1) * self._pair
        yield self._all
        if self.gathered:
            yield max(self.least, 3 * up(self.depth, 4) + 4 * self.channels)

    def _together(self, size: int) -> int:
        """Pixels of a block."""
        if size >= self._all:
            return 2
        return 2 * (1 + (size - self.least) // self._pair)

    def block(self, size: int) -> int:
        if size < self.least:
            return 1 if self.gathered else _MVE_PIXELS * self.channels
        return max(self._together(size), _MVE_PIXELS) * self.channels

    def work(self, size: int, tier: str) -> float:
        macs = self.pixels * self.channels * self.depth
        outputs = self.pixels * self.channels
        if tier == "mve":  # for pointwise ones scratch makes no difference
            if not self.gathered:
                return 0.16 * macs + 2.0 * outputs + (1.2 * self.depth + 80) * self.pixels
            folded = size >= 3 * up(self.depth, 4) + 4 * self.channels
            sums = 8.0 if folded else 120.0
            return 0.13 * macs + sums * outputs + 130 * self.pixels
        if size < self.least:
            return (1.6 * macs if tier == "dsp" else 2.5 * macs) + 45.0 * outputs
        if tier == "portable":
            return 1.9 * macs + 21.0 * outputs + 2.7 * self.pixels * self.depth
        return self._multiplied(size)

    def _multiplied(self, size: int) -> float:
        """Instructions of cores with the DSP extension, fitted to measurements."""
        outputs = self.pixels * self.channels
        tiles = up(self.pixels, 2) * up(self.channels, 2)
        times = 1 if size >= self._all else -(-self.pixels // self._together(size))
        weights = (1.45 * self.depth + 60) * self.channels
        taken = ((1.3 if self.gathered else 1.0) * self.depth + 20) * self.pixels
        return 0.64 * self.depth * tiles + 6.5 * outputs + weights * times + taken


@dataclass(frozen=True, slots=True)
class Depthwise:
    """Channel by channel (`tflm_opt_depthwise.h`): words of pairs of rows of four channels.

    A band of output rows is made at a time, as many as scratch has room for; its outputs may be
    written before its last inputs are read.

    Attributes:
        rows, columns, channels: of the output.
        kernel: taps down and across.
        stride: down and across.
    """

    rows: int
    columns: int
    channels: int
    kernel: tuple[int, int]
    stride: tuple[int, int]

    _TAPS = 7
    _BANDS = (1, 2, 4, 8)

    def _bytes(self, rows: int, columns: int) -> int:
        """Scratch for bands of so many rows and columns."""
        height, most = self.kernel[0], max(self.kernel)
        down, across = self.stride
        if height == most == 3 and down == across:  # two rows and two columns of outputs at once
            tile, width, taps = 2, 3, 2
            pairs = ((up(rows, 2) - 1) * down + 4) // 2
        else:
            tile, width = 4, 5 if most <= 5 else 7
            taps = (height + 1) // 2 + (height // 2 + 1) * (down % 2)
            pairs = ((rows - 1) * down + height + 1) // 2
        pitch = (up(columns, tile) - 1) * across + width
        return 16 * (taps * width + 7 + pairs * pitch) + 12 * (pairs + taps + rows) + 296

    @property
    def in_words(self) -> bool:
        """Whether the kernel has words for this filter."""
        return max(self.kernel) <= self._TAPS and self.stride[1] in (1, 2)

    @property
    def least(self) -> int:
        return max(self._bytes(1, self.columns), self._mve(4))

    def _mve(self, columns: int) -> int:
        """Bytes with which `tflm_opt_mve.h` makes so many columns together, a multiple of 4."""
        tiles = 1 + (max(self.kernel) > 4)
        width = (columns - 1) * self.stride[1] + 4 * tiles
        return 64 * tiles * (4 * tiles + width)

    @property
    def _paired(self) -> bool:
        return self.kernel == (3, 3) and self.stride == (1, 1) and min(self.rows, self.columns) > 1

    def _mve_pairs(self, pairs: int) -> int:
        """Bytes with which it makes bands of so many pairs of rows."""
        return 64 * (5 + pairs * (up(self.columns, 2) + 2))

    def _mve_band(self, size: int) -> int:
        """Rows of its bands."""
        if not self._paired:
            return 1
        fit = [n for n in range(1, up(self.rows, 2) // 2 + 1) if self._mve_pairs(n) <= size]
        return min(2 * max(fit, default=0), self.rows) or 1

    def sizes(self) -> Iterator[int]:
        if self.in_words and self._paired:
            for pairs in (1, 2, 4, up(self.rows, 2) // 2):
                yield max(self._mve_pairs(pairs), self.least)
        if self.in_words:
            for rows in (*self._BANDS, self.rows):
                if rows <= self.rows:
                    yield max(self._bytes(rows, self.columns), self.least)
            yield max(self._mve(up(self.columns, 4)), self.least)

    def _band(self, size: int) -> int:
        """Rows of a band; 0 for the kernel that needs no scratch."""
        if not self.in_words or size < self.least:
            return 0
        return max(n for n in range(1, self.rows + 1) if self._bytes(n, self.columns) <= size)

    def block(self, size: int) -> int:
        band = self._band(size)
        if not band and not size:
            return 1
        # With less than `least`, rows are made in parts, channels one after the other.
        return max(band, self._mve_band(size)) * self.columns * self.channels

    def work(self, size: int, tier: str) -> float:
        outputs = self.rows * self.columns * self.channels
        taps = self.kernel[0] * self.kernel[1]
        band = self._band(size)
        if tier == "portable":
            return outputs * (9.0 * taps + 4)
        if not band:
            return outputs * (6.0 * taps if tier == "mve" else 2.4 * taps + 32)
        if tier == "mve":
            tiles = 1 + (max(self.kernel) > 4)
            if self._mve_band(size) > 1:
                bands = -(-self.rows // self._mve_band(size))
                return outputs * 6.4 + (10 * self.rows + 80 * bands) * self.channels
            chunks = 1 + (size < self._mve(up(self.columns, 4)))
            return outputs * (4 + 2 * tiles * tiles) + 70 * self.rows * self.channels * chunks
        return self._in_words(band)

    def _in_words(self, band: int) -> float:
        """Instructions of cores with the DSP extension, fitted to measurements."""
        taps = self.kernel[0] * self.kernel[1]
        bands = [band] * (self.rows // band) + [self.rows % band] * (self.rows % band > 0)
        read = sum((rows - 1) * self.stride[0] + self.kernel[0] for rows in bands)
        made = self.rows * self.columns
        if self.kernel == (3, 3):  # two rows and two columns at once
            made = sum(up(rows, 2) for rows in bands) * up(self.columns, 2)
        words = (2.0 * self.columns * self.stride[1] + 49) * read
        each = made * (0.75 * taps + 7.6) + words + taps * len(bands)
        return self.channels * each


def _pointwise(op: Op) -> Form | None:
    return _products(op, staged=False)


def _convolution(op: Op) -> Form | None:
    return _products(op, staged=True)


def _products(op: Op, *, staged: bool) -> Form | None:
    _, height, width, depth = _shape(op, 1)
    _, rows, columns, channels = op.output.shape
    if _shape(op, 0)[3] != depth:
        return None  # groups
    gathered = (height, width) != (1, 1)
    return Products(rows * columns, channels, height * width * depth, gathered, staged)


def _depthwise(op: Op) -> Form | None:
    _, height, width, channels = _shape(op, 1)
    _, rows, columns, _ = op.output.shape
    options = op.options
    assert isinstance(options, ConvOptions)
    if _shape(op, 0)[3] != channels or options.dilation != (1, 1):
        return None
    return Depthwise(rows, columns, channels, (height, width), options.stride)


def _shape(op: Op, position: int) -> tuple[int, ...]:
    tensor = op.inputs[position]
    assert tensor is not None
    return tensor.shape


FORMS: dict[str, Callable[[Op], Form | None]] = {
    "arm_convolve_1x1_s8_fast": _pointwise,
    "arm_convolve_wrapper_s8": _convolution,
    "arm_depthwise_conv_wrapper_s8": _depthwise,
    "tflm_opt_depthwise_plain_s8": _depthwise,
}
