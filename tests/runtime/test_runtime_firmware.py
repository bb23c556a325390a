"""Firmware from a hand-written model: sizes, stack, exact instruction counts, and failures."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from emulated import EMULATED, available, needs_riscv
from tiny_model import LOOP, SOURCE, loop_instructions, write_tiny

from tflm_opt import boards
from tflm_opt.errors import InvalidModel, MissingTool, ToolFailed, UnknownBoard
from tflm_opt.runtime import elf, firmware, machine, qemu

pytestmark = [
    pytest.mark.qemu,
    pytest.mark.skipif(
        not (shutil.which("arm-none-eabi-gcc") and shutil.which("qemu-system-arm")),
        reason="needs the Arm compiler and qemu-system-arm",
    ),
]

# An instruction that there is none of, and what the fault is called.
ILLEGAL = {"arm": (".short 0xde00", "usage fault"), "riscv": ("unimp", "illegal instruction")}
M4 = boards.get("qemu_m4")


def samples(count: int) -> list[list[np.ndarray]]:
    return [[(np.arange(16) + i).astype(np.int8).reshape(1, 16)] for i in range(count)]


def loop_sample(iterations: int) -> list[np.ndarray]:
    return [np.array([iterations, 0, 0, 0], np.uint32).view(np.int8).reshape(1, 16)]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> firmware.Firmware:
    folder = tmp_path_factory.mktemp("tiny")
    return firmware.build(write_tiny(folder / "model"), M4, folder / "out")


@pytest.fixture(scope="module", params=EMULATED)
def loop(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> firmware.Firmware:
    folder = tmp_path_factory.mktemp("loop")
    return firmware.build(write_tiny(folder / "model", LOOP), request.param, folder / "out")


def test_instructions_are_exact(loop: firmware.Firmware) -> None:
    """A loop of known length, on every board: not one instruction more or less."""
    counts = [1, 2, 3, 4, 5, 7, 1000, 1001, 12_345, 1_000_000]
    run = qemu.run(loop, loop.board, [loop_sample(n) for n in counts])
    assert run.instructions == [loop_instructions(n) for n in counts]
    assert run.stack == 0


@pytest.mark.slow
def test_instructions_are_exact_past_the_wrap_of_the_counter(loop: firmware.Firmware) -> None:
    """The 32-bit counters wrap after 1.3 G instructions."""
    run = qemu.run(loop, loop.board, [loop_sample(800_000_000)])
    assert run.instructions == [loop_instructions(800_000_000)]


def test_three_runs_are_identical(tiny: firmware.Firmware) -> None:
    runs = [qemu.run(tiny, M4, samples(20)) for _ in range(3)]
    assert runs[0].instructions == runs[1].instructions == runs[2].instructions
    assert runs[0].stack == runs[1].stack == runs[2].stack


def test_outputs_of_many_samples(tiny: firmware.Firmware) -> None:
    given = samples(300)
    run = qemu.run(tiny, M4, given)
    for (x,), (y,) in zip(given, run.outputs, strict=True):
        np.testing.assert_array_equal(y, x + 1)
    assert len(set(run.instructions)) == 1
    assert qemu.run(tiny, M4, []).outputs == []


@pytest.mark.parametrize("board", EMULATED)
def test_measured_stack_is_within_the_bound(board: boards.Board, tmp_path: Path) -> None:
    built = firmware.build(write_tiny(tmp_path / "model"), board, tmp_path / "out")
    run = qemu.run(built, board, samples(2))
    assert built.stack.size is not None
    assert 200 <= run.stack <= built.stack.size <= 400
    assert built.stack.path[0].startswith("tiny_invoke")


def test_sizes_are_the_model_s_own(tiny: firmware.Firmware) -> None:
    sizes = tiny.sizes
    assert sizes.weights == 1000
    assert sizes.data == 4  # `calls`
    assert 12 <= sizes.bss <= 16  # `state`
    assert sizes.arena == 32
    assert sizes.flash == sizes.weights + sizes.code + sizes.data
    assert sizes.ram == sizes.arena + sizes.data + sizes.bss
    # What the code calls in libraries is counted; start-up and semihosting are not.
    names = elf.symbols(tiny.elf.parent / "model.elf")
    assert "__aeabi_uldivmod" in names
    assert "Reset_Handler" not in names
    functions = sum(size for name, (_, size) in names.items() if not name.startswith("weights"))
    assert 60 <= sizes.code <= functions + 64


def test_weights_do_not_count_as_code(tiny: firmware.Firmware, tmp_path: Path) -> None:
    larger = SOURCE.replace("weights[1000]", "weights[5000]").replace("% 1000u", "% 5000u")
    built = firmware.build(write_tiny(tmp_path / "m", larger), M4, tmp_path / "out")
    assert built.sizes.weights == 5000
    assert abs(built.sizes.code - tiny.sizes.code) <= 8


def test_large_weights_fit_where_code_goes_on_every_board(tmp_path: Path) -> None:
    """A real net's weights: more than the 512 KiB at the an547's reset address."""
    source = SOURCE.replace("weights[1000] = {1, 2, 3}", "weights[3000000] = {1}")
    source = source.replace("% 1000u", "% 3000000u")
    for board in map(boards.get, available()):
        built = firmware.build(write_tiny(tmp_path / board.id, source), board, tmp_path / "out")
        run = qemu.run(built, board, samples(1))
        np.testing.assert_array_equal(run.outputs[0][0], samples(1)[0][0] + 1)


def _faulty(tmp_path: Path, statement: str, board: boards.Board = M4) -> firmware.Firmware:
    source = SOURCE.replace("    calls++;\n", f"    calls++;\n    {statement}\n")
    return firmware.build(write_tiny(tmp_path / "m", source), board, tmp_path / "out")


@pytest.mark.parametrize("board", EMULATED)
def test_fault_names_the_function(board: boards.Board, tmp_path: Path) -> None:
    instruction, fault = ILLEGAL[board.toolchain.id]
    built = _faulty(tmp_path, f'__asm volatile("{instruction}");', board)
    with pytest.raises(ToolFailed, match=rf"{fault} in tiny_invoke\+0x"):
        qemu.run(built, board, samples(1))


@needs_riscv
@pytest.mark.parametrize(
    "statement", ["*(volatile int *)0x80000800 = 1", "*(volatile int *)0x81400000"]
)
def test_memory_ends_where_the_board_says(tmp_path: Path, statement: str) -> None:
    """The emulated machine's goes on: code that is written, and what is above the RAM."""
    board = boards.get("qemu_rv32")
    built = _faulty(tmp_path, f"{statement};", board)
    kind = "store" if "=" in statement else "load"
    with pytest.raises(ToolFailed, match=rf"{kind} access fault in tiny_invoke\+0x") as caught:
        qemu.run(built, board, samples(1))
    assert f"address={statement.split(')')[1][:10]}" in caught.value.output


