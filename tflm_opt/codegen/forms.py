"""What each kernel does with scratch: the sizes that help, the blocks that it works in, its work.

The mirror of the kernels' C: `tflm_opt_gemm.h` and `tflm_opt_depthwise.h` have the same formulas,
and the tests compare them. `codegen.rooms` makes choices of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from tflm_opt.codegen import depthwise_work
from tflm_opt.graph.ir import Op
from tflm_opt.graph.options import ConvOptions

# Instructions of int16 kernels: (a product, an output) without and with scratch; a value put there.
WIDE_PLAIN, WIDE_PAIRED, WIDE_TAKEN = (5.0, 120.0), (1.17, 66.0), 6.7


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
        """Estimated instructions, with so much scratch; `tier`: see `kernels.table.pace_of`."""
        ...


def up(value: int, step: int) -> int:
    """`value` rounded up to a multiple of `step`."""
    return -(-value // step) * step


# More bytes than there are.
_NEVER = 1 << 40
# Pixels that `tflm_opt_mve.h` makes together, with scratch and without.
MVE_PIXELS = 3


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
        staged: whether scratch has room for two windows to be gathered, on the kernel that takes
            any convolution: also where none is, of pointwise ones with steps.
    """

    pixels: int
    channels: int
    depth: int
    gathered: bool
    staged: bool = False

    # Bytes of two channels' biases, multipliers, constants and shifts, and of where they are.
    _SHORT = 36
    _PIXELS = (2, 4, 8, 16, 32)

    @property
    def _pair(self) -> int:
        return 4 * up(self.depth, 4)

    @property
    def _fixed(self) -> int:
        return 2 * up(self.depth, 4) if self.gathered or self.staged else 0

    @property
    def least(self) -> int:
        return self._pair + self._SHORT + self._pair

    @property
    def _all(self) -> int:
        """With the weights of all channels; one channel alone has none of this."""
        if self.channels < 2:
            return _NEVER
        pairs = -(-self.channels // 2)
        return self._fixed + pairs * (self._pair + self._SHORT) + self._pair

    def sizes(self) -> Iterator[int]:
        for pixels in (*self._PIXELS, self.pixels):
            if pixels <= up(self.pixels, 2):
                yield self.least + (up(pixels, 2) // 2 - 1) * self._pair
        if self.channels > 1:
            yield self._all
        if self.gathered:
            yield max(self.least, 3 * up(self.depth, 4) + 4 * self.channels)

    def together(self, size: int) -> int:
        """Pixels of a block, for scratch of `least` or more."""
        if size >= self._all:
            return 2
        return 2 * (1 + (size - self.least) // self._pair)

    def block(self, size: int) -> int:
        if size < self.least:
            return 1 if self.gathered else MVE_PIXELS * self.channels
        return max(self.together(size), MVE_PIXELS) * self.channels

    def work(self, size: int, tier: str) -> float:
        macs = self.pixels * self.channels * self.depth
        outputs = self.pixels * self.channels
        if tier == "mve":  # for pointwise ones scratch makes no difference
            if not self.gathered:
                return 0.16 * macs + 2.0 * outputs + (1.2 * self.depth + 80) * self.pixels
            folded = size >= 3 * up(self.depth, 4) + 4 * self.channels
            sums = 8.0 if folded else 120.0
            return 0.13 * macs + sums * outputs + 130 * self.pixels
        if tier == "thumb1":
            return self._in_groups(size)
        if size < self.least:
            return (1.6 * macs if tier == "dsp" else 2.5 * macs) + 45.0 * outputs
        if tier == "portable":
            return 1.9 * macs + 21.0 * outputs + 2.7 * self.pixels * self.depth
        return self._multiplied(size)

    def _in_groups(self, size: int) -> float:
        """Instructions of cores with few registers: groups of four pixels, lines, or windows."""
        outputs = self.pixels * self.channels
        taken = self.pixels * self.depth
        group = max(16 * self.depth, self.least + self._pair)
        if group <= size < self._all - self._fixed:
            return 2.85 * self.depth * outputs + 42.0 * outputs + 5.0 * taken
        if self.gathered and size < self.depth:
            return 3.95 * self.depth * outputs + 52.0 * outputs
        return 3.75 * self.depth * outputs + 42.0 * outputs + 5.0 * taken

    def _multiplied(self, size: int) -> float:
        """Instructions of cores with the DSP extension: counted, those of borders measured."""
        along = size >= self._all
        block = self.pixels if along else min(self.together(size), up(self.pixels, 2))
        blocks = -(-self.pixels // block)
        doubled = self.depth <= block
        steps = up(self.depth, 4) // 4
        inputs, weights = up(self.pixels, 2) // 2, up(self.channels, 2) // 2
        rounds = -(-(steps - 1) // 36)
        tile = 10 * steps + 4 * rounds + (17 if along else 19) + (0 if doubled else 4)
        pair = (12 if doubled else 8) * steps + 95 + (0 if along else 50)
        taken = 8 * steps + (40 if along else 30)
        made = tile * inputs * weights + pair * weights * blocks + taken * inputs
        return made + (5 * self.depth + 250) * self._borders

    @property
    def _borders(self) -> float:
        """Pairs of windows that are gathered: about one a row."""
        return math.sqrt(self.pixels) if self.gathered else 0.0


@dataclass(frozen=True, slots=True)
class Depthwise:
    """Channel by channel (`tflm_opt_depthwise.h`): words of pairs of rows of four channels.

    A band of output rows is made at a time, as many as scratch has room for; its outputs may be
    written before its last inputs are read. With dilation, bands and columns are those of a phase,
    and a block is a band of each.

    Attributes:
        rows, columns, channels: of the output.
        kernel: taps down and across.
        stride, dilation: down and across.
        taps: inside the input, all of a column of outputs and all of a row of them: rows in the
            middle of an image read no padding. None with padding as TensorFlow's `same`.
    """

    rows: int
    columns: int
    channels: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int] = (1, 1)
    taps: tuple[int, int] | None = None

    _TAPS = 7
    _BANDS = (1, 2, 4, 8)
    _WORTH_IT = 10  # outputs of a band

    def _bytes(self, rows: int, columns: int) -> int:
        """Scratch for bands of so many rows and columns."""
        height, most = self.kernel[0], max(self.kernel)
        down, across = self.stride
        if height == most == 3 and down == across:  # two rows and two columns of outputs at once
            width, taps = 3, 2
        else:
            width = 5 if most <= 5 else 7
            taps = (height + 1) // 2 + (height // 2 + 1) * (down % 2)
        pairs = ((rows - 1) * down + height + 1) // 2
        pitch = (columns - 1) * across + width
        return 16 * (taps * width + 7 + pairs * pitch) + 12 * (pairs + taps + rows) + 248

    @property
    def in_words(self) -> bool:
        """Whether the kernel has words for this filter."""
        steps = (1, 2) if self.dilation == (1, 1) else (1,)
        return max(self.kernel) <= self._TAPS and self.stride[1] in steps

    @property
    def _phase(self) -> tuple[int, int]:
        """Rows and columns of the largest phase; of all, without dilation."""
        return -(-self.rows // self.dilation[0]), -(-self.columns // self.dilation[1])

    @property
    def least(self) -> int:
        return max(self._bytes(1, self._phase[1]), self._mve(1, 4))

    @property
    def _tiles(self) -> int:
        """Tiles of 4x4 side by side, and one below the other, of `tflm_opt_mve_words.h`."""
        return 1 + (max(self.kernel) > 4)

    def _mve(self, rows: int, columns: int) -> int:
        """Bytes with which its kernel makes bands of so many rows and columns."""
        tiles, down = self._tiles, self.stride[0]
        width = (up(columns, 2) - 1) * self.stride[1] + (4 * tiles - 1) * self.dilation[1] + 1
        shared = 4 % down == 0 and self.dilation[0] == 1
        below = 0 if tiles == 1 else 4 // down if shared else rows
        return 64 * (4 * tiles * tiles + (rows + below) * width) + 4 * (rows * columns + 4)

    @property
    def _paired(self) -> bool:
        steps = self.kernel, self.stride, self.dilation
        return steps == ((3, 3), (1, 1), (1, 1)) and min(self.rows, self.columns) > 1

    def _mve_pairs(self, pairs: int) -> int:
        """Bytes with which it makes bands of so many pairs of rows."""
        return 64 * (5 + pairs * (up(self.columns, 2) + 2))

    def _mve_band(self, size: int) -> int:
        """Rows of its bands."""
        if self._paired:
            every = range(1, up(self.rows, 2) // 2 + 1)
            return min(2 * _most(every, size, self._mve_pairs), self.rows) or 1
        return _most(range(2, self.rows + 1), size, lambda n: self._mve(n, self.columns)) or 1

    def sizes(self) -> Iterator[int]:
        if not self.in_words:
            return
        height, columns = self._phase
        for rows in (*self._BANDS, height):
            if rows <= height:
                yield max(self._bytes(rows, columns), self.least)
        if self._paired:
            for pairs in (1, 2, 4, up(self.rows, 2) // 2):
                yield max(self._mve_pairs(pairs), self.least)
            return
        for rows in (*self._BANDS, self.rows):
            if rows <= self.rows:
                yield max(self._mve(rows, self.columns), self.least)

    def _band(self, size: int) -> int:
        """Rows of a band of a phase; 0 for the kernel that needs no scratch."""
        if not self.in_words or size < self.least:
            return 0
        height, columns = self._phase
        return _most(range(1, height + 1), size, lambda n: self._bytes(n, columns))

    def block(self, size: int) -> int:
        band = self._band(size)
        if not band and not size:
            return 1
        # With less than `least`, rows are made in parts, channels one after the other.
        rows = min(band * self.dilation[0], self.rows)
        return max(rows, self._mve_band(size)) * self.columns * self.channels

    def work(self, size: int, tier: str) -> float:
        outputs = self.rows * self.columns * self.channels
        taps = self.kernel[0] * self.kernel[1]
        sizes = self.rows, self.columns, self.channels
        layer = depthwise_work.Layer(*sizes, self.kernel, self.stride, self.dilation[1], self.taps)
        band = self._band(size)
        if tier == "thumb1":
            return outputs * (7.3 * taps + 30)
        if tier == "portable":
            return outputs * (9.0 * taps + 4)
        if tier == "mve":
            return self._by_vectors(size, layer)
        if not band:
            return depthwise_work.directly(layer)
        height, columns = self._phase
        if band * columns < self._WORTH_IT:
            return depthwise_work.directly(layer)
        if self.dilation != (1, 1):
            layer = replace(layer, rows=height, columns=columns, gap=1, taps=None)
        return math.prod(self.dilation) * depthwise_work.in_words(layer, band)

    def _by_vectors(self, size: int, layer: depthwise_work.Layer) -> float:
        """Instructions of cores with vectors: see `depthwise_work`."""
        if not self._band(size):
            return depthwise_work.by_pixels(layer)
        band = self._mve_band(size)
        if self._paired:
            return depthwise_work.by_pairs(layer, band)
        parts = 1 + (size < self._mve(1, self.columns))
        return depthwise_work.by_tiles(layer, band, parts)


def _most(numbers: range, size: int, bytes_of: Callable[[int], int]) -> int:
    """The largest that takes no more bytes than there are; 0 if none does."""
    return max((n for n in numbers if bytes_of(n) <= size), default=0)


@dataclass(frozen=True, slots=True)
class Dense:
    """Rows times weights (`tflm_opt_dense.h`, `tflm_opt_dense_words.h`): fully connected layers.

    In scratch lies one row, unpacked, so that it is done once and not for each block of channels.

    Attributes:
        rows: of the input.
        channels: of the output.
        depth: products of one output.
        in_words: whether the portable tier has a use for it.
    """

    rows: int
    channels: int
    depth: int
    in_words: bool

    _RECORD = 40
    _TOGETHER = 3

    @property
    def least(self) -> int:
        return 2 * (self.depth & ~3)

    @property
    def _words(self) -> int:
        return 4 * self.depth + self._RECORD

    def sizes(self) -> Iterator[int]:
        if self.least:
            yield self.least
        if self.in_words:
            yield self._words

    def block(self, size: int) -> int:
        return 1

    def work(self, size: int, tier: str) -> float:
        outputs = self.rows * self.channels
        row = self.rows * self.depth
        if tier == "mve":  # it doesn't use it
            return 0.0
        if tier == "dsp":
            # 1.7 is 0.4 less than measured: layers of few channels take the kernel of the others.
            each, taken = (1.21, 1.4) if size < self.least else (1.15, 1.7)
            return (each * self.depth + 14) * outputs + taken * row
        if size < self._words or not self.in_words:
            return (2.4 * self.depth + 20) * outputs
        made = self.rows * up(self.channels, self._TOGETHER)
        return (2.11 * self.depth + 10) * made + 3.8 * row


@dataclass(frozen=True, slots=True)
class Wide:
    """Products of int16 data (`dsp/arm_convolve_wrapper_s16.c`): two pixels' windows in scratch.

    Attributes:
        outputs: of the op.
        channels: of the output.
        taps: products of one output.
    """

    outputs: int
    channels: int
    taps: int

    @property
    def least(self) -> int:
        return 4 * up(self.taps, 4)

    def sizes(self) -> Iterator[int]:
        yield self.least

    def block(self, size: int) -> int:
        return 1 if size < self.least else 2 * self.channels

    def work(self, size: int, tier: str) -> float:
        if tier not in ("dsp", "mve") or size < self.least:
            return (WIDE_PLAIN[0] * self.taps + WIDE_PLAIN[1]) * self.outputs
        windows = self.outputs // self.channels * self.taps
        alone = 2 if self.outputs == self.channels else 1
        made = (WIDE_PAIRED[0] * alone * self.taps + WIDE_PAIRED[1]) * self.outputs
        return made + WIDE_TAKEN * windows


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
    if _shape(op, 0)[3] != channels:
        return None
    steps = options.stride, options.dilation
    return Depthwise(rows, columns, channels, (height, width), *steps, _taps_inside(op, options))


def _taps_inside(op: Op, options: ConvOptions) -> tuple[int, int]:
    """As `Depthwise.taps`."""
    padding = options.padding.top, options.padding.left
    down, across = (
        sum(
            0 <= at * stride + tap * gap - before < size
            for at in range(outputs)
            for tap in range(kernel)
        )
        for outputs, kernel, stride, gap, before, size in zip(
            op.output.shape[1:3],
            _shape(op, 1)[1:3],
            options.stride,
            options.dilation,
            padding,
            _shape(op, 0)[1:3],
            strict=True,
        )
    )
    return down, across


def _dense(op: Op) -> Form | None:
    channels, depth = _shape(op, 1)
    weights = op.inputs[1]
    scales = 1 if weights is None or weights.quant is None else len(weights.quant.scale)
    in_words = depth % 4 == 0 and scales == 1
    return Dense(op.output.elements // channels, channels, depth, in_words)


def _wide(op: Op) -> Form | None:
    filters = _shape(op, 1)
    channels = filters[0]
    if op.kind == "CONV_2D" and _shape(op, 0)[3] != filters[3]:
        return None  # groups
    return Wide(op.output.elements, channels, math.prod(filters[1:]))


def _shape(op: Op, position: int) -> tuple[int, ...]:
    tensor = op.inputs[position]
    assert tensor is not None
    return tensor.shape


def _unpacked(op: Op) -> Form | None:
    from tflm_opt.codegen.unpacked import form

    return form(op, {"CONV_2D": _convolution, "DEPTHWISE_CONV_2D": _depthwise}.get(op.kind))


FORMS: dict[str, Callable[[Op], Form | None]] = {
    "arm_convolve_1x1_s8_fast": _pointwise,
    "arm_convolve_wrapper_s8": _convolution,
    "arm_convolve_wrapper_s16": _wide,
    "arm_depthwise_conv_wrapper_s8": _depthwise,
    "tflm_opt_fully_connected_spread_s8": _dense,
    "tflm_opt_depthwise_plain_s8": _depthwise,
    "tflm_opt_convolve_s4": _unpacked,
    "tflm_opt_depthwise_s4": _unpacked,
    "tflm_opt_fully_connected_s4": _unpacked,
}
