"""Calls of depthwise kernels on an emulated core: what they write, what it costs.

    calls = [Call(rng, kernel=(3, 3), output=(5, 7), channels=13, ...)]
    for call, result in zip(calls, run(calls, boards.get("qemu_m4"), folder)):
        call.check(result)

One program serves all calls. It reads a record a call: an arena that holds everything, and where in
it is what. The arena ends where memory ends, and with it an input or a filter: who reads on faults.
It comes back whole, so that nothing is written beside outputs and scratch unseen. The oracle is the
definition of the convolution and of TFLM's rounding, in int64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import targets

from tflm_opt.boards import Board
from tflm_opt.kernels import table
from tflm_opt.runtime import machine, qemu

Pair = tuple[int, int]
WITHOUT_SCRATCH = -1
_GAP = 32

MAIN = """\
#include "tflm_opt_kernels.h"
#include "harness.h"
#include "qemu_timer.h"
#include "semihost.h"

#include <string.h>

extern char qemu_heap_end[];

struct record {
    int32_t arena, wide, lines, multiplier, shift, bias, filter, input, output;
    int32_t scratch, scratch_size;
    cmsis_nn_dw_conv_params params;
    cmsis_nn_dims input_dims, filter_dims, output_dims;
    tflm_opt_span span;
    int32_t front, ring_rows, ring_step, front_step, ring_x, front_x, base, fresh;
};

static struct record now;
static char *arena;

static arm_cmsis_nn_status invoke(void)
{
    const cmsis_nn_context ctx = {now.scratch < 0 ? NULL : arena + now.scratch, now.scratch_size};
    const cmsis_nn_per_channel_quant_params quant = {(int32_t *)(arena + now.multiplier),
                                                     (int32_t *)(arena + now.shift)};
    const int32_t *bias = now.bias < 0 ? NULL : (int32_t *)(arena + now.bias);
    const int8_t *input = (int8_t *)(arena + now.input);
    const int8_t *filter = (int8_t *)(arena + now.filter);
    int8_t *output = (int8_t *)(arena + now.output);
    if (now.lines) {
        const tflm_opt_lines_shape shape = {input, (int8_t *)(arena + now.front), now.ring_rows,
                                            now.ring_step, now.front_step};
        const tflm_opt_lines lines = {&shape, now.ring_x, now.front_x, now.base, now.fresh};
        return tflm_opt_depthwise_lines_s8(&ctx, &now.params, &quant, &now.input_dims, &lines,
                                           &now.filter_dims, filter, NULL, bias, &now.output_dims,
                                           &now.span, output);
    }
    return arm_depthwise_conv_wrapper_s8(&ctx, &now.params, &quant, &now.input_dims, input,
                                         &now.filter_dims, filter, NULL, bias, &now.output_dims,
                                         output);
}

