"""Calls of kernels that slide windows over an image, on an emulated core: one program serves all.

    for call, result in zip(calls, run(calls, boards.get("qemu_m4"), folder, MAIN)):
        call.check(result)

The program reads a record a call: an arena that holds everything, and where in it is what. The
arena ends where memory ends, and with it an input or a filter: who reads on faults. It comes back
whole, so that nothing is written beside outputs and scratch unseen. The oracle is the definition of
the convolution and of TFLM's rounding, in int64. `convolution_calls` and `depthwise_calls` say what
is called, and what a tap is.
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
LIBRARY_SIZE = 0
SPAN = 1  # of what is called: a part of a row, through rings
_GAP = 32

_MAIN = """\
#include "tflm_opt_kernels.h"
#include "harness.h"
#include "qemu_timer.h"
#include "semihost.h"

extern char qemu_heap_end[];

struct record {
    int32_t arena, function, multiplier, shift, bias, filter, input, output;
    int32_t scratch, scratch_size;
    @PARAMS@ params;
    cmsis_nn_dims input_dims, filter_dims, output_dims;
    tflm_opt_span span;
    int32_t front, ring_rows, ring_step, front_step, base, fresh;
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
    const tflm_opt_lines_shape shape = {input, (int8_t *)(arena + now.front), now.ring_rows,
                                        now.ring_step, now.front_step};
    const tflm_opt_lines lines = {&shape, 0, 0, now.base, now.fresh};
    if (now.function & 1) {
        return (@SPAN@)(
            &ctx, &now.params, &quant, &now.input_dims, &lines, &now.filter_dims, filter, NULL,
            bias, &now.output_dims, &now.span, output);
    }
    return (@IMAGE@)(
        &ctx, &now.params, &quant, &now.input_dims, input, &now.filter_dims, filter, NULL, bias,
        &now.output_dims, output);
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
        result[2] = @SIZE@(&now.input_dims, &now.filter_dims);
        result[3] = @WRAPPER_SIZE@(&now.params, &now.input_dims, &now.filter_dims,
                                   &now.output_dims);
        if (semihost_write(results, result, sizeof result) ||
            semihost_write(results, arena, (size_t)now.arena)) {
            return 2;
        }
    }
    return 0;
}
"""


def program(*, params: str, span: str, image: str, size: str, wrapper_size: str) -> str:
    """The program's C.

    Args:
        params: the type of the parameters.
        span, image: which function takes rings, or a whole image: C of `now.function`, of which
            bit 0 (`SPAN`) tells one from the other.
        size, wrapper_size: the functions that tell two entry points' buffer sizes.
    """
    text = _MAIN
    for name, value in (
        ("PARAMS", params),
        ("SPAN", span),
        ("IMAGE", image),
        ("SIZE", size),
        ("WRAPPER_SIZE", wrapper_size),
    ):
        text = text.replace(f"@{name}@", value)
    return text


@dataclass(slots=True)
class WindowCall:
    """One call, with random data.

    Attributes:
        kernel, stride, padding, dilation: down and across; padding is above and to the left.
        source, output: rows and columns.
        scratch: bytes; `WITHOUT_SCRATCH`; `LIBRARY_SIZE` for a buffer with size 0, which is as much
            as the kernel asks for.
        buffer: whether there is one, but for `WITHOUT_SCRATCH`.
        shifts: the least and the greatest.
        bias: the largest absolute value; None for none.
        span: y, x and count of the pixels that are made through rings; None for the whole image.
        ring: rows before the ring begins anew (`base`), and those that come from the front
            (`fresh`).
        last: what ends where memory ends: "input" or "filter".
        skew: bytes from an aligned address to scratch.
        noise: a seed for all bytes of the arena that nobody set.
    """

    rng: np.random.Generator
    kernel: Pair = (1, 1)
    source: Pair = (5, 5)
    output: Pair = (5, 5)
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    scratch: int = LIBRARY_SIZE
    buffer: bool = True
    zero_point: int = 0
    output_offset: int = 3
    bounds: Pair = (-128, 127)
    shifts: Pair = (-10, -7)
    bias: int | None = 1 << 12
    span: tuple[int, int, int] | None = None
    ring: Pair = (0, 0)
    last: str = "input"
    skew: int = 0
    noise: int = 0
    filters: np.ndarray = field(init=False)
    image: np.ndarray = field(init=False)
    biases: np.ndarray = field(init=False)
    quant: np.ndarray = field(init=False)

    def _draw(self, filters: tuple[int, ...], depth: int, outputs: int, most: int = 128) -> None:
        """All data: filters of a shape, below `most`, an image, biases and scales."""
        self.filters = self.rng.integers(-most, most, filters, dtype=np.int8)
        self.image = self.rng.integers(-128, 128, (*self.source, depth), dtype=np.int8)
        limit = 0 if self.bias is None else self.bias
        self.biases = self.rng.integers(-limit, limit + 1, outputs).astype(np.int32)
        low, high = self.shifts
        factors = self.rng.integers(1 << 30, 1 << 31, outputs)
        shifts = self.rng.integers(low, high + 1, outputs)
        self.quant = np.stack([factors, shifts]).astype(np.int32)

    # ---- what kinds of calls differ in ----

    @property
    def room(self) -> int:
        """Bytes of the arena for scratch."""
        raise NotImplementedError

    @property
    def function(self) -> int:
        """What is called, beside `SPAN`."""
        raise NotImplementedError

    @property
    def filter_dims(self) -> tuple[int, ...]:
        raise NotImplementedError

    @property
    def more_params(self) -> tuple[int, ...]:
        """Parameters between the offsets and the strides."""
        return ()

    def deep(self) -> np.ndarray:
        """The image less its zero point, int64, as taps meet it."""
        return self.image.astype(np.int64) - self.zero_point

    def products(self, seen: np.ndarray, y: int, x: int) -> np.ndarray:
        """What a tap adds to all outputs, from what it sees of `deep`."""
        raise NotImplementedError

    # ---- the oracle ----

    def expected(self) -> np.ndarray:
        """The output, by definition."""
        (height, width), (rows, columns) = self.kernel, self.output
        above, left = self.padding
        deep = self.deep()
        reach_h = (rows - 1) * self.stride[0] + (height - 1) * self.dilation[0] + 1
        reach_w = (columns - 1) * self.stride[1] + (width - 1) * self.dilation[1] + 1
        size = (max(reach_h, above + deep.shape[0]), max(reach_w, left + deep.shape[1]))
        canvas = np.zeros((*size, deep.shape[2]), np.int64)
        canvas[above : above + deep.shape[0], left : left + deep.shape[1]] = deep
        sums = np.zeros((rows, columns, self.biases.size), np.int64) + self.biases
        for y in range(height):
            for x in range(width):
                top, first = y * self.dilation[0], x * self.dilation[1]
                seen = canvas[top :: self.stride[0], first :: self.stride[1]][:rows, :columns]
                sums += self.products(seen, y, x)
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
            "scratch": self.room,
            "output": self.expected().size,
            "filter": self.filters,
        }
        rows = self._in_rings() if self.span else {"ring": self.image, "front": self.image[:0]}
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
        if self.scratch > 0:  # of what is left for a skew, nothing is scratch
            start = places["scratch"].start + self.skew
            places["scratch"] = slice(start, start + self.scratch)
        return arena, self._header(arena.size, places, rows), places

    def _header(self, size: int, places: dict[str, slice], rows: dict[str, np.ndarray]) -> bytes:
        at = {name: place.start for name, place in places.items()}
        depth = self.image.shape[2]
        has_buffer = self.buffer and self.scratch != WITHOUT_SCRATCH
        numbers = [
            *(size, SPAN * (self.span is not None) + self.function),
            *(at["multiplier"], at["shift"], -1 if self.bias is None else at["bias"]),
            *(at["filter"], at["ring"], at["output"]),
            *(at["scratch"] if has_buffer else -1, self.scratch),
            *(-self.zero_point, self.output_offset, *self.more_params),
            *(*self.stride[::-1], *self.padding[::-1], *self.dilation[::-1], *self.bounds),
            *(1, *self.source, depth, *self.filter_dims, 1, *self.output, self.biases.size),
            *(self.span or (0, 0, 0)),
            *(at["front"], len(rows["ring"]), *(self.source[1] * depth,) * 2, *self.ring),
        ]
        return np.array(numbers, np.int32).tobytes()

    def _in_rings(self) -> dict[str, np.ndarray]:
        """Rows in a ring that begins with row `base`, and those from `fresh` on in front."""
        base, fresh = self.ring
        ring = np.concatenate([self.image[base:fresh], self.image[:base]])
        return {"ring": ring, "front": self.image[fresh:]}

    def check(self, result: Result) -> None:
        """Fail unless a call's output is right and nothing else changed but scratch."""
        places = self.record()[2]
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
        text = f"{self.kernel} of {self.image.shape} to {self.output} x {self.biases.size}"
        text += f" stride {self.stride} padding {self.padding} dilation {self.dilation}"
        text += f" zero point {self.zero_point} shifts {self.shifts} bounds {self.bounds}"
        text += f" scratch {self.scratch} span {self.span} ring {self.ring}"
        return f"{text} function {self.function}"


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


