"""A complete PlatformIO project: for real boards, and for QEMU's.

project/
  platformio.ini        an env for each emulated board, and for the real ones that are named
  src/                  main.c, check.c: run the stored vectors, say PASS or FAIL
  test/                 the same for `pio test`, with a runner of its own
  lib/<name>/           the generated C and its kernels: a library, which Arduino's IDE takes too
  platforms/qemu/       the emulated boards' platform (made from boards.toml)
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tflm_opt import boards as board_table
from tflm_opt.boards import Board
from tflm_opt.export import library, program
from tflm_opt.export.folder import atomic_folder, write_file
from tflm_opt.export.package import Package, check_board, open_saved
from tflm_opt.export.render import write_all
from tflm_opt.runtime import machine

PLATFORM = Path(__file__).resolve().parent / "qemu"
DEFAULT_BOARDS = ("nucleo_f446re",)


def fill(package: Package, folder: Path, *, board: str | Sequence[str] = DEFAULT_BOARDS) -> None:
    """Write a project into an empty folder.

    Args:
        board: id of a real board to name in `platformio.ini`, or several; emulated ones are always
            in it.

    Raises:
        UnknownBoard; TflmOptError: a board is too small.
    """
    ids = [board] if isinstance(board, str) else board
    named = [board_table.get(board_id) for board_id in ids]
    for one in named:
        check_board(package, one)
    values = {**library.values(package), **board_values(named)}
    write_all("platformio", folder, values)
    program.write(package, folder / "src", values)
    write_library(package, folder / "lib" / package.name)
    write_platform(folder / "platforms" / "qemu")


def update(
    directory: Path | str,
    project: Path,
    *,
    labels: Sequence[str] = (),
    sources: Mapping[str, str] | None = None,
) -> None:
    """Put what `Result.save` wrote into a project that is there: its library, the emulated boards,
    and source files.

        update("out", Path("firmware"), labels=["no", "yes"], sources={"src/data.c": text})

    Each of them is replaced whole or not at all; a library or platform that somebody edited is
    not.

    Raises:
        OutputExists: `lib/<name>` or `platforms/qemu` has files that this didn't write.
    """
    with (
        open_saved(directory, labels=labels) as package,
        atomic_folder(project / "lib" / package.name) as library,
    ):
        write_library(package, library)
    with atomic_folder(project / "platforms" / "qemu") as platform:
        write_platform(platform)
    for name, text in (sources or {}).items():
        write_file(project / name, text)


def write_library(package: Package, folder: Path) -> None:
    """Write the library of a model into a new or empty `folder`: PlatformIO's, and Arduino's."""
    library.write_for_arduino(package, folder)
    write_all("platformio_library", folder, library.values(package))


def write_platform(folder: Path) -> None:
    """Write the platform `qemu`, with all emulated boards, into a new or empty folder."""
    shutil.copytree(
        PLATFORM,
        folder,
        ignore=shutil.ignore_patterns("__pycache__", "*.ld"),
        dirs_exist_ok=True,
    )
    (folder / "boards").mkdir()
    (folder / "ldscripts").mkdir()
    for board in _emulated():
        manifest = json.dumps(board_manifest(board), indent=2) + "\n"
        (folder / "boards" / f"{board.id}.json").write_text(manifest, "utf-8")
        script = machine.linker_script(board)
        (folder / "ldscripts" / f"{board.id}.ld").write_text(script, "utf-8")


def _emulated() -> list[Board]:
    """The boards of the platform `qemu`."""
    return [board for board in board_table.all() if board.qemu]


def board_manifest(board: Board) -> dict[str, Any]:
    """PlatformIO's manifest of an emulated board, from our table."""
    tools = board.toolchain
    return {
        "name": board.name,
        "vendor": "QEMU",
        "url": "https://www.qemu.org/docs/master/system/targets.html",
        "frameworks": [],
        "build": {
            "mcu": machine.emulator(board).machine,
            "cpu": board.core,
            "f_cpu": f"{board.clock_hz}L",
            "toolchain": {
                "prefix": tools.prefix,
                "package": tools.package,
                "install": tools.install,
            },
            "machine_flags": list(board.flags),
            "link_flags": list(machine.LINK_FLAGS),
            "defines": list(machine.defines(board)),
            "ldscript_name": f"{board.id}.ld",
        },
        "qemu": {
            "program": tools.emulator,
            "install": tools.install_emulator,
            "arguments": list(machine.arguments(board)),
        },
        "upload": {"maximum_size": board.flash, "maximum_ram_size": board.sram},
    }


def board_values(named: Sequence[Board]) -> dict[str, Any]:
    """What the templates say of boards and of how the library is built."""
    real = [board for board in named if board.platformio]  # emulated ones are in it anyhow
    return {
        "emulated": _emulated(),
        "real": real,
        "example": real[0].id if real else "qemu_m4",
    }
