"""The targets we know: core, memory, clock, PlatformIO id, and how to emulate them.

`boards.toml` is the table and this module only reads it, so the command line, the firmware
build, the emulator and the PlatformIO export cannot disagree.

    board = boards.get("nucleo_f446re")
    board.sram            # 131072
    board.emulated_by     # "qemu_m4": the emulated board with the same core
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tflm_opt.errors import UnknownBoard

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TABLE = Path(__file__).parent / "boards.toml"


@dataclass(frozen=True, slots=True)
class PlatformIo:
    """What names a board in `platformio.ini`."""

    platform: str
    board: str
    framework: str


@dataclass(frozen=True, slots=True)
class Qemu:
    """An emulated machine: its name, its memory map and its counters (see `runtime.qemu`).

    Attributes:
        machine: QEMU's name for it.
        timer: which counter of `qemu_timer.h` it has.
        timer_hz: that counter's rate, in ticks of virtual time.
        coarse_hz: rate of the counter that tells wraps apart, or 0.
        vectors: address of the vector table at reset.
        flash_origin: where code and constants are linked to.
        ram_origin: where data, stack and arena are linked to.
        options: arguments of QEMU that no other machine needs.
    """

    machine: str
    timer: str
    timer_hz: int
    coarse_hz: int
    vectors: int
    flash_origin: int
    ram_origin: int
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Toolchain:
    """A compiler with its C library, and the emulator of what it compiles for.

    Attributes:
        id: "arm".
        prefix: of its tools' names: "arm-none-eabi-".
        flags: to compile and link with its C library.
        package: of PlatformIO, where the tools may be found, or "".
        install: the command that installs it.
        emulator: QEMU's program, or "". `install_emulator`: the command that installs that.
        script: the file name of the link script for emulated boards.
        alone: of the one for a model with nothing else; "": the linker's own.
        link_register, program_counter: their numbers for QEMU's debugger.
        faults: names of exceptions by number.
        bounds_stack: whether `runtime.stack` reads its code.
    """

    id: str
    prefix: str
    flags: tuple[str, ...]
    package: str
    install: str
    alone: str = ""
    emulator: str = ""
    install_emulator: str = ""
    script: str = ""
    link_register: int = 0
    program_counter: int = 0
    faults: Mapping[int, str] = field(default_factory=dict, hash=False)
    bounds_stack: bool = True


@dataclass(frozen=True, slots=True)
class Flash:
    """How long a core waits for its flash memory, for estimates of cycles.

    Attributes:
        wait_states: cycles of the core that a read takes beyond the first, at the board's clock.
        line: bytes that one read brings.
        data_cache: bytes of constants that are kept near the core; `line`, where only the last
            read is.
        code_cached: whether a cache or prefetcher hides the wait for instructions.
    """

    wait_states: int = 0
    line: int = 4
    data_cache: int = 4
    code_cached: bool = True


@dataclass(frozen=True, slots=True)
class Board:
    """A target. Sizes in bytes; `flags` is what the compiler needs to know about the core.

    The toolchain's own flags are among them.
    """

    id: str
    name: str
    core: str
    sram: int
    flash: int
    clock_hz: int
    flags: tuple[str, ...]
    toolchain: Toolchain
    platformio: PlatformIo | None = None
    qemu: Qemu | None = None
    flash_reads: Flash = Flash()
    emulated_by: str | None = None


def get(board_id: str) -> Board:
    """The board of that id: `get("qemu_m4")`. Raises `UnknownBoard` with the nearest names."""
    table = _table()
    try:
        return table[board_id]
    except KeyError:
        raise UnknownBoard(board_id, _nearest(board_id, table)) from None


def all() -> tuple[Board, ...]:
    """Every board, in the table's order: emulated ones first."""
    return tuple(_table().values())


@cache
def _table() -> dict[str, Board]:
    with open(TABLE, "rb") as file:
        data = tomllib.load(file)
    rows: dict[str, dict[str, Any]] = data["boards"]
    emulators = {row["core"]: board_id for board_id, row in rows.items() if "qemu" in row}
    tools = {name: _toolchain(name, row) for name, row in data["toolchains"].items()}
    return {
        board_id: _board(board_id, row, data["cores"][row["core"]], tools, emulators)
        for board_id, row in rows.items()
    }


def _toolchain(name: str, row: dict[str, Any]) -> Toolchain:
    parts = dict(row)
    faults = {int(number): text for number, text in parts.pop("faults", {}).items()}
    return Toolchain(id=name, flags=tuple(parts.pop("flags")), faults=faults, **parts)


def _board(
    board_id: str,
    row: dict[str, Any],
    core: dict[str, Any],
    tools: Mapping[str, Toolchain],
    emulators: Mapping[str, str],
) -> Board:
    parts = dict(row)
    platformio, qemu = parts.pop("platformio", None), parts.pop("qemu", None)
    toolchain = tools[core["toolchain"]]
    return Board(
        id=board_id,
        flags=(*toolchain.flags, *core["flags"]),
        toolchain=toolchain,
        platformio=PlatformIo(**platformio) if platformio else None,
        qemu=_qemu(qemu) if qemu else None,
        flash_reads=Flash(**parts.pop("flash_reads", {})),
        emulated_by=emulators.get(row["core"]),
        **parts,
    )


def _qemu(row: dict[str, Any]) -> Qemu:
    return Qemu(**{**row, "options": tuple(row.get("options", ()))})


def _nearest(name: str, table: dict[str, Board]) -> list[str]:
    """Up to three ids close to `name`, best first: by spelling, part or misspelt start."""
    folded = name.strip().lower().replace("-", "_").replace(" ", "_")
    close = difflib.get_close_matches(folded, table, n=3, cutoff=0.6)
    starts = [board_id for board_id in table if _alike(folded, board_id[: len(folded)])]
    parts = [
        board_id
        for board_id, board in table.items()
        if len(folded) >= 2 and (folded in board_id or folded in board.name.lower())
    ]
    return list(dict.fromkeys(close + parts + starts))[:3]


def _alike(name: str, other: str) -> bool:
    return len(name) >= 4 and difflib.SequenceMatcher(None, name, other).ratio() >= 0.75
