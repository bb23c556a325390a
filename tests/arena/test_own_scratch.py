"""Scratch of this library's kernels in CMSIS-NN's place: the sizes that its own functions give."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tflm_opt import boards
from tflm_opt.arena.own_scratch import own_sizes
from tflm_opt.arena.tflm_scratch import KERNELS, kernels_of, tflm_scratch
from tflm_opt.graph.ir import Op, Quantization, Tensor
from tflm_opt.graph.options import ConvOptions, FullyConnectedOptions, Padding
from tflm_opt.kernels import table
from tflm_opt.runtime import machine

FILTERS = [(1, 1), (1, 3), (2, 2), (3, 3), (3, 1), (4, 4), (5, 5), (3, 5), (7, 7), (8, 8), (9, 1)]
CHANNELS = [1, 3, 4, 8, 13, 64]
WIDTHS = [1, 2, 7, 12, 96]
CASES = list(itertools.product(FILTERS, CHANNELS, WIDTHS))
CORES = {"qemu_m3": "c", "qemu_m4": "dsp", "qemu_m55": "mve"}

PROGRAM = """\
#include "tflm_opt_arithmetic.h"
#include <stdio.h>
static const int32_t cases[][4] = {%s};
int main(void)
{
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const int32_t *const row = cases[i];
        const cmsis_nn_dims input = {1, 96, row[3], row[2]}, output = {1, 96, row[3], 5};
        const cmsis_nn_dims filter = {5, row[0], row[1], row[2]};
        const cmsis_nn_conv_params conv = {0, 0, {1, 1}, {0, 0}, {1, 1}, {-128, 127}};
        const cmsis_nn_dw_conv_params depthwise = {0, 0, 1, {1, 1}, {0, 0}, {1, 1}, {-128, 127}};
        printf("%%ld %%ld %%ld\\n",
               (long)arm_convolve_wrapper_s8_get_buffer_size(&conv, &input, &filter, &output),
               (long)arm_depthwise_conv_wrapper_s8_get_buffer_size(&depthwise, &input, &filter,
                                                                   &output),
               (long)arm_convolve_1x1_s8_fast_get_buffer_size(&input));
    }
    return 0;
}
"""


def tensor(name: str, shape: tuple[int, ...], *, scales: int = 1, data: bool = False) -> Tensor:
    quant = Quantization(np.full(scales, 0.1, np.float32), np.zeros(scales, np.int64), 0)
    values = np.zeros(shape, np.int8) if data else None
    return Tensor(name, shape, "int8", quant, values)


def ops(filter_size: tuple[int, int], channels: int, width: int) -> tuple[Op, Op, Op]:
    """A convolution, a depthwise one, and a fully connected op that TFLM takes for a 1x1 one."""
    x, y = tensor("x", (1, 96, width, channels)), tensor("y", (1, 96, width, 5))
    options = ConvOptions(padding=Padding(0, 0, 0, 0))
    w = tensor("w", (5, *filter_size, channels), data=True)
    d = tensor("d", (1, *filter_size, channels), data=True)
    rows = tensor("rows", (5, channels), scales=5, data=True)
    return (
        Op("CONV_2D", (x, w), (y,), options),
        Op("DEPTHWISE_CONV_2D", (x, d), (x,), options),
        Op("FULLY_CONNECTED", (x, rows), (y,), FullyConnectedOptions()),
    )


@pytest.mark.qemu
@pytest.mark.skipif(
    not (shutil.which("arm-none-eabi-gcc") and shutil.which("qemu-system-arm")),
    reason="needs the Arm compiler and qemu-system-arm",
)
@pytest.mark.parametrize("name", sorted(CORES))
def test_sizes_are_those_of_the_kernels(name: str, tmp_path: Path) -> None:
    board = boards.get(name)
    rows = ", ".join(f"{{{h}, {w}, {c}, {x}}}" for (h, w), c, x in CASES)
    (tmp_path / "main.c").write_text(PROGRAM % rows)
    (tmp_path / "board.ld").write_text(machine.linker_script(board))
    wanted = ("convolve_wrapper_s8", "convolve_s8", "convolve_1x1_s8_fast", "depthwise_conv_s8")
    files = {f"arm_{word}.c" for word in (*wanted, "depthwise_conv_wrapper_s8")}
    files.add("tflm_opt_depthwise_start_s8.c")
    sources = [path for path in table.SOURCES.glob("*/*.c") if path.name in files]
    command = ["arm-none-eabi-gcc", *board.flags, "-O1", "-ffunction-sections"]
    command += [f"-D{macro}" for macro in machine.defines(board)]
    command += [f"-I{machine.CORE}", f"-I{table.INCLUDE}", str(tmp_path / "main.c")]
    command += [*map(str, sources), *map(str, machine.CORE.glob("*.c")), *machine.LINK_FLAGS]
    subprocess.run(
        [*command, f"-T{tmp_path / 'board.ld'}", "-o", str(tmp_path / "main.elf")], check=True
    )
    emulator = ["qemu-system-arm", *machine.arguments(board), "-kernel", "main.elf"]
    done = subprocess.run(
        emulator, cwd=tmp_path, check=True, timeout=60, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    lines = done.stdout.split("\n")
    for case, line in zip(CASES, lines, strict=False):
        conv, depthwise, pointwise = map(int, line.split())
        made = ops(*case)
        expected = [own_sizes(op, CORES[name]) for op in made]
        assert expected[0] == tuple(filter(None, [conv])), case
        assert expected[1] == tuple(filter(None, [depthwise])), case
        if case[1] % 4 == 0:  # else TFLM takes no 1x1 convolution for it
            assert expected[2] == tuple(filter(None, [pointwise])), case
    assert len(lines) > len(CASES)


def test_kernels_have_a_row_for_each_core() -> None:
    assert kernels_of("tflm_opt", "cortex-m4") == "tflm_opt_dsp"
    assert {f"tflm_opt_{name}" for name in CORES.values()} <= set(KERNELS)
    conv, depthwise, dense = ops((3, 3), 8, 12)
    assert tflm_scratch(conv, "tflm_opt_dsp") == 2640
    assert tflm_scratch(conv, "tflm_opt_c") == 0
    assert own_sizes(Op("ADD", conv.inputs, conv.outputs), "dsp") is None
    assert own_sizes(dense, "c") == ()
    assert own_sizes(depthwise, "c") == ()