int main(void)
{
    const int calls = semihost_open("calls.bin", SEMIHOST_READ);
    const int results = semihost_open("results.bin", SEMIHOST_WRITE);
    qemu_timer_start();
    while (!semihost_read(calls, &now, sizeof now)) {
        int32_t result[4];
        struct qemu_time start, stop;
        arena = qemu_heap_end - now.arena;
        if (semihost_read(calls, arena, (size_t)now.arena)) {
            return 1;
        }
        start = qemu_timer_read();
        result[0] = invoke();
        stop = qemu_timer_read();
        result[1] = (int32_t)qemu_timer_instructions(stop.fine - start.fine,
                                                     stop.coarse - start.coarse);
        result[2] = arm_depthwise_conv_s8_get_buffer_size(&now.input_dims, &now.filter_dims);
        result[3] = arm_depthwise_conv_wrapper_s8_get_buffer_size(
            &now.params, &now.input_dims, &now.filter_dims, &now.output_dims);
        if (semihost_write(results, result, sizeof result) ||
            semihost_write(results, arena, (size_t)now.arena)) {
            return 2;
        }
    }
    return 0;
}
"""


@dataclass(slots=True)
class Call:
    """One call, with random data.

    Attributes:
        kernel, stride, padding, dilation: down and across; padding is above and to the left.
        source, output: rows and columns.
        scratch: bytes; `WITHOUT_SCRATCH`; 0 for as much as the kernel asks for.
        weights: more than the largest of the filter.
        halves: whether all multipliers are 1/2, so that many sums lie between two outputs.
        buffer: whether there is one, but for `WITHOUT_SCRATCH`.
        span: y, x and count of the pixels that are made through rings; None for the whole image.
        ring: rows before the ring begins anew (`base`), and those that come from the front
            (`fresh`).
        last: what ends where memory ends: "input" or "filter".
    """

    rng: np.random.Generator
    kernel: Pair = (3, 3)
    source: Pair = (8, 8)
    output: Pair = (8, 8)
    channels: int = 8
    stride: Pair = (1, 1)
    padding: Pair = (1, 1)
    dilation: Pair = (1, 1)
    multiplier: int = 1
    scratch: int = 0
    buffer: bool = True
    zero_point: int = 0
    output_offset: int = 3
    bounds: Pair = (-128, 127)
    shifts: Pair = (-9, -6)
    bias: int | None = 1 << 11
    weights: int = 128
    halves: bool = False
    span: tuple[int, int, int] | None = None
    ring: Pair = (0, 0)
    last: str = "input"
    noise: int = 0
    filters: np.ndarray = field(init=False)
    image: np.ndarray = field(init=False)
    biases: np.ndarray = field(init=False)
    quant: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        outputs = self.channels * self.multiplier
        self.filters = self.rng.integers(
            -self.weights, self.weights, (*self.kernel, outputs), np.int8
        )
        self.image = self.rng.integers(-128, 128, (*self.source, self.channels), np.int8)
        most = 0 if self.bias is None else self.bias
        self.biases = self.rng.integers(-most, most + 1, outputs).astype(np.int32)
        low, high = self.shifts
        self.quant = np.stack(
            [
                self.rng.integers(1 << 30, 1 << 31, outputs),
                self.rng.integers(low, high + 1, outputs),
            ]
        ).astype(np.int32)
        if self.halves:
            self.quant[0] = 1 << 30

    @property
    def macs(self) -> int:
        """Products, those with borders counted."""
        rows, columns = self.output if self.span is None else (1, self.span[2])
        return rows * columns * self.biases.size * self.kernel[0] * self.kernel[1]

    def expected(self) -> np.ndarray:
        """The output, by definition."""
        (height, width), (rows, columns) = self.kernel, self.output
        above, left = self.padding
        deep = np.repeat(self.image.astype(np.int64) - self.zero_point, self.multiplier, 2)
        reach_h = (rows - 1) * self.stride[0] + (height - 1) * self.dilation[0] + 1
        reach_w = (columns - 1) * self.stride[1] + (width - 1) * self.dilation[1] + 1
        canvas = np.zeros(
            (
                max(reach_h, above + deep.shape[0]),
                max(reach_w, left + deep.shape[1]),
                deep.shape[2],
            ),
            np.int64,
        )
        canvas[above : above + deep.shape[0], left : left + deep.shape[1]] = deep
        sums = np.zeros((rows, columns, deep.shape[2]), np.int64) + self.biases
        for y in range(height):
            for x in range(width):
                top, first = y * self.dilation[0], x * self.dilation[1]
                seen = canvas[top :: self.stride[0], first :: self.stride[1]][:rows, :columns]
                sums += seen * self.filters[y, x].astype(np.int64)
        made = requantized(sums, *self.quant.astype(np.int64)) + self.output_offset
        image = np.clip(made, *self.bounds).astype(np.int8)
        if self.span is None:
            return image
        y, x, count = self.span
        return image[y : y + 1, x : x + count]

    # ---- the arena ----

    def record(self) -> tuple[np.ndarray, bytes, dict[str, slice]]:
        """The arena, the record for the program, and where outputs and scratch are."""
        rng = np.random.default_rng(self.noise)
        pieces: dict[str, np.ndarray | int] = {
            "multiplier": self.quant[0],
            "shift": self.quant[1],
            "bias": self.biases,
            "scratch": max(self.scratch, 0) or asked(self),
            "output": self.expected().size,
            "filter": self.filters,
        }
        rows = _in_rings(self) if self.span else {"ring": self.image, "front": self.image[:0]}
        pieces |= rows
        if self.last == "filter":
            pieces["filter"] = pieces.pop("filter")
        places: dict[str, slice] = {}
        end = _GAP
        for name, piece in pieces.items():
            size = piece if isinstance(piece, int) else piece.nbytes
            aligned = name in ("multiplier", "shift", "bias", "scratch")
            end = -(-end // 16) * 16 + (0 if aligned else int(rng.integers(0, 4)))
            places[name] = slice(end, end + size)
            end += size + _GAP
        arena = rng.integers(0, 256, -(-(end - _GAP) // 16) * 16, dtype=np.uint8)
        last = [name for name in pieces if places[name].start != places[name].stop][-1]
        moved = places[last].stop - places[last].start
        places[last] = slice(arena.size - moved, arena.size)
        for name, piece in pieces.items():
            if isinstance(piece, np.ndarray):
                arena[places[name]] = np.frombuffer(piece.tobytes(), np.uint8)
        return arena, self._header(arena.size, places, rows), places

    def _header(self, size: int, places: dict[str, slice], rows: dict[str, np.ndarray]) -> bytes:
        at = {name: place.start for name, place in places.items()}
        base, fresh = self.ring
        outputs = self.biases.size
        has_buffer = self.buffer and self.scratch != WITHOUT_SCRATCH
        numbers = [
            *(size, 0, self.span is not None, at["multiplier"], at["shift"]),
            *(-1 if self.bias is None else at["bias"], at["filter"], at["ring"], at["output"]),
            *(at["scratch"] if has_buffer else -1, self.scratch),
            *(-self.zero_point, self.output_offset, self.multiplier, *self.stride[::-1]),
            *(*self.padding[::-1], *self.dilation[::-1], *self.bounds),
            *(1, *self.source, self.channels, 1, *self.kernel, outputs, 1, *self.output, outputs),
            *(self.span or (0, 0, 0)),
            *(at["front"], len(rows["ring"]), self.source[1] * self.channels),
            *(self.source[1] * self.channels, 0, 0, base, fresh),
        ]
        return np.array(numbers, np.int32).tobytes()

    def check(self, result: Result) -> None:
        """Fail unless a call's output is right and nothing else changed but scratch."""
        _, _, places = self.record()
        assert result.status == 0, f"{self}: status {result.status}"
        expected = self.expected()
        written = result.arena[places["output"]].view(np.int8).reshape(expected.shape)
        if not np.array_equal(written, expected):
            wrong = np.argwhere(written != expected)
            at = tuple(int(i) for i in wrong[0])
            raise AssertionError(
                f"{self}: {len(wrong)} of {written.size} are wrong, first at {at}: "
                f"{written[at]}, not {expected[at]}"
            )
        self.check_untouched(result, "output", "scratch")

    def check_untouched(self, result: Result, *but: str) -> None:
        """Fail if a byte changed outside of the pieces of these names."""
        arena, _, places = self.record()
        changed = arena != result.arena
        for name in but:
            changed[places[name]] = False
        assert not changed.any(), f"{self}: wrote at {np.flatnonzero(changed)[:8]} of {places}"

    def __str__(self) -> str:
        text = f"{self.kernel} of {self.source} to {self.output} x {self.channels}"
        text += f" stride {self.stride} padding {self.padding} dilation {self.dilation}"
        return text + f" scratch {self.scratch} span {self.span} ring {self.ring}"


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