def test_bus_fault_gives_the_address(tmp_path: Path) -> None:
    board = boards.get("qemu_m55")  # the other boards' emulation ignores such an access
    built = _faulty(tmp_path, "*(volatile uint32_t *)0x1F000000u = 1u;", board)
    with pytest.raises(ToolFailed, match=r"bus fault in tiny_invoke\+0x") as caught:
        qemu.run(built, board, samples(1))
    assert "address=0x1f000000" in caught.value.output


@pytest.mark.parametrize("board", EMULATED)
def test_stack_overflow_faults(board: boards.Board, tmp_path: Path) -> None:
    source = SOURCE.replace("copy[200]", "copy[70000]").replace("i < 200", "i < 70000")
    built = firmware.build(write_tiny(tmp_path / "m", source), board, tmp_path / "out")
    assert built.stack.size is not None
    assert built.stack.size > machine.STACK
    with pytest.raises(ToolFailed, match=r"fault|stack overflow"):
        qemu.run(built, board, samples(1))


def test_endless_loop_is_stopped(tmp_path: Path) -> None:
    built = _faulty(tmp_path, "for (;;) { state[0]++; }")
    with pytest.raises(ToolFailed, match="still running after 1 s"):
        qemu.run(built, M4, samples(1), timeout=1)


def test_failing_invoke_is_reported(tmp_path: Path) -> None:
    built = firmware.build(write_tiny(tmp_path / "m", status="7"), M4, tmp_path / "out")
    with pytest.raises(ToolFailed, match="invoke returned 7 on sample 0"):
        qemu.run(built, M4, samples(2))


def test_bad_samples_are_named(tiny: firmware.Firmware) -> None:
    with pytest.raises(ToolFailed, match=r"sample 1, input 0: int16\[1, 16\]"):
        qemu.run(tiny, M4, [*samples(1), [np.zeros((1, 16), np.int16)]])
    with pytest.raises(ToolFailed, match="holds 0 arrays"):
        qemu.run(tiny, M4, [[]])


