"""Sums, products, means and float conversions on an emulated M4: all inputs, many factors.

The program holds the arithmetic of TFLM's reference kernels as their definitions say, one step at a
time, and compares the library with it for every pair of int8 values. It shares nothing with the
library but the prototypes.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from opgraph import Cases, layout
from targets import Battery, library, run

from tflm_opt import boards, codegen
from tflm_opt.codegen import rooms
from tflm_opt.graph.ir import Graph, Quantization, Tensor
from tflm_opt.graph.options import FullyConnectedOptions
from tflm_opt.kernels import table
from tflm_opt.quant.numerics import add_parameters, quantize_multiplier
from tflm_opt.runtime import machine, qemu
from tflm_opt.runtime.host import compiler

pytestmark = [
    pytest.mark.qemu,
    pytest.mark.skipif(
        not (shutil.which("arm-none-eabi-gcc") and shutil.which("qemu-system-arm")),
        reason="needs the Arm compiler and qemu-system-arm",
    ),
]
BOARDS = ("qemu_m3", "qemu_m4")
Rng = np.random.Generator

MAIN = """\
#include <stdint.h>
#include <string.h>
#include "tflm_opt_kernels.h"
#include "tflm_opt_pointwise.h"
#include "semihost.h"

static int64_t high_mul(int64_t a, int64_t b)
{
    const int64_t product = a * b;
    const int64_t nudge = product >= 0 ? (int64_t)1 << 30 : 1 - ((int64_t)1 << 30);
    return (product + nudge) / ((int64_t)1 << 31); /* cuts off towards zero */
}

static int64_t divide(int64_t x, int e)
{
    const int64_t size = (int64_t)1 << e;
    const int64_t up = ((x < 0 ? -x : x) * 2 + size) / (2 * size);
    return x < 0 ? -up : up;
}

static int64_t scaled(int64_t x, int32_t multiplier, int shift)
{
    return shift > 0 ? high_mul((int32_t)((uint32_t)x << shift), multiplier)
                     : divide(high_mul(x, multiplier), -shift);
}

static int8_t clamped(int64_t x, int low, int high)
{
    return (int8_t)(x < low ? low : x > high ? high : x);
}

