"""The table of boards as a page, docs/boards.md."""

from __future__ import annotations

from tflm_opt import boards
from tflm_opt.errors import TflmOptError
from tflm_opt.measure import emulator


def page() -> str:
    """The page docs/boards.md: `tflm-opt boards --markdown`."""
    real = [board for board in boards.all() if board.platformio]
    emulated = [board for board in boards.all() if board.qemu]
    lines = [
        "# Boards",
        "",
        "<!-- Generated: tflm-opt boards --markdown > docs/boards.md -->",
        "",
        f"{len(real)} real boards, named in `platformio.ini` as here. SRAM is what one program "
        "gets as one piece, flash what an application may fill. *Measured by*: the emulated board "
        "that runs the code of its core, so that instructions and stack are no estimates.",
        "",
        "| id | board | core | SRAM | flash | MHz | measured by | PlatformIO |",
        "|---|---|---|---:|---:|---:|---|---|",
        *(_real_row(board) for board in real),
        "",
        "Emulated ones, which need only a compiler and QEMU:",
        "",
        "| id | board | core | SRAM | flash | emulator |",
        "|---|---|---|---:|---:|---|",
        *(_emulated_row(board) for board in emulated),
        "",
        "Where the numbers are from is said in `tflm_opt/boards.toml`.",
    ]
    return "\n".join(lines) + "\n"


def _real_row(board: boards.Board) -> str:
    assert board.platformio is not None
    names = board.platformio
    return (
        f"| `{board.id}` | {board.name} | {board.core} | {_kib(board.sram)} | {_kib(board.flash)} "
        f"| {board.clock_hz // 1_000_000} | {_measured_by(board)} | {_platform(names.platform)}, "
        f"`{names.board}`, {names.framework} |"
    )


def _measured_by(board: boards.Board) -> str:
    try:
        return f"`{emulator(board.id).id}`"
    except TflmOptError:
        return "none: estimates"


def _platform(name: str) -> str:
    """A platform's name; of one that has an address, a link."""
    if "/" not in name:
        return name
    return f"[{name.removesuffix('.git').rpartition('/')[2]}]({name})"


def _emulated_row(board: boards.Board) -> str:
    return (
        f"| `{board.id}` | {board.name} | {board.core} | {_kib(board.sram)} | {_kib(board.flash)} "
        f"| `{board.toolchain.emulator}` |"
    )


def _kib(size: int) -> str:
    return f"{size / 1024:,.0f} KiB"
