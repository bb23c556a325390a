"""Kernels that make parts of rows, from rings and fronts, against the same kernels on whole images.

Those are tested against TFLM elsewhere. Here the rows lie apart in every way that a stage lays
them out, and all bytes that a part has no business reading are noise, drawn anew for a second run.
"""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tflm_opt.kernels import table
from tflm_opt.runtime.host import compiler

INT = ctypes.c_int32
BYTES = ctypes.POINTER(ctypes.c_int8)
CASES = 60


# What C reads while a case runs.
KEPT: list[Any] = []


class Shape(ctypes.Structure):
    _fields_ = (
        ("ring", BYTES),
        ("front", BYTES),
        *((name, INT) for name in ("ring_rows", "ring_step", "front_step")),
    )


class Context(ctypes.Structure):
    _fields_ = (("buf", ctypes.c_void_p), ("size", INT))


WITHOUT_SCRATCH = ctypes.pointer(Context(None, -1))


class Lines(ctypes.Structure):
    _fields_ = (
        ("shape", ctypes.POINTER(Shape)),
        *((name, INT) for name in ("ring_x", "front_x", "base", "fresh")),
    )


def lines_of(ring: np.ndarray, front: np.ndarray, rows: int, *dynamic: int) -> Lines:
    """Rows in a ring of so many slots, and a front; (ring_x, front_x, base, fresh)."""
    steps = [buffer.shape[1] * buffer.shape[2] for buffer in (ring, front)]
    shape = Shape(pointer(ring), pointer(front), rows, *steps)
    KEPT.append((ring, front, shape))
    return Lines(ctypes.pointer(shape), *dynamic)


@cache
def library() -> ctypes.CDLL:
    import tempfile

    folder = Path(tempfile.mkdtemp())
    sources = sorted(map(str, (table.SOURCES / "portable").glob("*.c")))
    product = folder / "kernels.so"
    flags = ["-O1", "-shared", "-fPIC", f"-I{table.INCLUDE}"]
    subprocess.run([compiler(), *flags, *sources, "-o", str(product)], check=True)
    return ctypes.CDLL(str(product))


def ints(*values: int) -> Any:
    return (INT * len(values))(*values)


def pointer(array: np.ndarray, at: int = 0) -> Any:
    return ctypes.cast(array.ctypes.data + at, BYTES)


