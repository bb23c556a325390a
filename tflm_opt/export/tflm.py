"""The exports for stock TFLM: the rewritten `.tflite`, behind the functions that the engine has.

    include/<name>.h       the same interface as the engine's, so programs need no change
    src/<name>.cpp         it, over MicroInterpreter, with a resolver of only the ops used
    src/<name>_tflite.c    the file, as an array
    kernels/               ours, under CMSIS-NN's names, for who wants them in its place

TFLM itself is not in it: a tree that the user gives, or a library by board.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tflm_opt import boards, graph
from tflm_opt.arena.cmsis_scratch import OF_CORE
from tflm_opt.boards import Board
from tflm_opt.errors import InvalidModel, TflmOptError
from tflm_opt.export import platformio, program, tflm_ops
from tflm_opt.export.package import Package
from tflm_opt.export.render import render, write_all
from tflm_opt.export.tflm_arena import LIBRARIES, Arena, arena
from tflm_opt.graph.ir import Graph
from tflm_opt.kernels import table
from tflm_opt.runtime.firmware import Interface, Port

# The Arduino library that TFLM comes in: its name there, with the registry's owner and a version in
# PlatformIO, and its header.
LIBRARY = {
    "arduino": "Chirale_TensorFLowLite",
    "platformio": "spaziochirale/Chirale_TensorFLowLite@2.0.0",
    "header": "Chirale_TensorFlowLite.h",
}
VERSION = "2026-08"  # of the TFLM whose records' sizes are known


@dataclasses.dataclass(frozen=True, slots=True)
class Stock:
    """A package seen as a model for stock TFLM.

    Attributes:
        package: with the interface of the `.tflite`: the whole input, TFLM's arena.
        graph: what the file holds.
        header: the text of `<name>.h`.
        needs: what TFLM's arena takes.
        methods: the Add functions of its ops.
    """

    package: Package
    graph: Graph
    header: str
    needs: Arena
    methods: Sequence[str]

    def values(self, kernels: str = "kernels/") -> dict[str, Any]:
        """What templates are filled with; `kernels`: where ours lie in the export."""
        return {
            **program.values(self.package),
            "methods": self.methods,
            "size": len(self.package.tflite),
            "library": LIBRARY,
            "kernels": kernels,
            "version": VERSION,
        }


def fill(kind: str, package: Package, folder: Path, **options: Any) -> None:
    """Write an export of a kind of `export.KINDS`, for stock TFLM, into an empty folder.

    Raises:
        UnsupportedModel: an op that stock TFLM doesn't have.
        TflmOptError: a board is too small.
        InvalidModel: no `.tflite` in the package.
    """
    _KINDS[kind](stock(package), folder, **options)


def stock(package: Package) -> Stock:
    """A package as a model for stock TFLM. Raises as `fill`."""
    from tflm_opt.codegen.generate import interpreter_header

    if not package.tflite:
        raise InvalidModel("no .tflite for stock TFLM", source=str(package.folder))
    found = graph.read(package.tflite, "model.tflite")
    methods = tflm_ops.methods(map(tflm_ops.kind, tflm_ops.all_ops(found)))
    needs = arena(found)
    lines = [
        f"{len(found.ops)} ops, {len(package.tflite)} bytes of constants: a .tflite that stock",
        "TensorFlow Lite Micro interprets. ",
    ]
    header, inputs, outputs = interpreter_header(found, package.name, lines, _sizes(needs))
    interface = Interface(
        package.name,
        needs.total("dsp"),
        tuple(Port(p.bytes, p.dtype, p.shape) for p in inputs),
        tuple(Port(p.bytes, p.dtype, p.shape) for p in outputs),
    )
    plain = dataclasses.replace(package, interface=interface)
    return Stock(plain, found, header, needs, methods)


# The compiler's macros for a core's instructions; 64-bit computers come last, with none of them.
_CORES = {
    "mve": "defined(__ARM_FEATURE_MVE) && __ARM_FEATURE_MVE",
    "dsp": "defined(__ARM_FEATURE_DSP) && __ARM_FEATURE_DSP && UINTPTR_MAX <= 0xFFFFFFFFu",
    "c": "UINTPTR_MAX <= 0xFFFFFFFFu",
}


def _sizes(needs: Arena) -> dict[str, Any]:
    """What the header says of the arena."""
    rows = [
        {
            "condition": condition,
            "any": needs.total(instructions),
            **{library: needs.total(instructions, library) for library in LIBRARIES},
        }
        for instructions, condition in _CORES.items()
    ]
    return {"rows": rows, "host": needs.host.total, "version": VERSION}


def write_library(model: Stock, folder: Path, *, include: str = "include") -> None:
    """Write a model's header and sources into a folder, without TFLM and its kernels."""
    package, values = model.package, model.values()
    write_all("tflm_library", folder, values)
    for directory in (include, "src"):
        (folder / directory).mkdir(parents=True, exist_ok=True)
    target = folder / include / f"{package.name}.h"
    target.write_text(model.header, "utf-8", newline="\n")
    if package.labels:
        write_all("library", folder / include, values)
    array = tflite_source(package.name, package.tflite)
    (folder / "src" / f"{package.name}_tflite.c").write_text(array, "utf-8", newline="\n")


