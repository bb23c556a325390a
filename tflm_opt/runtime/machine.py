"""What it takes to build for an emulated board and to start it: flags, link script, command.

The C beside it (`export/qemu/core`: reset, faults, semihosting, counters, the harness) and
the facts of `boards.toml` are used twice: by `runtime.firmware`, and by the PlatformIO platform
that the export writes. Both come here, so the two builds are one.
"""

from __future__ import annotations

import os
import shutil
from functools import cache
from pathlib import Path

from tflm_opt.boards import Board, Qemu, Toolchain, get
from tflm_opt.errors import MissingTool, UnknownBoard
from tflm_opt.runtime import process

CORE = Path(__file__).resolve().parents[1] / "export" / "qemu" / "core"

DEFAULT_BOARD = "qemu_m4"  # whose tools are taken where no board is named
STACK = 64 << 10  # bytes of stack in an emulated program; the harness paints all of it
SHIFT = 7  # an instruction takes 2**SHIFT ns of virtual time: see instructions()

# The engine's own flags, wherever it is built: C99 that GCC 7 takes, optimized as TFLM's kernels
# are. Contracted floats (fused multiply-add) would round differently from TFLM.
ENGINE_FLAGS = ("-std=c99", "-O2", "-ffp-contract=off", "-ffunction-sections", "-fdata-sections")
LINK_FLAGS = ("-nostartfiles", "-Wl,--gc-sections")


def emulator(board: Board) -> Qemu:
    """The emulated machine of a board; `UnknownBoard` with the ones to use where it has none."""
    if board.qemu is None:
        raise UnknownBoard(
            f"{board.id} as an emulated one", [board.emulated_by] if board.emulated_by else []
        )
    return board.qemu


def compiler(tool: str = "gcc", board: Board | None = None) -> str:
    """Path of `arm-none-eabi-<tool>`, or of what compiles for a board that is not an Arm.

    From PATH, else from PlatformIO's toolchain package. Raises `MissingTool` where there is
    neither, or the compiler comes without its C library.
    """
    toolchain = (board or get(DEFAULT_BOARD)).toolchain
    found = shutil.which(toolchain.prefix + tool) or _packaged(toolchain, tool)
    if not found:
        raise MissingTool(
            toolchain.prefix + "gcc", needed_for="to build firmware", install=toolchain.install
        )
    if tool == "gcc" and not _has_library(found, toolchain.flags):
        raise MissingTool(
            f"the C library of {toolchain.prefix}gcc",
            needed_for="to build firmware",
            install=toolchain.install,
        )
    return found


def _packaged(toolchain: Toolchain, tool: str) -> str | None:
    if not toolchain.package:
        return None
    home = os.environ.get("PLATFORMIO_CORE_DIR") or os.path.expanduser("~/.platformio")
    folder = Path(home) / "packages" / toolchain.package / "bin"
    return shutil.which(toolchain.prefix + tool, path=str(folder))


@cache
def _has_library(gcc: str, flags: tuple[str, ...]) -> bool:
    """Debian and others have compilers and their C libraries in packages of their own."""
    return not process.run([gcc, *flags, "-E", "-include", "string.h", "-x", "c", "-"]).returncode


def qemu_program(board: Board | None = None) -> str:
    """Path of `qemu-system-arm`, or of the program for a board that is not an Arm.

    An environment variable of its name, QEMU_SYSTEM_ARM, may say another. Raises `MissingTool`.
    """
    toolchain = (board or get(DEFAULT_BOARD)).toolchain
    name = toolchain.emulator
    found = shutil.which(os.environ.get(name.upper().replace("-", "_"), name))
    if not found:
        raise MissingTool(name, needed_for="to run firmware", install=toolchain.install_emulator)
    return found


def defines(board: Board) -> tuple[str, ...]:
    """Macros that the C core needs to know about the machine."""
    return ("TFLM_OPT_QEMU", f"QEMU_TIMER_{emulator(board).timer.upper()}")


def linker_script(board: Board) -> str:
    """The text of the board's link script, from the one of its toolchain in `core`."""
    qemu = emulator(board)
    text = (CORE / board.toolchain.script).read_text("utf-8")
    for key, value in {
        "VECTORS": f"0x{qemu.vectors:08x}",
        "FLASH_ORIGIN": f"0x{qemu.flash_origin:08x}",
        "FLASH_LENGTH": str(board.flash),
        "RAM_ORIGIN": f"0x{qemu.ram_origin:08x}",
        "RAM_LENGTH": str(board.sram),
        "STACK": str(STACK),
    }.items():
        text = text.replace(f"@{key}@", value)
    return text


def alone_flags(board: Board) -> tuple[str, ...]:
    """What the linker has to know to link a model with nothing else."""
    script = board.toolchain.alone
    return (f"-T{CORE / script}",) if script else ()


def arguments(board: Board, record: Path | None = None) -> tuple[str, ...]:
    """QEMU's arguments for a board, all but the program to load.

    With a file to `record` to, QEMU tells how many instructions ran (`info replay`).
    """
    recording = "" if record is None else f",rr=record,rrfile={record}"
    return (
        *(
            "-M",
            emulator(board).machine,
            *emulator(board).options,
            "-display",
            "none",
            "-monitor",
            "none",
        ),
        *("-serial", "null", "-semihosting-config", "enable=on,target=native"),
        *("-icount", f"shift={SHIFT},align=off,sleep=off{recording}"),
    )


def instructions(board: Board, fine: int, coarse: int) -> int:
    """Instructions between two readings of a board's counters, from their differences.

    With `-icount shift=7` each instruction takes exactly 128 ns of virtual time, which is more
    than two ticks of every board's counter, so that rounding gives the exact number. A 32-bit
    counter wraps every 1.3 G instructions; the coarse one tells how often it did.
    """
    qemu = emulator(board)
    if qemu.coarse_hz:
        fine &= 0xFFFFFFFF
        about = coarse * qemu.timer_hz // qemu.coarse_hz
        fine += max(0, about - fine + (1 << 31)) >> 32 << 32
    period = (1 << SHIFT) * qemu.timer_hz  # ticks an instruction, in units of 1e-9
    return (fine * 2 * 10**9 + period) // (2 * period)