@dataclass(frozen=True)
class Window:
    """An op over an image, by its whole-image kernel and the one for parts."""

    kind: str
    image: np.ndarray
    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    padding: tuple[int, int]
    out: tuple[int, int]
    channels: int
    filters: np.ndarray
    bias: np.ndarray

    def arguments(self, source: Any, *more: Any) -> list[Any]:
        """In the kernels' order; `source` is the input, `more` what ends the list."""
        (kh, kw), (sh, sw), (dh, dw) = self.kernel, self.stride, self.dilation
        h, w, c = self.image.shape
        tiles = (sw, sh, self.padding[1], self.padding[0], dw, dh)
        dims = ints(1, *self.out, self.channels)
        if self.kind in ("avgpool", "max_pool"):
            params = ints(*tiles[:4], -128, 127)
            head = [WITHOUT_SCRATCH, params, ints(1, h, w, c), source]
            return [*head, ints(1, kh, kw, 1), dims, *more]
        middle = () if self.kind == "convolve" else (self.channels // c,)
        params = ints(5, -3, *middle, *tiles, -128, 127)
        scales = [ints(*[1 << 30] * self.channels), ints(*[-7] * self.channels)]
        quant = (ctypes.c_void_p * 2)(*(ctypes.addressof(scale) for scale in scales))
        KEPT.append((scales, quant))
        depth = (
            (self.channels, kh, kw, c) if self.kind == "convolve" else (1, kh, kw, self.channels)
        )
        weights, bias = pointer(self.filters), ctypes.cast(self.bias.ctypes.data, ctypes.c_void_p)
        head = [WITHOUT_SCRATCH, params, quant, ints(1, h, w, c), source]
        return [*head, ints(*depth), weights, ints(1, 1, 1, self.channels), bias, dims, *more]

    def whole(self) -> np.ndarray:
        result = np.zeros((*self.out, self.channels), np.int8)
        arguments = self.arguments(pointer(self.image))
        if self.kind == "convolve":
            arguments.insert(-1, None)  # upscale_dims
        name = {
            "convolve": "arm_convolve_s8",
            "depthwise": "arm_depthwise_conv_s8",
            "avgpool": "arm_avgpool_s8",
            "max_pool": "arm_max_pool_s8",
        }[self.kind]
        assert getattr(library(), name)(*arguments, pointer(result)) == 0
        return result

    def reads(self, axis: int, places: range) -> list[int]:
        """Rows (axis 0) or columns of the image that windows at these places read."""
        size = self.image.shape[axis]
        found = {
            place * self.stride[axis] - self.padding[axis] + tap * self.dilation[axis]
            for place in places
            for tap in range(self.kernel[axis])
        }
        return sorted(place for place in found if 0 <= place < size)

    def part(self, lines: Lines, y: int, x: int, count: int) -> np.ndarray:
        result = np.full((count + 2, self.channels), 99, np.int8)
        name = f"tflm_opt_{self.kind}_lines_s8"
        out = pointer(result, self.channels)
        arguments = self.arguments(ctypes.byref(lines), ints(y, x, count), out)
        assert getattr(library(), name)(*arguments) == 0
        assert (result[[0, -1]] == 99).all(), "it wrote beside its output"
        return result[1:-1]


def drawn(rng: np.random.Generator, kind: str) -> Window:
    """Odd sizes and channels, any kernel, stride and dilation, padding less than a window."""
    pooled = kind in ("avgpool", "max_pool")
    kernel = tuple(int(n) for n in rng.integers(1, 6, 2))
    dilation = (1, 1) if pooled else tuple(int(n) for n in rng.integers(1, 3, 2))
    extent = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    stride = tuple(int(n) for n in rng.integers(1, 4, 2))
    padding = tuple(int(rng.integers(0, k)) for k in kernel)
    size = [int(rng.integers(1, 9)) + e for e in extent]
    after = [int(rng.integers(0, p + 1)) for p in padding]
    out = tuple(
        (n + p + a - e) // s + 1
        for n, p, a, e, s in zip(size, padding, after, extent, stride, strict=True)
    )
    c = int(rng.integers(1, 9))
    made = int(rng.integers(1, 10)) if kind == "convolve" else c
    if kind == "depthwise":
        made = c * int(rng.integers(1, 3))
    shape = (made, *kernel, c) if kind == "convolve" else (*kernel, made)
    noise = [rng.integers(-128, 128, s).astype(np.int8) for s in ((*size, c), shape)]
    bias = rng.integers(-5000, 5000, made).astype(np.int32)
    return Window(kind, noise[0], kernel, stride, dilation, padding, out, made, noise[1], bias)


def layouts(
    rng: np.random.Generator, image: np.ndarray, rows: list[int], columns: list[int]
) -> Iterator[Lines]:
    """The rows and columns in a ring and a front, drawn once, in two kinds of noise."""
    low, high = (rows[0], rows[-1] + 1) if rows else (0, 0)
    left, right = (columns[0], columns[-1] + 1) if columns else (0, 0)
    c = image.shape[2]
    fresh = int(rng.integers(low, high + 1))
    ring_rows = max(fresh - low, 1) + int(rng.integers(0, 3))
    base = int(rng.integers(max(fresh - ring_rows, low), fresh + 1))
    ring_x, front_x = (int(rng.integers(0, left + 1)) for _ in range(2))
    wide = [right - start + int(rng.integers(0, 3)) for start in (ring_x, front_x)]
    for _ in range(2):
        ring = rng.integers(-128, 128, (ring_rows, max(wide[0], 1), c)).astype(np.int8)
        front = rng.integers(-128, 128, (high - fresh + 1, max(wide[1], 1), c)).astype(np.int8)
        for y in rows:
            for x in columns:
                if y >= fresh:
                    front[y - fresh, x - front_x] = image[y, x]
                else:
                    slot = y - base if y >= base else y - base + ring_rows
                    ring[slot, x - ring_x] = image[y, x]
        yield lines_of(ring, front, ring_rows, ring_x, front_x, base, fresh)


@pytest.mark.parametrize("kind", ["convolve", "depthwise", "avgpool", "max_pool"])
def test_parts_are_those_of_the_whole(kind: str) -> None:
    for seed in range(CASES):
        rng = np.random.default_rng([seed, len(kind)])
        window = drawn(rng, kind)
        want = window.whole()
        for _ in range(4):
            y = int(rng.integers(0, window.out[0]))
            x = int(rng.integers(0, window.out[1]))
            count = int(rng.integers(1, window.out[1] - x + 1))
            rows = window.reads(0, range(y, y + 1))
            columns = window.reads(1, range(x, x + count))
            for lines in layouts(rng, window.image, rows, columns):
                have = window.part(lines, y, x, count)
                np.testing.assert_array_equal(have, want[y, x : x + count], f"{seed} {window}")
    KEPT.clear()


def test_columns_leave_a_front_for_their_ring() -> None:
    """Against slices: a front of some rows, part by part, until all is in the ring."""
    for seed in range(CASES):
        rng = np.random.default_rng([seed, 5])
        ring_rows, fresh = int(rng.integers(0, 5)), int(rng.integers(0, 20))
        count, width, c = (int(n) for n in rng.integers(1, 5, 3))
        base = fresh - int(rng.integers(0, ring_rows)) if ring_rows else fresh
        rows = rng.integers(-128, 128, (count, width, c)).astype(np.int8)
        ring = np.full((max(ring_rows, 1), width, c), 77, np.int8)
        front = np.full((count, width, c), 55, np.int8)
        ends = sorted({*rng.integers(1, width + 1, 2).tolist(), width})
        front_x = made = 0
        for end in ends:
            front[:, made - front_x : end - front_x] = rows[:, made:end]
            made = end
            next_x = width if end == width else int(rng.integers(front_x, made + 1))
            lines = lines_of(ring, front, ring_rows, 0, front_x, base, fresh)
            library().tflm_opt_lines_shift(ctypes.byref(lines), count, next_x, made, c)
            front_x = next_x
            kept = made - next_x
            np.testing.assert_array_equal(front[:, :kept], rows[:, next_x:made])
        for y in range(fresh + count)[max(fresh, fresh + count - ring_rows) :]:
            np.testing.assert_array_equal(ring[(y - base) % ring_rows], rows[y - fresh])
        if not ring_rows:
            assert (ring == 77).all()
