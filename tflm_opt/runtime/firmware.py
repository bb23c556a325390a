"""Build what `optimize` left in a folder into a program for an emulated board, and size it up.

The folder is codegen's:

    model.json        {"name": "digits", "arena": 12800,
                       "inputs":  [{"bytes": 1024, "dtype": "int8", "shape": [1, 32, 32, 1]}],
                       "outputs": [{"bytes": 10, "dtype": "int8", "shape": [1, 10]}]}
    include/*.h       with <name>.h
    src/**/*.c        the generated model and the kernels that it uses

Two links are made. One, with the C core of `export/qemu`, is the program that runs. The
other holds the model alone, with the four functions of its interface as roots and nothing else:
all that is left in it after dropping unused sections is there because of the model, library
functions like `memcpy` included, so its sections *are* the model's flash and RAM. Start-up,
semihosting and harness are not in it. The same file gives the worst-case stack (`stack.py`).
"""

from __future__ import annotations

import contextlib
import json
import math
import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tflm_opt.boards import Board
from tflm_opt.errors import InvalidModel, ToolFailed
from tflm_opt.runtime import elf, host_build, machine, process
from tflm_opt.runtime.stack import StackBound, worst_case

_INTERFACE = ("init", "input", "output")
_ERROR_LINES = 30


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of a generated model: `size` bytes, read as `dtype` and `shape`."""

    size: int
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Interface:
    """What `model.json` says: the C prefix, the arena in bytes, inputs and outputs.

    `streamed`: the rows of the only input come by callback.
    """

    name: str
    arena: int
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    streamed: bool = False

    @property
    def invoke(self) -> str:
        """The C function that runs the model."""
        return f"{self.name}_invoke{'_rows' if self.streamed else ''}"


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes that the model causes, from the linked ELF; no start-up code, no harness.

    Attributes:
        weights: constants in flash (weights, biases, tables).
        code: instructions in flash, with the library functions that they call.
        data: initialised variables: in flash and in RAM.
        bss: zeroed variables in RAM, the arena left out.
        arena: the static arena in RAM.
    """

    weights: int
    code: int
    data: int
    bss: int
    arena: int

    @property
    def flash(self) -> int:
        """weights + code + the initial values of `data`."""
        return self.weights + self.code + self.data

    @property
    def ram(self) -> int:
        """arena + data + bss; the stack is not in it."""
        return self.arena + self.data + self.bss


@dataclass(frozen=True, slots=True)
class Firmware:
    """A built program: the ELF to run, the model's interface, its sizes and worst-case stack."""

    elf: Path
    board: Board
    interface: Interface
    sizes: Sizes
    stack: StackBound


def build(
    directory: Path | str, board: Board, out: Path | str, *, jobs: int = 2, lines: bool = False
) -> Firmware:
    """Compile a generated folder for an emulated board: `build("out", boards.get("qemu_m4"), b)`.

    `out` is filled with objects, `firmware.elf` and `model.elf` (the model alone). Where `out`
    is of no interest, a temporary folder does. With `lines`, the model's code comes with a table
    of its lines, which changes none of it.

    Raises:
        InvalidModel: the folder holds no generated model.
        MissingTool: no compiler for the board.
        ToolFailed: it refused the sources; `output` has its message.
        UnknownBoard: the board is not an emulated one; the nearest such is named.
    """
    directory, out = Path(directory).resolve(), Path(out).resolve()
    machine.emulator(board)
    alone = build_model(directory, board, out, jobs=jobs, lines=lines)
    program = _link_program(alone.objects, alone.interface, directory, board, out)
    return Firmware(program, board, alone.interface, alone.sizes, alone.stack)


@dataclass(frozen=True, slots=True)
class ModelAlone:
    """The model compiled for a core and linked with nothing else: what it costs."""

    objects: tuple[Path, ...]
    interface: Interface
    sizes: Sizes
    stack: StackBound


