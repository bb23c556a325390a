"""The library in CMSIS-NN's place at link time: every name, its signature, the page with them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tflm_opt.kernels import table
from tflm_opt.runtime.host import compiler

HERE = Path(__file__).parent
NAMES = (HERE / "cmsis_names.cc").read_text()
PAGE = (HERE.parents[1] / "docs" / "cmsis_nn.md").read_text()
HEADERS = table.ROOT / "cmsis_nn"
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wpedantic", "-Werror"]

# What the object files of TFLM's kernels for CMSIS-NN leave undefined (`nm -u`), TFLM of 2026-08.
NEEDED = (
    "arm_avgpool_s16",
    "arm_avgpool_s16_get_buffer_size",
    "arm_avgpool_s8",
    "arm_avgpool_s8_get_buffer_size",
    "arm_batch_matmul_s16",
    "arm_batch_matmul_s8",
    "arm_convolve_1x1_s8_fast",
    "arm_convolve_1x1_s8_fast_get_buffer_size",
    "arm_convolve_wrapper_s16",
    "arm_convolve_wrapper_s16_get_buffer_size",
    "arm_convolve_wrapper_s4",
    "arm_convolve_wrapper_s8",
    "arm_convolve_wrapper_s8_get_buffer_size",
    "arm_depthwise_conv_s16",
    "arm_depthwise_conv_wrapper_s4",
    "arm_depthwise_conv_wrapper_s4_get_buffer_size",
    "arm_depthwise_conv_wrapper_s8",
    "arm_depthwise_conv_wrapper_s8_get_buffer_size",
    "arm_elementwise_add_s16",
    "arm_elementwise_add_s8",
    "arm_elementwise_mul_s16",
    "arm_elementwise_mul_s8",
    "arm_fully_connected_s16",
    "arm_fully_connected_s16_get_buffer_size",
    "arm_fully_connected_s4",
    "arm_fully_connected_s8_get_buffer_size",
    "arm_fully_connected_wrapper_s8",
    "arm_lstm_unidirectional_s16",
    "arm_lstm_unidirectional_s8",
    "arm_max_pool_s16",
    "arm_max_pool_s8",
    "arm_maximum_s8",
    "arm_minimum_s8",
    "arm_pad_s8",
    "arm_softmax_s16",
    "arm_softmax_s8",
    "arm_softmax_s8_s16",
    "arm_svdf_s8",
    "arm_svdf_s8_get_buffer_size",
    "arm_svdf_state_s16_s8",
    "arm_transpose_conv_s8_get_buffer_size",
    "arm_transpose_conv_s8_get_reverse_conv_buffer_size",
    "arm_transpose_conv_wrapper_s8",
    "arm_transpose_s8",
    "arm_vector_sum_s8",
    "arm_vector_sum_s8_s64",
)


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The whole library, compiled."""
    folder = tmp_path_factory.mktemp("kernels")
    sources = sorted((table.SOURCES / "portable").glob("*.c"))
    command = [compiler(), "-std=c99", "-O0", "-c", f"-I{table.INCLUDE}", *map(str, sources)]
    subprocess.run(command, check=True, cwd=folder)
    return sorted(map(str, folder.glob("*.o")))


def names(text: str) -> set[str]:
    return set(re.findall(r"\barm_\w+(?=\()|(?<=&)arm_\w+", text))


def test_all_that_tflm_needs_is_here(objects: list[str]) -> None:
    listing = subprocess.run(["nm", *objects], check=True, capture_output=True, text=True).stdout
    defined = {line.split()[2] for line in listing.splitlines() if " T " in line}
    assert set(NEEDED) <= defined
    assert set(NEEDED) <= names(NAMES)


@pytest.mark.parametrize("standard", ["c++11", "c++17"])
def test_cpp_compiles_and_links(standard: str, objects: list[str], tmp_path: Path) -> None:
    program = tmp_path / "names"
    flags = [f"-std={standard}", *WARNINGS, f"-I{HEADERS}", f"-DNEEDED={len(names(NAMES))}"]
    command = ["g++", *flags, str(HERE / "cmsis_names.cc"), *objects, "-o", str(program)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert subprocess.run([str(program)], check=False).returncode == 0


@pytest.mark.parametrize("core", ["cortex-m4", "cortex-m55"])
def test_c_compiles_where_int32_is_a_long(core: str, tmp_path: Path) -> None:
    source = tmp_path / "use.c"
    source.write_text('#include "Include/arm_nnfunctions.h"\nint32_t zero(void);\n')
    flags = [f"-mcpu={core}", "-mthumb", "-std=c99", *WARNINGS, "-fsyntax-only"]
    done = subprocess.run(
        ["arm-none-eabi-gcc", *flags, f"-I{HEADERS}", str(source)],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


ROWS = dict(re.findall(r"^\| `(arm_\w+)` \| (.*) \|$", PAGE, re.MULTILINE))


class TestPage:
    """docs/cmsis_nn.md lists the table's functions with CMSIS-NN's names, and their ops."""

    def test_every_function_has_a_row(self) -> None:
        assert set(ROWS) == {name for name in table.kernels() if name.startswith("arm_")}

    def test_rows_say_what_the_table_says(self) -> None:
        for name, row in ROWS.items():
            kernel = table.kernels()[name]
            used = "stock TFLM, the engine" if kernel.engine else "stock TFLM"
            assert row == f"{', '.join(kernel.ops)} | {used}", name
