"""Xtensa cores, as ESP32-S3 and ESP32 have: the portable tier compiles, and runs on one in QEMU.

The compiler is Debian's for the LX106, the only one that distributions have. Its ABI is another
than ESP32's, the instructions are a part of theirs; unlike Cortex-M3 and up it faults at words that
aren't aligned, in QEMU too.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from saved_model import run, saved
from small_models import residual_tflite

import tflm_opt
from tflm_opt import boards
from tflm_opt.export import export_saved
from tflm_opt.kernels import table
from tflm_opt.runtime import footprint, machine

GCC = "xtensa-lx106-elf-gcc"
SPECS = Path("/usr/lib/xtensa-lx106-elf/picolibc.specs")  # outside of where the compiler looks
SUPPORT = Path(__file__).resolve().parent / "xtensa"
FLAGS = (f"--specs={SPECS}", "-mlongcalls", *machine.ENGINE_FLAGS)
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Werror")

needs_compiler = pytest.mark.skipif(
    not (shutil.which(GCC) and SPECS.is_file()),
    reason="needs gcc-xtensa-lx106 and picolibc-xtensa-lx106-elf",
)
needs_qemu = pytest.mark.skipif(
    not shutil.which("qemu-system-xtensa"), reason="needs qemu-system-xtensa"
)


@needs_compiler
def test_every_portable_kernel_compiles(tmp_path: Path) -> None:
    sources = sorted((table.ROOT / "src" / "portable").glob("*.c"))
    assert len(sources) > 80

    def compile_one(source: Path) -> str:
        out = tmp_path / f"{source.stem}.o"
        include = f"-I{table.ROOT / 'include'}"
        return run(GCC, *FLAGS, *WARNINGS, include, "-c", source, "-o", out)

    with ThreadPoolExecutor(2) as pool:
        assert not any(pool.map(compile_one, sources))


def objects(out: Path, *sources: Path, flags: tuple[str, ...] = ()) -> list[Path]:
    """Compile sources; their objects."""
    out.mkdir(parents=True, exist_ok=True)
    run(GCC, *FLAGS, "-std=gnu99", *WARNINGS, *flags, "-c", *sources, cwd=out)
    return [out / f"{source.stem}.o" for source in sources]


def status(out: Path, *parts: Path) -> int:
    """What a program ends with in QEMU: how many vectors failed, or 99 at a fault."""
    elf, script = out / "program.elf", f"-T{SUPPORT / 'board.ld'}"
    quiet = "-Wl,--no-warn-rwx-segments"
    run(GCC, *FLAGS, *parts, *machine.LINK_FLAGS, quiet, script, "-o", elf)
    command = ["qemu-system-xtensa", "-M", "sim", "-cpu", "lx106", "-semihosting", "-display"]
    command += ["none", "-serial", "null", "-monitor", "none", "-kernel", str(elf)]
    return subprocess.run(command, timeout=60, check=False).returncode


@needs_compiler
@needs_qemu
def test_a_model_runs_without_misaligned_words(tmp_path: Path) -> None:
    project = export_saved(saved(streamed=True), "c", tmp_path / "p")
    flags = (f"-I{project / 'include'}", f"-I{project / 'test'}")
    vectors, start = project / "test" / "vectors.c", SUPPORT / "start.c"
    sources = [p for p in project.rglob("src/**/*.c") if p.parent.name not in ("dsp", "mve")]
    sources.append(project / "test" / "check.c")
    model = objects(tmp_path / "o", *sources, SUPPORT / "arithmetic.c", flags=flags)
    data, main = objects(tmp_path / "o", vectors, start, flags=flags)
    assert status(tmp_path, *model, data, main) == 0
    for offset, found in ((4, 5), (1, 99)):  # the byte there; a fault, had there been any above
        (main,) = objects(tmp_path / "m", start, flags=(*flags, f"-DMISALIGN={offset}"))
        assert status(tmp_path, *model, data, main) == found
    head, tail = vectors.read_text().rsplit("{\n", 1)
    first, rest = tail.split(",", 1)
    vectors.write_text(f"{head}{{\n{(int(first) + 1) % 256},{rest}")
    data, main = objects(tmp_path / "o", vectors, start, flags=flags)
    assert status(tmp_path, *model, data, main) == 1  # the last vector is compared


def test_a_board_without_its_compiler_gets_estimates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("PLATFORMIO_CORE_DIR", "/nonexistent")
    board = boards.get("esp32_s3_devkitc_1")
    result = tflm_opt.optimize(residual_tflite(), board=board, verify=False, verbose=0)
    assert {"stack", "runtime"} <= set(result.sram.estimated)
    assert "code" in result.flash.estimated
    (note,) = [warning for warning in result.warnings if "estimates" in warning]
    assert "xtensa-esp32s3-elf-gcc is not installed" in note
    assert "toolchain-xtensa-esp32s3" in note


@needs_compiler
def test_a_stack_that_is_not_analysed_is_an_estimate(tmp_path: Path) -> None:
    """With a compiler, code is measured; no stack is made of instructions that nobody reads."""
    s3 = boards.get("esp32_s3_devkitc_1")
    tools = replace(s3.toolchain, prefix=GCC.removesuffix("gcc"), flags=FLAGS[:1])
    (more,) = objects(tmp_path, SUPPORT / "arithmetic.c")
    board = replace(s3, toolchain=tools, flags=(*FLAGS[:2], f"-Wl,{more}"))
    result = tflm_opt.optimize(residual_tflite(), board=board, verify=False, verbose=0)
    assert result.sram.stack == footprint.STACK_GUESS
    assert result.sram.estimated == ("stack",)
    assert "code" not in result.flash.estimated
    assert any("code for xtensa-lx7 is not analysed" in note for note in result.warnings)