def run(calls: Sequence[WindowCall], board: Board, folder: Path, main: str) -> list[Result]:
    """All calls, one after the other, in one emulated run of a `program`."""
    product = build(board, folder, main)
    sizes = []
    with open(folder / "calls.bin", "wb") as file:
        for call in calls:
            arena, header, _ = call.record()
            file.write(header + arena.tobytes())
            sizes.append(arena.size)
    qemu.start(product, board, folder)
    data = (folder / "results.bin").read_bytes()
    results, at = [], 0
    for size in sizes:
        status, instructions, *asked = np.frombuffer(data, np.int32, 4, at).tolist()
        arena = np.frombuffer(data, np.uint8, size, at + 16)
        results.append(Result(status, instructions, (asked[0], asked[1]), arena))
        at += 16 + size
    return results


def build(board: Board, folder: Path, main: str) -> Path:
    """The program that serves calls, for a board."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "main.c").write_text(main, "utf-8")
    (folder / "calls.ld").write_text(machine.linker_script(board), "utf-8")
    product = folder / "calls.elf"
    gcc = [machine.compiler(), *board.flags, *machine.ENGINE_FLAGS, "-std=gnu11"]
    targets.run(
        [
            *(*gcc, f"-I{table.INCLUDE}", f"-I{machine.CORE}"),
            *(f"-D{macro}" for macro in machine.defines(board)),
            *("main.c", *map(str, sorted(machine.CORE.glob("*.c")))),
            *map(str, targets.library(board.id)),
            *(*machine.LINK_FLAGS, "-Tcalls.ld", "-o", str(product)),
        ],
        folder,
    )
    return product