def _in_rings(call: Call) -> dict[str, np.ndarray]:
    """An image's rows in a ring that begins with row `base`, and those from `fresh` on in front."""
    base, fresh = call.ring
    return {
        "ring": np.concatenate([call.image[base:fresh], call.image[:base]]),
        "front": call.image[fresh:],
    }


def requantized(sums: np.ndarray, multiplier: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """TFLM's two roundings: a doubling high product, then a division by a power of two."""
    left, right = np.maximum(shift, 0), np.maximum(-shift, 0)
    wide = (sums << left).astype(np.int32).astype(np.int64) * multiplier
    nudge = np.where(wide >= 0, 1 << 30, 1 - (1 << 30))
    high = (np.abs(wide + nudge) >> 31) * np.sign(wide + nudge)
    mask = (1 << right) - 1
    threshold = (mask >> 1) + (high < 0)
    return (high >> right) + ((high & mask) > threshold)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a call; `sizes` are the two entry points' buffer sizes."""

    status: int
    instructions: int
    sizes: Pair
    arena: np.ndarray


def run(calls: Sequence[Call], board: Board, folder: Path) -> list[Result]:
    """All calls, one after the other, in one emulated run."""
    program = build(board, folder)
    sizes = []
    with open(folder / "calls.bin", "wb") as file:
        for call in calls:
            arena, header, _ = call.record()
            file.write(header + arena.tobytes())
            sizes.append(arena.size)
    qemu.start(program, board, folder)
    data = (folder / "results.bin").read_bytes()
    results, at = [], 0
    for size in sizes:
        status, instructions, *asked = np.frombuffer(data, np.int32, 4, at).tolist()
        arena = np.frombuffer(data, np.uint8, size, at + 16)
        results.append(Result(status, instructions, (asked[0], asked[1]), arena))
        at += 16 + size
    return results


def build(board: Board, folder: Path) -> Path:
    """The program that serves calls, for a board."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "main.c").write_text(MAIN, "utf-8")
    (folder / "calls.ld").write_text(machine.linker_script(board), "utf-8")
    program = folder / "calls.elf"
    gcc = [machine.compiler(), *board.flags, *machine.ENGINE_FLAGS, "-std=gnu11"]
    targets.run(
        [
            *(*gcc, f"-I{table.INCLUDE}", f"-I{machine.CORE}"),
            *(f"-D{macro}" for macro in machine.defines(board)),
            *("main.c", *map(str, sorted(machine.CORE.glob("*.c")))),
            *map(str, targets.library(board.id)),
            *(*machine.LINK_FLAGS, "-Tcalls.ld", "-o", str(program)),
        ],
        folder,
    )
    return program