static void fail(const char *what, int number)
{
    char digits[12];
    char *at = digits + sizeof digits;
    *--at = 0;
    *--at = '\\n';
    do {
        *--at = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    semihost_print(what);
    semihost_print(" differs in case ");
    semihost_print(at);
}
"""


def program(board_id: str, body: str, folder: Path) -> str:
    """What a C program says that has the library and the definitions above."""
    board = boards.get(board_id)
    (folder / "main.c").write_text(MAIN + body, "utf-8")
    (folder / "main.ld").write_text(machine.linker_script(board), "utf-8")
    elf = folder / "main.elf"
    run(
        [
            *(machine.compiler(), *board.flags, "-std=gnu11", "-O2"),
            *(f"-D{macro}" for macro in machine.defines(board)),
            *(f"-I{machine.CORE}", f"-I{table.INCLUDE}", "main.c"),
            *map(str, sorted(machine.CORE.glob("*.c"))),
            *map(str, library(board_id)),
            *(*machine.LINK_FLAGS, "-Tmain.ld", "-lm", "-o", str(elf)),
        ],
        folder,
    )
    return qemu.start(elf, board, folder)


def rows(cases: Iterable[Sequence[int]]) -> str:
    """C for the initializer of an array of arrays."""
    return "{" + ",\n".join("{" + ",".join(map(str, case)) + "}" for case in cases) + "}"


def zero(rng: Rng) -> int:
    return int(rng.choice([-128, 127, 0, *rng.integers(-128, 128, 3)]))


def bounds(rng: Rng) -> tuple[int, int]:
    """Those of an int8, mostly."""
    if rng.random() < 0.7:
        return -128, 127
    low, high = sorted(int(v) for v in rng.integers(-128, 128, 2))
    return low, high


def sums(rng: Rng, count: int) -> Iterable[tuple[int, ...]]:
    for number in range(count):
        first = float(np.float32(10 ** rng.uniform(-3, 1)))
        ratio = [1.0, 0.5, 10 ** rng.uniform(-0.4, 0.4), 10 ** rng.uniform(-4, 4)][number % 4]
        second = float(np.float32(first * ratio))
        factor = [1.0, 2.0, 10 ** rng.uniform(-0.5, 1.0), 10 ** rng.uniform(-4, 4)][number // 4 % 4]
        if number % 8 == 3:  # terms of few units with halves, and outputs that show each
            second = first * 2.0 ** -int(rng.integers(17, 21))
            factor = 2.0**-16
        out = max(float(np.float32(max(first, second) * factor)), max(first, second) * 2e-6)
        p = add_parameters(first, second, out)
        yield (-zero(rng), *p.input1, -zero(rng), *p.input2, zero(rng), *p.output, *bounds(rng))


PAIRS = """
static const int32_t cases[][@NUMBERS@] = @CASES@;
static int8_t xs[65536], ys[65536], guarded[65536 + 8];
static int64_t first[256], second[256];

int main(void)
{
    int8_t *const out = guarded + 4;
    for (int i = 0; i < 65536; i++) {
        xs[i] = (int8_t)i;
        ys[i] = (int8_t)(i >> 8);
    }
    for (int c = 0; c < (int)(sizeof cases / sizeof cases[0]); c++) {
        const int32_t *p = cases[c], *last = p + @NUMBERS@ - 5; /* offset, scale and bounds */
        const int skip = c & 3, count = 65536 - skip - (c >> 2 & 3); /* any address, any tail */
        for (int i = 0; i < 256; i++) {
            const int8_t value = (int8_t)i;
            first[i] = @FIRST@;
            second[i] = @SECOND@;
        }
        memset(guarded, 0x55, sizeof guarded);
        @CALL@;
        int wrong = 0;
        for (int i = 0; i < count; i++) {
            const int64_t x = first[(uint8_t)xs[skip + i]], y = second[(uint8_t)ys[skip + i]];
            wrong |= out[i] !=
                     clamped(scaled(x @OPERATOR@ y, last[1], last[2]) + last[0], last[3], last[4]);
        }
        wrong |= out[-1] != 0x55 || out[count] != 0x55;
        if (wrong) {
            fail("an output", c);
        }
    }
    semihost_print("done\\n");
    return 0;
}
"""

ADD = {
    "FIRST": "scaled(((int64_t)value + p[0]) * (1 << 20), p[1], p[2])",
    "SECOND": "scaled(((int64_t)value + p[3]) * (1 << 20), p[4], p[5])",
    "OPERATOR": "+",
    "CALL": "arm_elementwise_add_s8(xs + skip, ys + skip, p[0], p[1], p[2], p[3], p[4], p[5], 20, "
    "out, p[6], p[7], p[8], p[9], p[10], count)",
}
MUL = {
    "FIRST": "value + p[0]",
    "SECOND": "value + p[1]",
    "OPERATOR": "*",
    "CALL": "arm_elementwise_mul_s8(xs + skip, ys + skip, p[0], p[1], out, p[2], p[3], p[4], p[5], "
    "p[6], count)",
}


def check_all_pairs(
    board: str, op: Mapping[str, str], cases: Iterable[Sequence[int]], folder: Path
) -> None:
    """Fail unless the kernel makes of every pair of values what the definition does."""
    numbers = list(cases)
    body = PAIRS
    parts = {**op, "CASES": rows(numbers), "NUMBERS": str(len(numbers[0]))}
    for name, text in parts.items():
        body = body.replace(f"@{name}@", text)
    assert program(board, body, folder) == "done\n"


@pytest.mark.parametrize("board", BOARDS)
def test_sums_of_all_pairs(board: str, tmp_path: Path) -> None:
    count = 32 if board == "qemu_m4" else 16
    check_all_pairs(board, ADD, sums(np.random.default_rng(1), count), tmp_path)


def products(rng: Rng, count: int) -> Iterable[tuple[int, ...]]:
    for number in range(count):
        factor = [2.0 ** -int(rng.integers(1, 12)), 10 ** rng.uniform(-4, 0), 1.0][number % 3]
        if number % 7 == 0:
            factor = 10 ** rng.uniform(-9, 3)
        yield (-zero(rng), -zero(rng), zero(rng), *quantize_multiplier(factor), *bounds(rng))


@pytest.mark.parametrize("board", BOARDS)
def test_products_of_all_pairs(board: str, tmp_path: Path) -> None:
    count = 36 if board == "qemu_m4" else 6
    check_all_pairs(board, MUL, products(np.random.default_rng(2), count), tmp_path)


FLOATS = """
static const float scales[] = {SCALES};
static union { uint32_t bits[4096]; float values[4096]; } in;
static int8_t guarded[4096 + 8];

static int8_t expected(float value, float scale, int zero_point)
{
    const double real = value / scale; /* rounded to a float, as TFLM does */
    const double size = (real < 0 ? -real : real) + 0.5; /* exact */
    if (real != real) {
        return (int8_t)zero_point;
    }
    const int64_t whole = size < 1e6 ? (int64_t)size : 1000000;
    return clamped(zero_point + (real < 0 ? -whole : whole), -128, 127);
}

int main(void)
{
    int8_t *const out = guarded + 4;
    uint32_t seed = 1;
    for (int c = 0; c < (int)(sizeof scales / sizeof scales[0]); c++) {
        const int zero_point = c % 3 == 0 ? -128 : c % 3 == 1 ? 127 : (c * 37 & 255) - 128;
        const int count = 4096 - (c & 7);
        for (int i = 0; i < 4096; i++) {
            if (i < 2100) { /* halves, and their neighbours */
                in.values[i] = ((float)(i / 3 - 350) + 0.5f) * scales[c];
                in.bits[i] += (uint32_t)(i % 3 - 1);
            } else { /* any bits, among them infinities and no numbers */
                seed = seed * 1664525u + 1013904223u;
                in.bits[i] = i % 16 ? seed : seed | 0x7f800000u;
                in.bits[i] = i % 64 ? in.bits[i] : seed & 0xff800000u;
            }
        }
        memset(guarded, 0x55, sizeof guarded);
        tflm_opt_quantize_f32_s8(in.values, scales[c], zero_point, count, out);
        int wrong = out[-1] != 0x55 || out[count] != 0x55;
        for (int i = 0; i < count; i++) {
            wrong |= out[i] != expected(in.values[i], scales[c], zero_point);
        }
        if (wrong) {
            fail("a float", c);
        }
    }
    semihost_print("done\\n");
    return 0;
}
"""


@pytest.mark.parametrize("board", BOARDS)
def test_floats_round_away_from_zero_and_saturate(board: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    scales = [1.0, 0.5, 1 / 255, *(10 ** rng.uniform(-6, 4, 40)), 1e-38, 1e38]
    body = FLOATS.replace("SCALES", ", ".join(f"{scale:.17g}" for scale in scales))
    assert program(board, body, tmp_path) == "done\n"


MEANS = """
#include <stdio.h>
#include "tflm_opt_mean.h"

static int differs(int64_t sum, int64_t count)
{
    const tflm_opt_mean mean = tflm_opt_mean_of((int32_t)count);
    const int64_t size = ((sum < 0 ? -sum : sum) * 2 + count) / (2 * count);
    return tflm_opt_take_mean(&mean, (int32_t)sum) != (sum < 0 ? -size : size);
}

int main(void)
{
    int64_t wrong = 0, count, sum;
    for (count = 1; count <= 200; count++) {
        for (sum = -128 * count; sum <= 127 * count; sum++) {
            wrong += differs(sum, count);
        }
    }
    for (; count < 1 << 23; count = count * 9 / 8 + 1) {
        for (int k = -256; k < 254; k++) { /* means and halves, and their neighbours */
            for (sum = count * k / 2 - 2; sum <= count * k / 2 + 2; sum++) {
                wrong += sum >= -128 * count && sum <= 127 * count && differs(sum, count);
            }
        }
    }
    printf("%d", wrong != 0);
    return 0;
}
"""


def test_means_need_no_division(tmp_path: Path) -> None:
    (tmp_path / "means.c").write_text(MEANS, "utf-8")
    options = ["-std=c99", "-O2", f"-I{table.INCLUDE}", "means.c", "-o", "means"]
    run([compiler(), *options], tmp_path)
    assert run([str(tmp_path / "means")], tmp_path) == "0"


def extremes(depth: int, channels: int, per_channel: bool) -> Cases:
    """Sums as large as they get: with weights and inputs at their bounds, in any mixture."""
    rng = np.random.default_rng(depth)
    cases = Cases()
    for number in range(6):
        source = cases.input((2, depth), scale=0.5, zero_point=[0, -128, 127][number % 3])
        drawn = rng.integers(-128, 128, (channels, depth))
        bounds = np.where(rng.random((channels, depth)) < 0.5, -128, 127)
        data = [drawn, bounds, np.full((channels, depth), -128)][number // 2].astype(np.int8)
        count = channels if per_channel else 1
        scales = (10 ** rng.uniform(-3, 1, count)).astype(np.float32)
        quant = Quantization(scales, np.zeros(count, np.int64), 0)
        filters = Tensor("w", data.shape, "int8", quant, data)
        added = rng.integers(-(2**20), 2**20, channels).astype(np.int32)
        inputs = [source, filters, bias(added, quant.scale * np.float32(source.scale))]
        spread = 128 * 128 * depth * 0.5 * float(scales.mean())
        target = cases.tensor(
            (2, channels), scale=float(np.float32(spread / 10 ** rng.uniform(1, 4))), zero_point=5
        )
        cases.op("FULLY_CONNECTED", inputs, [target], FullyConnectedOptions())
    return cases


def bias(values: np.ndarray, scale: np.ndarray) -> Tensor:
    quant = Quantization(scale.astype(np.float32), np.zeros(scale.size, np.int64), 0)
    return Tensor("b", values.shape, "int32", quant, values)


def largest(g: Graph) -> dict[Tensor, int]:
    """As much scratch as rows have a use for."""
    found = ((rooms.key(op), rooms.form(op)) for op in g.ops)
    return {key: max(form.sizes()) for key, form in found if key is not None and form is not None}


@pytest.mark.parametrize("per_channel", [False, True])
def test_rows_at_their_bounds(per_channel: bool, tmp_path: Path) -> None:
    for depth, channels in ((6, 5), (36, 13), (71, 13), (640, 8)):
        cases = extremes(depth, channels, per_channel)
        samples = cases.samples(1)
        for value in (-128, 127):
            samples.append([np.full(t.shape, value, np.int8) for t in cases.inputs])
        g = cases.graph()
        battery = Battery.of(g, samples)
        most = largest(g)
        assert len(most) == len(g.ops)
        for board in BOARDS:
            for name, sizes in ("none", {}), ("most", most):
                folder = tmp_path / f"{board} {depth} {name}"
                battery.check(boards.get(board), folder, layout(g, codegen.Kernels(sizes)))


@pytest.mark.parametrize(
    ("board_id", "scratch", "most"),
    [
        ("qemu_m3", False, 2.65),
        ("qemu_m3", True, 2.27),
        ("qemu_m4", False, 1.35),
        ("qemu_m4", True, 1.3),
    ],
)
def test_instructions_per_product(
    board_id: str, scratch: bool, most: float, tmp_path: Path
) -> None:
    rng = np.random.default_rng(3)
    cases = Cases()
    source = cases.input((1, 128), scale=0.5, zero_point=-128)
    quant = Quantization(np.array([0.01], np.float32), np.zeros(1, np.int64), 0)
    data = rng.integers(-127, 128, (128, 128)).astype(np.int8)
    filters = Tensor("w", data.shape, "int8", quant, data)
    added = bias(np.arange(128, dtype=np.int32), quant.scale * np.float32(source.scale))
    target = cases.tensor((1, 128), scale=1.5, zero_point=-128)
    cases.op("FULLY_CONNECTED", [source, filters, added], [target], FullyConnectedOptions())
    g = cases.graph()
    plan = layout(g, codegen.Kernels(largest(g) if scratch else {}))
    counts = Battery.of(g, cases.samples(1)).check(boards.get(board_id), tmp_path, plan)
    assert max(counts) / 128**2 < most


@pytest.mark.parametrize("level", [["-O0"], ["-Og", "-fno-omit-frame-pointer"]])
def test_assembly_leaves_compilers_the_registers_they_want(
    level: list[str], tmp_path: Path
) -> None:
    names = ("tflm_opt_add_s8", "arm_elementwise_mul", "tflm_opt_dense", "tflm_opt_quant")
    sources = [p for p in (table.SOURCES / "dsp").glob("*.c") if p.name.startswith(names)]
    assert len(sources) == 4
    for name in ("tflm_opt_fully_connected_s8.c", "tflm_opt_fully_connected_spread_s8.c"):
        sources.append(table.SOURCES / "portable" / name)
    for board in BOARDS:
        flags = [*boards.get(board).flags, "-std=c99", *level, f"-I{table.INCLUDE}", "-c"]
        run([machine.compiler(), *flags, *map(str, sources)], tmp_path)