def build_model(
    directory: Path | str, board: Board, out: Path | str, *, jobs: int = 2, lines: bool = False
) -> ModelAlone:
    """Compile a generated folder for a board's core, emulated or not, and size it up.

    Raises: as `build`, but for the emulator.
    """
    directory, out = Path(directory).resolve(), Path(out).resolve()
    interface = read_interface(directory)
    sources = sorted((directory / "src").rglob("*.c"))
    if not sources:
        raise InvalidModel("no C sources under src/", source=str(directory))
    out.mkdir(parents=True, exist_ok=True)
    traced = interface.name if lines else None
    objects = _compile(sources, directory, board, out / "model", jobs, traced)
    model = _link_model(objects, interface, board, out)
    stack = _stack(model, interface, board)
    return ModelAlone(tuple(objects), interface, _sizes(model, interface), stack)


def read_interface(directory: Path | str) -> Interface:
    """Read `model.json` of a generated folder. Raises `InvalidModel`."""
    path = Path(directory) / "model.json"
    try:
        record = json.loads(path.read_text("utf-8"))
        interface = Interface(
            name=str(record["name"]),
            arena=int(record["arena"]),
            inputs=tuple(map(_port, record["inputs"])),
            outputs=tuple(map(_port, record["outputs"])),
            streamed=bool(record.get("streamed", False)),
        )
    except FileNotFoundError:
        raise InvalidModel(
            "no model.json: this is not a folder that `tflm-opt optimize` wrote",
            source=str(directory),
        ) from None
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidModel(f"damaged: {error!r}; optimize again", source=str(path)) from None
    if not interface.name.isidentifier():
        raise InvalidModel(f"{interface.name!r} is not a C name", source=str(path))
    return interface


def _port(record: dict[str, Any]) -> Port:
    import numpy as np

    size = int(record["bytes"])
    dtype = str(record["dtype"])
    shape = tuple(int(n) for n in record["shape"])
    if math.prod(shape) * np.dtype(dtype).itemsize != size:
        raise ValueError(f"{dtype}{list(shape)} does not take {size} bytes")
    return Port(size, dtype, shape)


def main_source(interface: Interface) -> str:
    """The `main.c` that hands a model to the harness: C99, no stdio."""
    name = interface.name
    inputs = ", ".join(f"{port.size}u" for port in interface.inputs)
    outputs = ", ".join(f"{port.size}u" for port in interface.outputs)
    feed, give, run = "", f"{name}_input", f"{name}_invoke"
    if interface.streamed:
        feed, give, run = _feed(interface), "sample_input", "sample_invoke"
    return f"""\
/* Runs the model over inputs.bin, in QEMU. Written by tflm_opt.runtime.firmware. */
#include "{name}.h"
#include "harness.h"
#include "semihost.h"

#include <string.h>

static const size_t input_size[] = {{{inputs}}};
static const size_t output_size[] = {{{outputs}}};
{feed}
int main(void)
{{
    const struct harness_model model = {{
        {name}_init, {give}, {run}, {name}_output,
        {len(interface.inputs)}, {len(interface.outputs)}, input_size, output_size,
    }};
    if (!harness_serve(&model)) {{
        semihost_print("HARNESS no inputs.bin\\n");
        return 1;
    }}
    return 0;
}}
"""


def _feed(interface: Interface) -> str:
    """C that holds a sample beside the model and hands over its rows, as a camera would."""
    (port,) = interface.inputs
    row = port.size // port.shape[1]
    return f"""
static uint8_t sample[{port.size}];

static void *sample_input(int index)
{{
    return index == 0 ? sample : NULL;
}}

static int next_rows(void *user, int8_t *dst, int row, int count)
{{
    (void)user;
    memcpy(dst, sample + (size_t)row * {row}u, (size_t)count * {row}u);
    return 0;
}}

static int sample_invoke(void)
{{
    return {interface.invoke}(next_rows, NULL);
}}
"""


