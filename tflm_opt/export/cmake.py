"""A CMake project: a library target, a test, and presets that run it on emulated boards."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from tflm_opt import boards as board_table
from tflm_opt.boards import Board
from tflm_opt.export import library, program
from tflm_opt.export.package import Package
from tflm_opt.export.render import render, write_all
from tflm_opt.runtime import machine


def fill(package: Package, folder: Path) -> None:
    """Write the project into an empty folder."""
    sources = library.write(package, folder)
    values = {**library.values(package), "sources": sources}
    program.write(package, folder / "test", values)
    write_all("cmake", folder, values)
    write_qemu(folder)


def write_qemu(folder: Path) -> None:
    """A toolchain file and a preset for each emulated board, and the C core that they share."""
    emulated = [board for board in board_table.all() if board.qemu]
    qemu = folder / "qemu"
    shutil.copytree(machine.CORE, qemu / "core", ignore=shutil.ignore_patterns("*.ld"))
    core = sorted(path.name for path in (qemu / "core").glob("*.c"))
    for board in emulated:
        values = {
            "board": board,
            "flags": " ".join(board.flags),
            "link_flags": " ".join(machine.LINK_FLAGS),
            "defines": machine.defines(board),
            "arguments": machine.arguments(board),
            "core": core,
        }
        text = render("qemu/board.cmake", values)
        (qemu / f"{board.id}.cmake").write_text(text, "utf-8", newline="\n")
        script = machine.linker_script(board)
        (qemu / f"{board.id}.ld").write_text(script, "utf-8", newline="\n")
    text = json.dumps(_presets(emulated), indent=2) + "\n"
    (folder / "CMakePresets.json").write_text(text, "utf-8", newline="\n")


def _presets(emulated: list[Board]) -> dict[str, Any]:
    configure = [
        {
            "name": board.id,
            "displayName": board.name,
            "generator": "Unix Makefiles",
            "binaryDir": f"${{sourceDir}}/build/{board.id}",
            "toolchainFile": f"${{sourceDir}}/qemu/{board.id}.cmake",
        }
        for board in emulated
    ]
    named = [{"name": board.id, "configurePreset": board.id} for board in emulated]
    output = {"output": {"verbosity": "verbose"}}
    return {
        "version": 3,
        "cmakeMinimumRequired": {"major": 3, "minor": 21, "patch": 0},
        "configurePresets": configure,
        "buildPresets": named,
        "testPresets": [{**preset, **output} for preset in named],
    }
