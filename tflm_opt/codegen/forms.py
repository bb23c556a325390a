"""What each kernel does with scratch: the sizes that help, the blocks that it works in, its work.

The mirror of the kernels' C: `tflm_opt_gemm.h` and `tflm_opt_depthwise.h` have the same formulas,
and the tests compare them. `codegen.rooms` makes choices of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from tflm_opt.graph.ir import Op


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
    """

    pixels: int
    channels: int
    depth: int
    gathered: bool

    # Bytes of one channel's bias, multiplier, constant and shift.
    _SHORT = 16
    _PIXELS = (2, 4, 8, 16, 32)

    @property
    def _pair(self) -> int:
        return 4 * up(self.depth, 4)

    @property
    def _fixed(self) -> int:
        return up(self.depth, 4) if self.gathered else 0

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

    def _together(self, size: int) -> int:
        """Pixels of a block."""
        if size >= self._all:
            return 2
        return 2 * (1 + (size - self.least) // self._pair)

    def block(self, size: int) -> int:
        if size < self.least:
            return 1
        return self._together(size) * self.channels

    def work(self, size: int, tier: str) -> float:
        macs = self.pixels * self.channels * self.depth
        if tier == "portable" or size < self.least:
            return 3.0 * macs
        times = 1 if size >= self._all else -(-self.pixels // self._together(size))
        weights = (1.2 * self.depth + 25) * self.channels
        taken = (2.0 if self.gathered else 1.0) * self.pixels * self.depth
        return 0.66 * macs + 7.0 * self.pixels * self.channels + weights * times + taken


@dataclass(frozen=True, slots=True)
class Depthwise:
    """Channel by channel (`tflm_opt_depthwise.h`): words of neighbouring values of four channels.

    Attributes:
        rows, columns, channels: of the output.
        kernel: taps across and down.
        stride: across.
    """

    rows: int
    columns: int
    channels: int
    kernel: tuple[int, int]
    stride: int

    @property
    def least(self) -> int:
        return 32 * (self.columns * self.stride + 4) + 128

    def sizes(self) -> Iterator[int]:
        yield self.least

    def block(self, size: int) -> int:
        if size < self.least:
            return 1
        return 2 * self.columns * self.channels

    def work(self, size: int, tier: str) -> float:
        outputs = self.rows * self.columns * self.channels
        taps = self.kernel[0] * self.kernel[1]
        if tier == "portable":
            return outputs * (9.0 * taps + 4)
        if size < self.least:
            return outputs * (2.0 * taps + 4)
        return outputs * (1.0 * taps + 6) + 25 * self.channels


def _convolution(op: Op) -> Form | None:
    _, height, width, depth = _shape(op, 1)
    _, rows, columns, channels = op.output.shape
    if _shape(op, 0)[3] != depth:
        return None  # groups
    gathered = (height, width) != (1, 1)
    return Products(rows * columns, channels, height * width * depth, gathered)


def _depthwise(op: Op) -> Form | None:
    _, height, width, channels = _shape(op, 1)
    _, rows, columns, _ = op.output.shape
    stride = getattr(op.options, "stride", (1, 1))
    dilation = getattr(op.options, "dilation", (1, 1))
    if _shape(op, 0)[3] != channels or dilation != (1, 1):
        return None
    return Depthwise(rows, columns, channels, (height, width), stride[1])


def _shape(op: Op, position: int) -> tuple[int, ...]:
    tensor = op.inputs[position]
    assert tensor is not None
    return tensor.shape


FORMS: dict[str, Callable[[Op], Form | None]] = {
    "arm_convolve_1x1_s8_fast": _convolution,
    "arm_convolve_wrapper_s8": _convolution,
    "arm_depthwise_conv_wrapper_s8": _depthwise,
}
