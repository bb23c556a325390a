"""A complete PlatformIO project from a generated model: for real boards, and for QEMU's.

    platformio.write("out/engine", "project", boards=["nucleo_f446re"], vectors=vectors)

    project/
      platformio.ini        an env for each emulated Arm board, and for the real ones that are named
      src/                  main.c, check.c: run the stored vectors, say PASS or FAIL
      lib/<name>/           the generated C and its kernels, unchanged
      platforms/qemu_arm/   the emulated boards' platform (made from boards.toml)

On a board that is emulated, the same program also takes samples from a file (`inputs.bin`), so
it can be run over any number of them with `runtime.qemu.run_elf`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tflm_opt import boards as board_table
from tflm_opt.boards import Board
from tflm_opt.errors import InvalidModel
from tflm_opt.export.folder import atomic_folder
from tflm_opt.runtime import machine
from tflm_opt.runtime.firmware import Interface, read_interface

Vector = tuple[Sequence[np.ndarray], Sequence[np.ndarray]]  # a sample, and its outputs

HERE = Path(__file__).resolve().parent
TEMPLATES = HERE / "templates"
PLATFORM = HERE / "qemu_arm"
DEFAULT_BOARDS = ("nucleo_f446re",)
_BYTES_A_LINE = 20


def write(
    directory: Path | str,
    out: Path | str,
    *,
    vectors: Sequence[Vector],
    boards: Sequence[str] = DEFAULT_BOARDS,
    force: bool = False,
) -> Path:
    """Write a project for a generated folder: `write("out", "project", vectors=[([x], [y])])`.

    Args:
        directory: what codegen wrote (`model.json`, `src/`, `include/`).
        out: the project's folder; see `atomic_folder` for what may be there.
        vectors: at least one pair of a sample and the outputs to expect, as arrays of the
            model's dtypes and shapes. They become part of the program: a handful will do.
        boards: ids of real boards to name in `platformio.ini`; emulated ones are always in it.

    Returns: the project's folder.

    Raises:
        InvalidModel: no generated model, or vectors that don't match it.
        UnknownBoard, OutputExists.
    """
    directory = Path(directory)
    interface = read_interface(directory)
    values = _values(interface, [board_table.get(board_id) for board_id in boards], len(vectors))
    inputs = [_pack(sample, interface.inputs, "inputs") for sample, _ in vectors]
    outputs = [_pack(expected, interface.outputs, "outputs") for _, expected in vectors]
    if not vectors:
        raise InvalidModel("a project needs at least one test vector", source=str(directory))
    with atomic_folder(out, force=force) as folder:
        _write_templates(folder, values)
        (folder / "src" / "vectors.c").write_text(vectors_source(inputs, outputs), "utf-8")
        write_library(directory, folder / "lib" / interface.name)
        write_platform(folder / "platforms" / "qemu_arm")
    return Path(out)


def write_library(directory: Path | str, folder: Path) -> None:
    """Write the PlatformIO library of a generated folder into a new or empty `folder`."""
    name = read_interface(directory).name
    for part in ("src", "include"):
        shutil.copytree(Path(directory) / part, folder / part)
    flags = json.dumps(list(machine.ENGINE_FLAGS))
    record = _render("library.json", {"name": name, "flags": flags})
    (folder / "library.json").write_text(record, "utf-8")


def write_platform(folder: Path) -> None:
    """Write the platform `qemu_arm`, with all emulated Arm boards, into a new or empty folder."""
    shutil.copytree(
        PLATFORM,
        folder,
        ignore=shutil.ignore_patterns("__pycache__", "*.ld", "*_riscv.c"),
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
    """The boards of the platform `qemu_arm`: its build script knows Arm's compiler alone."""
    return [board for board in board_table.all() if board.qemu and board.toolchain.id == "arm"]


def board_manifest(board: Board) -> dict[str, Any]:
    """PlatformIO's manifest of an emulated board, from our table."""
    return {
        "name": board.name,
        "vendor": "QEMU",
        "url": "https://www.qemu.org/docs/master/system/target-arm.html",
        "frameworks": [],
        "build": {
            "mcu": machine.emulator(board).machine,
            "cpu": board.core,
            "f_cpu": f"{board.clock_hz}L",
            "machine_flags": list(board.flags),
            "link_flags": list(machine.LINK_FLAGS),
            "defines": list(machine.defines(board)),
            "ldscript_name": f"{board.id}.ld",
        },
        "qemu": {"arguments": list(machine.arguments(board))},
        "upload": {"maximum_size": board.flash, "maximum_ram_size": board.sram},
    }


def vectors_source(inputs: Sequence[bytes], outputs: Sequence[bytes]) -> str:
    """The text of `vectors.c`: one row of bytes for each vector."""
    return (
        "/* Generated by tflm_opt. */\n"
        '#include "vectors.h"\n\n'
        f"const unsigned char vector_inputs[VECTOR_COUNT][VECTOR_INPUT] = {_rows(inputs)};\n\n"
        f"const unsigned char vector_outputs[VECTOR_COUNT][VECTOR_OUTPUT] = {_rows(outputs)};\n"
    )


def _rows(rows: Sequence[bytes]) -> str:
    return "{\n" + "".join(f"    {{\n{_lines(row)}    }},\n" for row in rows) + "}"


def _lines(data: bytes) -> str:
    pieces = (data[at : at + _BYTES_A_LINE] for at in range(0, len(data), _BYTES_A_LINE))
    return "".join("        " + ", ".join(map(str, piece)) + ",\n" for piece in pieces)


def _values(interface: Interface, real: Sequence[Board], vectors: int) -> dict[str, Any]:
    """What the templates are filled with."""
    real = [board for board in real if board.platformio]  # emulated ones are in it anyhow
    return {
        "name": interface.name,
        "arena": interface.arena,
        "vectors": vectors,
        "streamed": interface.streamed,
        "row": interface.inputs[0].size // interface.inputs[0].shape[1]
        if interface.streamed
        else 0,
        "input_sizes": [port.size for port in interface.inputs],
        "output_sizes": [port.size for port in interface.outputs],
        "emulated": _emulated(),
        "real": real,
        "example": real[0].id if real else "qemu_m4",
    }


def _pack(arrays: Sequence[np.ndarray], ports: Sequence[Any], what: str) -> bytes:
    found = [(str(np.asarray(a).dtype), np.asarray(a).shape) for a in arrays]
    wanted = [(port.dtype, port.shape) for port in ports]
    if found != wanted:
        raise InvalidModel(f"a test vector's {what} are {found}, and the model has {wanted}")
    return b"".join(np.asarray(array).tobytes() for array in arrays)


def _write_templates(folder: Path, values: Mapping[str, Any]) -> None:
    (folder / "src").mkdir()
    for template in ("platformio.ini", "README.md", "gitignore"):
        target = ".gitignore" if template == "gitignore" else template
        (folder / target).write_text(_render(template, values), "utf-8")
    for path in sorted((TEMPLATES / "src").iterdir()):
        text = _render(f"src/{path.name}", values)
        (folder / "src" / path.name).write_text(text, "utf-8")


def _render(template: str, values: Mapping[str, Any]) -> str:
    import jinja2

    loader = jinja2.FileSystemLoader(TEMPLATES)
    whole_lines = template.endswith(".c")  # there, a tag stands on a line of its own
    environment = jinja2.Environment(
        loader=loader,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=whole_lines,
        lstrip_blocks=whole_lines,
    )
    return environment.get_template(template).render(values)
