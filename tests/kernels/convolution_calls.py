"""Calls of convolution kernels on an emulated core: what they write, what it costs.

    calls = [Call(rng, kernel=(3, 3), depth=16, channels=13, scratch=2048), ...]
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
from window_calls import LIBRARY_SIZE, WITHOUT_SCRATCH, Result, WindowCall

from tflm_opt.boards import Board

DIRECTLY = 2  # of what is called: the kernel that needs no scratch

MAIN = window_calls.program(
    params="cmsis_nn_conv_params",
    span=f"now.function & {DIRECTLY} ? tflm_opt_convolve_directly_lines_s8 "
    ": tflm_opt_convolve_lines_s8",
    image=f"now.function & {DIRECTLY} ? tflm_opt_convolve_directly_s8 : arm_convolve_wrapper_s8",
    size="arm_convolve_s8_get_buffer_size",
    wrapper_size="arm_convolve_wrapper_s8_get_buffer_size",
)


@dataclass(slots=True)
class Call(WindowCall):
    """One call, with random data.

    Attributes:
        depth, channels: of the input and of the output; multiples of `groups`.
        directly: whether the kernel that needs no scratch is called; None: where there is none.
    """

    depth: int = 8
    channels: int = 8
    groups: int = 1
    directly: bool | None = None

    def __post_init__(self) -> None:
        shape = (self.channels, *self.kernel, self.depth // self.groups)
        self._draw(shape, self.depth, self.channels)

    @property
    def macs(self) -> int:
        """Products, those with borders counted."""
        rows, columns = self.output if self.span is None else (1, self.span[2])
        return rows * columns * self.filters.size

    @property
    def room(self) -> int:
        return max(self.scratch, 0) + (1 << 16 if self.scratch == LIBRARY_SIZE else 4)

    @property
    def function(self) -> int:
        without = self.scratch == WITHOUT_SCRATCH
        return DIRECTLY * (without if self.directly is None else self.directly)

    @property
    def filter_dims(self) -> tuple[int, ...]:
        return self.filters.shape

    def products(self, seen: np.ndarray, y: int, x: int) -> np.ndarray:
        taps = np.split(self.filters[:, y, x].astype(np.int64), self.groups)
        parts = zip(np.split(seen, self.groups, axis=2), taps, strict=True)
        return np.concatenate([part @ tap.T for part, tap in parts], axis=2)


def run(calls: Sequence[Call], board: Board, folder: Path) -> list[Result]:
    """All calls, one after the other, in one emulated run."""
    return window_calls.run(calls, board, folder, MAIN)