def _compile(
    sources: Sequence[Path],
    directory: Path,
    board: Board,
    out: Path,
    jobs: int,
    traced: str | None = None,
) -> list[Path]:
    """Compile each source to an object and a `.su` beside it; the paths of the objects.

    The source called `traced` gets its table of lines. Others are kept by content as long as this
    process lives: most are kernels, the same in every model and every try at a budget.
    """
    gcc = machine.compiler(board=board)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    flags = [*board.flags, *machine.ENGINE_FLAGS, "-fstack-usage"]
    seen = {kernel: host_build.headers(directory, kernel) for kernel in (False, True)}

    def compile_one(numbered: tuple[int, Path]) -> Path:
        number, source = numbered
        target = out / f"{number:03d}_{source.stem}.o"
        command = [gcc, *flags, f"-I{directory / 'include'}", "-c", str(source)]
        if source.stem == traced:  # its table of lines names this folder
            _run([*command, "-g", "-o", str(target)], out)
            return target
        headers = seen[host_build.is_kernel(source)].encode()
        key = repr((gcc, flags, source.name)).encode()
        kept = host_build.folder() / host_build.digest(key, source.read_bytes(), headers)
        if not kept.exists():
            _keep(command, kept)
        for path in kept.iterdir():
            shutil.copy(path, target.with_suffix(path.suffix))
        return target

    pool = ThreadPoolExecutor(max_workers=jobs)
    try:
        return list(pool.map(compile_one, enumerate(sources)))
    finally:
        pool.shutdown(cancel_futures=True)  # after an error or Ctrl-C the rest need not be tried


def _keep(command: Sequence[str], folder: Path) -> None:
    """Compile a source into a folder of its own, which is there whole or not at all."""
    partial = Path(tempfile.mkdtemp(dir=folder.parent))
    _run([*command, "-o", str(partial / "made.o")], partial)
    with contextlib.suppress(OSError):  # another thread was quicker, with the same bytes
        partial.rename(folder)


def _link_model(objects: Sequence[Path], interface: Interface, board: Board, out: Path) -> Path:
    target = out / "model.elf"
    names = [f"{interface.name}_{function}" for function in _INTERFACE]
    roots = [f"-Wl,--undefined={name}" for name in (*names, interface.invoke)]
    _run(
        [
            *(machine.compiler(board=board), *board.flags, *machine.LINK_FLAGS),
            *(*machine.alone_flags(board), *roots),
            *("-Wl,--entry=0", *map(str, objects), "-lm", "-o", str(target)),
        ],
        out,
    )
    return target


def _link_program(
    objects: Sequence[Path], interface: Interface, directory: Path, board: Board, out: Path
) -> Path:
    main, script, target = out / "main.c", out / "firmware.ld", out / "firmware.elf"
    main.write_text(main_source(interface), "utf-8")
    script.write_text(machine.linker_script(board), "utf-8")
    core = [str(path) for path in sorted(machine.CORE.glob("*.c"))]
    _run(
        [
            *(
                machine.compiler(board=board),
                *board.flags,
                "-std=gnu11",
                "-O2",
                "-ffunction-sections",
            ),
            *(f"-D{macro}" for macro in machine.defines(board)),
            *(f"-I{machine.CORE}", f"-I{directory / 'include'}"),
            *(str(main), *core, *map(str, objects)),
            *(*machine.LINK_FLAGS, f"-T{script}", "-lm", "-o", str(target)),
        ],
        out,
    )
    return target


def _run(command: Sequence[str], cwd: Path) -> str:
    done = process.run(command, cwd=cwd)
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise ToolFailed(
            Path(command[0]).name,
            f"failed with status {done.returncode}",
            output="\n".join(lines[:_ERROR_LINES]),
        )
    return done.stdout.decode("utf-8", "replace")


def _sizes(model: Path, interface: Interface) -> Sizes:
    parts = elf.sections(model)
    held = interface.arena if interface.arena <= parts.bss else 0
    return Sizes(
        weights=parts.constants,
        code=parts.code,
        data=parts.data,
        bss=parts.bss - held,
        arena=interface.arena,
    )


def _stack(model: Path, interface: Interface, board: Board) -> StackBound:
    if not board.toolchain.bounds_stack:
        return StackBound(None, reason=f"code for {board.core} is not analysed")
    objdump = machine.compiler("objdump", board)
    text = _run([objdump, "-d", "--no-show-raw-insn", str(model)], model.parent)
    usage = [path.read_text("utf-8") for path in sorted((model.parent / "model").glob("*.su"))]
    return worst_case(interface.invoke, text, usage, callback=interface.streamed)
