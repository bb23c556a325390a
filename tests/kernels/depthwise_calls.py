"""Calls of depthwise kernels on an emulated core: what they write, what it costs.

    calls = [Call(rng, kernel=(3, 3), output=(5, 7), channels=13, ...)]
    for call, result in zip(calls, run(calls, boards.get("qemu_m4"), folder)):
        call.check(result)

See `window_calls` for how.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import window_calls
from window_calls import Pair, Result, WindowCall

from tflm_opt.boards import Board

PLAIN = 2  # of what is called: the kernel that checks nothing

MAIN = window_calls.program(
    params="cmsis_nn_dw_conv_params",
    span=f"now.function & {PLAIN} ? tflm_opt_depthwise_plain_lines_s8 "
    ": tflm_opt_depthwise_lines_s8",
    image=f"now.function & {PLAIN} ? tflm_opt_depthwise_plain_s8 : arm_depthwise_conv_wrapper_s8",
    size="arm_depthwise_conv_s8_get_buffer_size",
    wrapper_size="arm_depthwise_conv_wrapper_s8_get_buffer_size",
)


@dataclass(slots=True)
class Call(WindowCall):
    """One call, with random data.

    Attributes:
        channels: of the input; each makes `multiplier` outputs.
        weights: more than the largest of the filter.
        halves: whether all multipliers are 1/2, so that many sums lie between two outputs.
        plain: whether the kernel that checks nothing is called, which takes only `is_plain`.
    """

    kernel: Pair = (3, 3)
    source: Pair = (8, 8)
    output: Pair = (8, 8)
    padding: Pair = (1, 1)
    shifts: Pair = (-9, -6)
    bias: int | None = 1 << 11
    channels: int = 8
    multiplier: int = 1
    weights: int = 128
    halves: bool = False
    plain: bool = False

    def __post_init__(self) -> None:
        outputs = self.channels * self.multiplier
        self._draw((*self.kernel, outputs), self.channels, outputs, self.weights)
        if self.halves:
            self.quant[0] = 1 << 30

    @property
    def macs(self) -> int:
        """Products, those with borders counted."""
        rows, columns = self.output if self.span is None else (1, self.span[2])
        return rows * columns * self.biases.size * self.kernel[0] * self.kernel[1]

    @property
    def is_plain(self) -> bool:
        """What `tflm_opt_depthwise_plain_s8` asks for: the header's words once more."""
        axes = zip(
            *(self.padding, self.kernel, self.dilation, self.output, self.stride, self.source),
            strict=True,
        )
        most = (1 << 30) - (1 << 15) * self.kernel[0] * self.kernel[1]
        return (
            self.multiplier == 1
            and self.channels >= 4
            and self.kernel[0] <= 16
            and bool((self.quant[1] < 0).all() and (np.abs(self.biases) < most).all())
            and all(
                before <= (taps - 1) * apart and (made - 1) * step - before < size >= apart
                for before, taps, apart, made, step, size in axes
            )
        )

    @property
    def room(self) -> int:
        return max(self.scratch, 0) or asked(self)

    @property
    def function(self) -> int:
        return PLAIN * self.plain

    @property
    def filter_dims(self) -> tuple[int, ...]:
        return (1, *self.filters.shape)

    @property
    def more_params(self) -> tuple[int, ...]:
        return (self.multiplier,)

    def deep(self) -> np.ndarray:
        return np.repeat(self.image.astype(np.int64) - self.zero_point, self.multiplier, 2)

    def products(self, seen: np.ndarray, y: int, x: int) -> np.ndarray:
        return seen * self.filters[y, x].astype(np.int64)


def scratch_bytes(call: Call, rows: int, columns: int, stride: Pair | None = None) -> int:
    """Scratch for bands of so many output rows and columns: the header's formula once more."""
    down, across = stride or call.stride
    height, most = call.kernel[0], max(call.kernel)
    width = 5 if most <= 5 else 7
    if height == most == 3 and down == across:  # two rows and two columns at once
        width = 3
    taps = 2 if width == 3 else -(-height // 2) + (height // 2 + 1) * (down % 2)
    pairs = -(-((rows - 1) * down + height) // 2)
    pitch = (columns - 1) * across + width
    return 16 * (taps * width + 7 + pairs * pitch) + 12 * (pairs + taps + rows) + 248


def asked(call: Call) -> int:
    """What the kernel asks for."""
    if max(call.kernel) > 7 or call.multiplier != 1 or call.channels < 4:
        return 0
    width = call.source[1]
    strides = [(down, across) for down in (1, 2) for across in (1, 2)]
    return max(scratch_bytes(call, 4, -(-width // s[1]), s) for s in strides)


def run(calls: Sequence[Call], board: Board, folder: Path) -> list[Result]:
    """All calls, one after the other, in one emulated run."""
    return window_calls.run(calls, board, folder, MAIN)
