"""The library as a whole: its table, its headers, what it links to, and its arithmetic."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from emulated import marked, needs_riscv
from hypothesis import example, given, settings
from hypothesis import strategies as st
from targets import library

from tflm_opt import boards
from tflm_opt.codegen.lower import registry
from tflm_opt.kernels import page, table
from tflm_opt.runtime import machine
from tflm_opt.runtime.host import compiler

KERNELS = table.kernels()
PORTABLE = sorted((table.SOURCES / "portable").glob("*.c"))
SOURCES = sorted(table.SOURCES.rglob("*.c"))
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wpedantic", "-Werror"]
# C++ warns of {0}, which C knows as the way to set all fields.
STANDARDS = (["-std=c99"], ["-std=c++11", "-x", "c++", "-Wno-missing-field-initializers"])
LIBC = {"memcpy", "memset"}
INT32 = st.integers(-(2**31), 2**31 - 1)
UINT32 = st.integers(0, 2**32 - 1)


def run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


class TestTable:
    def test_every_source_has_a_row_and_every_row_a_source(self) -> None:
        rows = {(tier, k.file) for k in KERNELS.values() for tier in k.tiers}
        assert rows == {(p.parent.name, p.name) for p in SOURCES}

    @pytest.mark.parametrize("kernel", KERNELS.values(), ids=lambda k: k.function)
    def test_a_row_holds(self, kernel: table.Kernel) -> None:
        header = (table.INCLUDE / kernel.header).read_text()
        assert re.search(rf"\b{kernel.function}\(", header)
        assert kernel.ops
        in_file = {k.function for k in KERNELS.values() if k.file == kernel.file}
        for tier in kernel.tiers:
            text = table.source(kernel, tier).read_text()
            assert re.search(rf"^[\w *]+\b{kernel.function}\(", text, re.MULTILINE)
            called = set(re.findall(r"\b(?:arm|tflm_opt)_\w+(?=\()", text)) & set(KERNELS)
            assert called - in_file <= set(kernel.needs)

    def test_ops_of_the_table_are_those_that_are_lowered(self) -> None:
        served = {op for kernel in KERNELS.values() if kernel.engine for op in kernel.ops}
        assert served <= set(registry())

    def test_the_page_is_made_from_the_table(self) -> None:
        written = Path(__file__).resolve().parents[2] / "docs" / "kernels.md"
        assert written.read_text(encoding="utf-8") == page.page(), (
            "run: tflm-opt kernels --markdown > docs/kernels.md"
        )


class TestCompilers:
    @pytest.mark.parametrize("cc", ["gcc", "clang", "g++", "clang++"])
    def test_no_warnings(self, cc: str) -> None:
        if shutil.which(cc) is None:
            pytest.skip(f"{cc} is not installed")
        options = [*WARNINGS, *STANDARDS[cc.endswith("++")], "-O1", f"-I{table.INCLUDE}"]
        run([cc, *options, "-fsyntax-only", *map(str, PORTABLE)])

    @pytest.mark.parametrize("cc", ["gcc", "g++"])
    @pytest.mark.parametrize("core", ["cortex-m0plus", "cortex-m4", "cortex-m33", "cortex-m55"])
    def test_no_warnings_for_arm(self, core: str, cc: str) -> None:
        """Where int32_t is a long."""
        if shutil.which(f"arm-none-eabi-{cc}") is None:
            pytest.skip(f"arm-none-eabi-{cc} is not installed")
        options = [f"-mcpu={core}", "-mthumb", "-mfloat-abi=softfp", "-O1", *WARNINGS]
        options += [*STANDARDS[cc == "g++"], f"-I{table.INCLUDE}", "-fsyntax-only"]
        run([f"arm-none-eabi-{cc}", *options, *map(str, SOURCES)])

    @needs_riscv
    @pytest.mark.parametrize("standard", STANDARDS)
    def test_no_warnings_for_riscv(self, standard: list[str]) -> None:
        board = boards.get("qemu_rv32")
        options = [*board.flags, "-O1", *WARNINGS, *standard, f"-I{table.INCLUDE}"]
        run([machine.compiler(board=board), *options, "-fsyntax-only", *map(str, SOURCES)])

    @pytest.mark.parametrize("board", marked("qemu_m3", "qemu_m4", "qemu_m55"))
    def test_one_source_of_a_kernel_is_left(self, board: str) -> None:
        """Of all tiers, each function is defined once; those that are missing nobody calls."""
        objects = map(str, library(board))
        symbols = [line.split() for line in run(["arm-none-eabi-nm", *objects]).splitlines()]
        assert ("tflm_opt_fully_connected_paired_s8" in str(symbols)) == (board == "qemu_m4")
        defined = [
            words[2].replace("_paired_s8", "_s8")
            for words in symbols
            if len(words) == 3 and words[1] == "T"
        ]
        needed = {words[1] for words in symbols if len(words) == 2 and words[0] == "U"}
        assert len(defined) == len(set(defined))
        assert {k for k in KERNELS if "portable" in KERNELS[k].tiers} <= set(defined)
        assert {name for name in needed if name.startswith(("arm_", "tflm_opt_"))} <= set(defined)
        others = {name for name in needed - set(defined) if not name.startswith("__")}
        assert others <= LIBC

    def test_headers_are_cpp(self, tmp_path: Path) -> None:
        for header in table.headers():
            source = tmp_path / "use.cc"
            source.write_text(f'#include "{header.name}"\n#include "{header.name}"\n')
            flags = ["-std=c++11", *WARNINGS, f"-I{table.INCLUDE}", "-fsyntax-only"]
            run(["g++", *flags, str(source)])

    def test_nothing_but_memory_functions_is_linked_and_nothing_is_kept(
        self, tmp_path: Path
    ) -> None:
        objects = []
        for source in PORTABLE:
            objects.append(str(tmp_path / f"{source.stem}.o"))
            flags = ["-std=c99", "-Os", "-fno-builtin", f"-I{table.INCLUDE}", "-c"]
            run([compiler(), *flags, str(source), "-o", objects[-1]])
        defined: set[str] = set()
        needed: set[str] = set()
        for line in run(["nm", *objects]).splitlines():
            words = line.split()
            if len(words) == 2 and words[0] == "U":
                needed.add(words[1])
            elif len(words) == 3:
                assert words[1] not in "dDbBC", f"a variable: {line}"
                if words[1] == "T":
                    assert words[2].startswith(("arm_", "tflm_opt_")), line
                    defined.add(words[2])
        runtime = {"_GLOBAL_OFFSET_TABLE_"}
        assert needed - defined - runtime <= LIBC


MATH = """
#include "tflm_opt_dot.h"
#include "tflm_opt_math.h"
#include "tflm_opt_fixed.h"
int32_t upper(uint32_t high, uint32_t low, int32_t x, int32_t f)
{
    return tflm_opt_upper_of_halves(high, low, x, f);
}
int32_t requantized(int32_t x, int32_t m, int32_t s, int32_t offset)
{
    return tflm_opt_requantized_s8(x, m, s, offset);
}
int32_t high_mul(int32_t a, int32_t b) { return tflm_opt_high_mul(a, b); }
int32_t high_mul_sat(int32_t a, int32_t b) { return tflm_opt_high_mul_sat(a, b); }
int32_t divide_by_pot(int32_t x, int32_t e) { return tflm_opt_divide_by_pot(x, e); }
int32_t requantize(int32_t x, int32_t m, int32_t s) { return tflm_opt_requantize(x, m, s); }
int32_t exp_negative(int32_t x) { return tflm_opt_exp_negative(x); }
int32_t reciprocal(int32_t x) { return tflm_opt_reciprocal(x); }
int32_t leading_zeros(uint32_t x) { return tflm_opt_leading_zeros(x); }
"""


@cache
def math_library() -> ctypes.CDLL:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        source, product = Path(folder, "math.c"), Path(folder, "math.so")
        source.write_text(MATH)
        run(
            [
                compiler(),
                "-O2",
                "-shared",
                "-fPIC",
                f"-I{table.INCLUDE}",
                "-o",
                str(product),
                str(source),
                str(table.SOURCES / "portable" / "tflm_opt_requantize_up.c"),
            ]
        )
        return ctypes.CDLL(str(product))


def half_away(value: Fraction) -> int:
    whole = abs(value) + Fraction(1, 2)
    return int(whole.__floor__()) * (1 if value >= 0 else -1)


EXACT = settings(deadline=None)  # the first call compiles


class TestMath:
    """Each function against exact rational numbers."""

    @EXACT
    @given(INT32, INT32)
    @example(-(2**31), 2**31 - 1)
    @example(-(2**31), -(2**31) + 1)
    def test_high_mul(self, a: int, b: int) -> None:
        want = (Fraction(a * b, 2**31) + Fraction(1, 2)).__floor__()
        if -(2**31) <= want < 2**31:
            assert math_library().high_mul(a, b) == want
            assert math_library().high_mul_sat(a, b) == want

    def test_the_one_product_that_saturates(self) -> None:
        assert math_library().high_mul_sat(-(2**31), -(2**31)) == 2**31 - 1

    @EXACT
    @given(INT32, st.integers(0, 31))
    @example(-(2**31), 31)
    @example(2**31 - 1, 31)
    def test_divide_by_pot(self, x: int, exponent: int) -> None:
        assert math_library().divide_by_pot(x, exponent) == half_away(Fraction(x, 2**exponent))

    @EXACT
    @given(INT32, st.integers(2**30, 2**31 - 1), st.integers(-31, 0))
    def test_requantize_rounds_twice(self, x: int, multiplier: int, shift: int) -> None:
        once = (Fraction(x * multiplier, 2**31) + Fraction(1, 2)).__floor__()
        want = half_away(Fraction(once, 2**-shift))
        assert math_library().requantize(x, multiplier, shift) == want

    @EXACT
    @given(INT32, st.integers(2**30, 2**31 - 1), st.integers(1, 31))
    def test_a_left_shift_wraps(self, x: int, multiplier: int, shift: int) -> None:
        wrapped = (x * 2**shift + 2**31) % 2**32 - 2**31
        want = (Fraction(wrapped * multiplier, 2**31) + Fraction(1, 2)).__floor__()
        assert math_library().requantize(x, multiplier, shift) == want

    @EXACT
    @given(UINT32, st.sampled_from([1 << 30, 3 << 30]), INT32, st.integers(0, 2**31 - 1))
    @example(0, 3 << 30, -(2**31), 2**31 - 1)
    @example(2**32 - 1, 3 << 30, -1, 0xFFFF)
    def test_products_of_halves(self, high: int, low: int, x: int, factor: int) -> None:
        """What cores without a product of 64 bits compute."""
        want = (high * 2**32 + low + x * factor) >> 32
        got = math_library().upper(ctypes.c_uint32(high), ctypes.c_uint32(low), x, factor)
        assert got == (want + 2**31) % 2**32 - 2**31

    @EXACT
    @given(INT32, st.integers(2**30, 2**31 - 1), st.integers(-31, 8), st.integers(-128, 127))
    @example(-(2**31), 2**31 - 1, -2, 127)
    @example(2**31 - 1, 2**31 - 1, -31, -128)
    def test_requantized_outputs(self, x: int, multiplier: int, shift: int, offset: int) -> None:
        scaled = math_library().requantize(x, multiplier, shift)
        if -(2**31) <= scaled + offset < 2**31:
            want = min(max(scaled + offset, -128), 127)
            assert math_library().requantized(x, multiplier, shift, offset) == want

    @EXACT
    @given(st.integers(-(31 << 26), 0))
    def test_exp_is_close_to_exp(self, x: int) -> None:
        got = math_library().exp_negative(x) / 2**31
        assert got == pytest.approx(np.exp(x / 2**26), abs=1e-6)

    @EXACT
    @given(st.integers(0, 2**31 - 1))
    def test_reciprocal_is_close(self, x: int) -> None:
        got = math_library().reciprocal(x) / 2**31
        assert got == pytest.approx(1 / (1 + x / 2**31), abs=1e-6)

    @pytest.mark.parametrize("x", [0, 1, 2, 3, 2**15, 2**31 - 1, 2**31, 2**32 - 1])
    def test_leading_zeros(self, x: int) -> None:
        assert math_library().leading_zeros(ctypes.c_uint32(x)) == min(32 - x.bit_length(), 31)
