"""Requantization in halves of 16 bits on code for a Cortex-M0+, and what planners are told of it.

What whole ops give there is in `test_kernels_targets`.
"""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from tflm_opt import boards
from tflm_opt.codegen.forms import Products
from tflm_opt.kernels import table
from tflm_opt.runtime import firmware, qemu

BOARD = boards.get("qemu_m0plus")
ROWS, COUNT = 4, 64  # outputs of a sample, row by row, with the scales of one row

pytestmark = [
    pytest.mark.qemu,
    pytest.mark.skipif(
        not (shutil.which("arm-none-eabi-gcc") and shutil.which("qemu-system-arm")),
        reason="needs the Arm compiler and qemu-system-arm",
    ),
]

# In: sums in padded rows of COUNT + 1; multipliers; shifts; the offset. Out: outputs in such rows,
# and at the end whether the assembly made all of them.
SOURCE = """
#include "scaled.h"
#include "tflm_opt_thumb.h"

enum { ROWS = %(rows)d, COUNT = %(count)d, WIDTH = COUNT + 1 };
static int32_t given[ROWS * WIDTH + 2 * COUNT + 1];
static int8_t made[ROWS * WIDTH];

int scaled_init(void) { return 0; }
void *scaled_input(int index) { (void)index; return given; }
const void *scaled_output(int index) { (void)index; return made; }

int scaled_invoke(void)
{
    const int32_t *multipliers = given + ROWS * WIDTH;
    const tflm_opt_outputs outputs = {made, COUNT, multipliers[2 * COUNT], ROWS, 1, 4};
    int i;
    for (i = 0; i < ROWS * WIDTH; i++) {
        made[i] = 77;
    }
    i = tflm_opt_write_down(given, multipliers, multipliers + COUNT, &outputs);
    made[ROWS * WIDTH - 1] = (int8_t)i;
    return 0;
}
"""
HEADER = """
int scaled_init(void);
void *scaled_input(int index);
int scaled_invoke(void);
const void *scaled_output(int index);
"""


@pytest.fixture(scope="module")
def scaled(tmp_path_factory: pytest.TempPathFactory) -> firmware.Firmware:
    folder = tmp_path_factory.mktemp("scaled")
    for name in ("include", "src"):
        (folder / name).mkdir()
    (folder / "include" / "scaled.h").write_text(HEADER)
    for name in ("math", "thumb", "tier"):
        shutil.copy(table.INCLUDE / f"tflm_opt_{name}.h", folder / "include")
    (folder / "src" / "scaled.c").write_text(SOURCE % {"rows": ROWS, "count": COUNT})
    words, made = ROWS * (COUNT + 1) + 2 * COUNT + 1, ROWS * (COUNT + 1)
    record = {
        "name": "scaled",
        "arena": 4 * words + made,
        "inputs": [{"bytes": 4 * words, "dtype": "int32", "shape": [words]}],
        "outputs": [{"bytes": made, "dtype": "int8", "shape": [ROWS, COUNT + 1]}],
    }
    (folder / "model.json").write_text(json.dumps(record))
    return firmware.build(folder, BOARD, folder / "out")


def exact(total: int, multiplier: int, shift: int, offset: int) -> int:
    """TFLite's two roundings in whole numbers of any size: to nearest, then halves away from 0."""
    once = (total * multiplier + (1 << 30)) >> 31
    half = 1 << (-shift - 1)
    twice = (abs(once) + half) >> -shift
    return max(-128, min(127, (twice if once >= 0 else -twice) + offset))


def sums(rng: np.random.Generator, multipliers: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Of all sizes, at the ends, and next to where outputs change."""
    made = np.round(2.0 ** rng.uniform(0, 31, (ROWS, COUNT + 1)) * rng.choice([-1, 1], COUNT + 1))
    steps = rng.integers(-300, 300, COUNT) + 0.5
    edges = np.round(steps * 2.0 ** (31 - shifts) / multipliers) + rng.integers(-1, 2, COUNT)
    made[1, :COUNT] = edges
    made[2, :9] = [-(2**31), 2**31 - 1, 0, -1, 1, -(2**16), 2**16, 2**16 - 1, -(2**31) + 1]
    return np.clip(made, -(2**31), 2**31 - 1).astype(np.int32)


@pytest.mark.parametrize("offset", [-128, -127, 0, 127])
def test_outputs_are_those_of_two_exact_roundings(scaled: firmware.Firmware, offset: int) -> None:
    rng = np.random.default_rng(offset + 200)
    samples, wanted = [], []
    for _ in range(40):
        multipliers = rng.integers(2**30, 2**31, COUNT)
        multipliers[:4] = [0, 2**30, 2**31 - 1, 2**30 + 1]
        shifts = rng.integers(-31, -1, COUNT)
        totals = sums(rng, np.maximum(multipliers, 1), shifts)
        words = np.concatenate([totals.ravel(), multipliers, shifts, [offset]])
        samples.append([words.astype(np.int32)])
        scales = list(zip(multipliers.tolist(), shifts.tolist(), strict=True))
        rows = [
            [exact(t, m, s, offset) for t, (m, s) in zip(row, scales, strict=True)]
            for row in totals[:, :COUNT].tolist()
        ]
        wanted.append(np.array(rows, np.int8))
    outputs = [made for (made,) in qemu.run(scaled, BOARD, samples).outputs]
    for made, want in zip(outputs, wanted, strict=True):
        np.testing.assert_array_equal(made[:, :COUNT], want)
        assert made[:-1, COUNT].tolist() == [77] * (ROWS - 1)  # nothing beside them
        assert made[-1, COUNT] == 1
    assert len(np.unique(np.stack(wanted))) > 120


@pytest.mark.parametrize("shift", [-1, 0, 3])
@pytest.mark.parametrize("total", [-5, 5000])
def test_larger_shifts_are_left_to_others(
    scaled: firmware.Firmware, shift: int, total: int
) -> None:
    for offset in (-128, 5):
        words = np.full(ROWS * (COUNT + 1) + 2 * COUNT + 1, total, np.int32)
        words[-1 - 2 * COUNT :] = [*[2**30] * COUNT, *[-9] * COUNT, offset]
        words[-2 - COUNT // 2] = shift
        (made,) = qemu.run(scaled, BOARD, [[words]]).outputs[0]
        assert made[-1, COUNT] == 0


def test_groups_of_pixels_are_planned_as_blocks() -> None:
    """Where the estimate counts on four pixels at a time, plans leave room for four."""
    for channels in (1, 2, 5, 8, 16, 64, 137):
        for depth in (1, 3, 8, 27, 64, 144):
            for gathered in (False, True):
                form = Products(100, channels, depth, gathered, gathered)
                lines = 3.75 * depth * 100 * channels
                for size in range(form.least, 30 * depth + 2000, 4):
                    if form.work(size, "thumb1") < lines + 42 * 100 * channels:
                        assert form.block(size) >= 4 * channels
                        assert size >= 16 * depth