def test_firmware_of_another_board_is_refused(tiny: firmware.Firmware) -> None:
    with pytest.raises(ToolFailed, match="built for qemu_m4, not for qemu_m7"):
        qemu.run(tiny, boards.get("qemu_m7"), samples(1))


def test_compiler_s_message_is_passed_on(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "m", SOURCE + "\n#error no such thing\n")
    with pytest.raises(ToolFailed, match="no such thing"):
        firmware.build(folder, M4, tmp_path / "out")


def test_real_board_can_be_sized_but_not_run(tmp_path: Path) -> None:
    folder = write_tiny(tmp_path / "m")
    pico = firmware.build_model(folder, boards.get("pico"), tmp_path / "out")
    assert pico.sizes.weights == 1000
    assert pico.stack.size is not None
    with pytest.raises(UnknownBoard, match="qemu_m7"):
        firmware.build(folder, boards.get("disco_f746ng"), tmp_path / "out")


def test_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(InvalidModel, match="not a folder that"):
        firmware.build(tmp_path, M4, tmp_path / "out")
    (tmp_path / "model.json").write_text('{"name": "x", "arena": "many"}')
    with pytest.raises(InvalidModel, match="damaged"):
        firmware.build(tmp_path, M4, tmp_path / "out")


def test_missing_tools_say_what_to_install(
    tiny: firmware.Firmware, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PLATFORMIO_CORE_DIR", str(tmp_path))
    with pytest.raises(MissingTool, match="apt-get install gcc-arm-none-eabi"):
        machine.compiler()
    with pytest.raises(MissingTool, match="apt-get install qemu-system-arm"):
        qemu.run(tiny, M4, samples(1))


def test_missing_tools_for_riscv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    board = boards.get("qemu_rv32")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingTool, match="apt-get install gcc-riscv64-unknown-elf picolibc"):
        machine.compiler(board=board)
    with pytest.raises(MissingTool, match="apt-get install qemu-system-misc"):
        machine.qemu_program(board)
    gcc = tmp_path / "riscv64-unknown-elf-gcc"
    gcc.write_text("#!/bin/sh\nexit 1\n")
    gcc.chmod(0o755)
    with pytest.raises(MissingTool, match=r"the C library of riscv64-unknown-elf-gcc.*picolibc"):
        machine.compiler(board=board)


def test_platformio_s_own_compiler_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    packaged = tmp_path / "packages" / "toolchain-gccarmnoneeabi" / "bin" / "arm-none-eabi-gcc"
    packaged.parent.mkdir(parents=True)
    packaged.write_text("#!/bin/sh\n")
    packaged.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PLATFORMIO_CORE_DIR", str(tmp_path))
    assert machine.compiler() == str(packaged)


def test_a_source_is_compiled_again_where_it_or_a_header_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not otherwise."""
    folder = write_tiny(tmp_path / "model", SOURCE + "/* once */\n")
    kernel, header = folder / "src" / "tflm_opt_one.c", folder / "include" / "tflm_opt_one.h"
    header.write_text("#define ONE 1\n")
    kernel.write_text('#include "tflm_opt_one.h"\nint tflm_opt_one(void);\nconst int one = ONE;\n')
    compiled: list[str] = []
    real = firmware._run

    def noted(command: list[str], cwd: Path) -> str:
        compiled.extend(Path(word).name for word in command if word.endswith(".c"))
        return real(command, cwd)

    monkeypatch.setattr(firmware, "_run", noted)

    def build(board: str = "qemu_m4") -> tuple[list[str], list[bytes]]:
        compiled.clear()
        made = firmware.build_model(folder, boards.get(board), tmp_path / "out")
        return sorted(compiled), [path.read_bytes() for path in made.objects]

    both = ["tflm_opt_one.c", "tiny.c"]
    found, first = build()
    assert found == both
    assert build() == ([], first)
    header.write_text("#define ONE 2\n")
    found, second = build()
    assert found == both
    assert second != first
    kernel.write_text(kernel.read_text() + "const int two = 2;\n")
    assert build()[0] == ["tflm_opt_one.c"]
    tiny = folder / "include" / "tiny.h"
    tiny.write_text(tiny.read_text() + "/* more */\n")
    assert build()[0] == ["tiny.c"]
    assert build("pico")[0] == both  # flags differ