def tflite_source(name: str, tflite: bytes) -> str:
    """The text of `<name>_tflite.c`."""
    return (
        "/* Generated by tflm_opt. */\n"
        f'#include "{name}_tflite.h"\n\n'
        "#if defined(__GNUC__) || defined(__clang__)\n"
        "__attribute__((aligned(16)))\n"
        "#endif\n"
        f"const unsigned char {name}_tflite[{name.upper()}_TFLITE_SIZE] = {{\n"
        f"{program.byte_lines(tflite)}}};\n"
    )


def write_kernels(model: Stock, folder: Path) -> None:
    """Write what takes CMSIS-NN's place for a model's ops: `cmsis_nn/`, `include/`, `src/`."""
    used = set(map(tflm_ops.kind, tflm_ops.all_ops(model.graph)))
    wanted = [
        name
        for name, kernel in table.kernels().items()
        if name.startswith("arm_") and used & set(kernel.ops)
    ]
    shutil.copytree(table.ROOT / "cmsis_nn", folder / "cmsis_nn")
    (folder / "include").mkdir()
    for path in table.headers():
        shutil.copyfile(path, folder / "include" / path.name)
    for kernel in table.closure(wanted):
        for tier in kernel.tiers:
            target = folder / "src" / tier / kernel.file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(table.source(kernel, tier), target)


def check_board(model: Stock, board: Board) -> None:
    """Raise `TflmOptError` if a board can't hold the arena, or the file."""
    package = model.package
    arena_size = model.needs.total(OF_CORE.get(board.core, "c"))
    for what, needs, has in (
        ("SRAM for TFLM's arena", arena_size, board.sram),
        ("flash for the .tflite", len(package.tflite), board.flash),
    ):
        if needs > has:
            raise TflmOptError(
                f"{board.id} is too small for {package.name} in stock TFLM: the model needs "
                f"{needs:,} bytes of {what} and the board has {has:,}. Name a larger board "
                '(`tflm-opt boards` lists them), or export with runtime="engine", which needs less'
            )


def _cmake(model: Stock, folder: Path) -> None:
    from tflm_opt.export.cmake import write_qemu

    values = model.values()
    write_library(model, folder)
    write_kernels(model, folder / "kernels")
    program.write(model.package, folder / "test", values)
    write_all("tflm_source", folder, values)
    write_all("tflm_cmake", folder, values)
    write_qemu(folder)


def _c(model: Stock, folder: Path) -> None:
    values = model.values()
    write_library(model, folder)
    write_kernels(model, folder / "kernels")
    program.write(model.package, folder / "test", values)
    write_all("tflm_source", folder, values)
    write_all("tflm_c", folder, values)


def _arduino(model: Stock, folder: Path) -> None:
    values = model.values()
    sketch = folder / "examples" / "self_test"
    write_library(model, folder, include="src")
    program.write(model.package, sketch, values)
    (sketch / "main.c").unlink()  # the sketch is the program
    text = render("arduino/examples/self_test/self_test.ino", values)
    (sketch / "self_test.ino").write_text(text, "utf-8", newline="\n")
    write_all("tflm_arduino", folder, values)


def _platformio(
    model: Stock, folder: Path, *, board: str | Sequence[str] = platformio.DEFAULT_BOARDS
) -> None:
    named = [boards.get(board_id) for board_id in ([board] if isinstance(board, str) else board)]
    for one in named:
        check_board(model, one)
    found = platformio.board_values(named)
    values = {
        **model.values("lib/tflm/kernels/"),
        **found,
        # TFLM is C++: picolibc has no library for it.
        "emulated": [one for one in found["emulated"] if one.toolchain.id == "arm"],
        "with_library": [one.id for one in named if _has_library(one)],
    }
    library = folder / "lib" / model.package.name
    write_all("tflm_platformio", folder, values)
    write_all("tflm_source", folder / "lib" / "tflm", values)
    write_kernels(model, folder / "lib" / "tflm" / "kernels")
    write_library(model, library)
    write_all("tflm_platformio_library", library, values)
    program.write(model.package, folder / "src", values)
    arduino = render("platformio/src/arduino.cpp", values)
    (folder / "src" / "arduino.cpp").write_text(arduino, "utf-8", newline="\n")
    platformio.write_platform(folder / "platforms" / "qemu")


def _has_library(board: Board) -> bool:
    """Whether `LIBRARY` serves a board: it is for Arduino's mbed and ESP32 cores."""
    found = board.platformio
    if found is None or found.framework != "arduino":
        return False
    return found.platform == "espressif32" or found.board.startswith(("nano33ble", "portenta"))


_KINDS: Mapping[str, Any] = {
    "cmake": _cmake,
    "c": _c,
    "arduino": _arduino,
    "platformio": _platformio,
}
