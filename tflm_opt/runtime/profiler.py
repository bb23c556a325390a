"""How often every block of a program's instructions ran, on an emulated board, exactly.

QEMU takes plugins that see each block of instructions as it is translated and as it runs. Ours
(`qemu_profiler.c`, compiled here when it is first needed) counts the blocks between the call of
`<name>_invoke` and its return, apart for each *context*: the op that `invoke` is in. The program is
the one that `measure` runs, not a byte of it changed; and what the plugin counts is compared with
the emulated machine's own counter, to the last instruction.

Where QEMU has no plugins, or there is no compiler for them, `NoProfiler` says so, and `debugger` is
the other way.
"""

from __future__ import annotations

import re
import tempfile
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from tflm_opt.boards import Board, Flash
from tflm_opt.errors import MissingTool, NoProfiler, ToolFailed
from tflm_opt.runtime import elf, host_build, machine, process, qemu
from tflm_opt.runtime.firmware import Firmware

PLUGIN = Path(__file__).parent / "qemu_profiler.c"

_FIRST_VERSION = 1  # of QEMU's plugin interface: all functions that the plugin calls are as old
_OTHER_VERSION = re.compile(r"(?:minimum version of|only up to version) (\d+)")
_LOADED = "PROFILER missing argument"  # what the plugin says without arguments


@dataclass(frozen=True, slots=True)
class Range:
    """Addresses `start` to `end`, half-open, whose code sets a context: a number from 1."""

    start: int
    end: int
    context: int


@dataclass(frozen=True, slots=True)
class Block:
    """A straight run of instructions in one context.

    Attributes:
        start: its address.
        instructions: how many it has.
        context: of the `Range` that was left last, or 0.
        runs: how often it ran.
        fell: after how many of these the code right behind it ran next; the rest were branches.
    """

    start: int
    instructions: int
    context: int
    runs: int
    fell: int


@dataclass(frozen=True, slots=True)
class Trace:
    """What ran in one invoke.

    Attributes:
        blocks: all that ran.
        lines: lines of flash that were read as data, by context.
        instructions: of the invoke, by the machine's own counter: the sum over the blocks.
    """

    blocks: tuple[Block, ...]
    lines: Mapping[int, int]
    instructions: int


def trace(
    firmware: Firmware,
    board: Board,
    sample: Sequence[np.ndarray],
    ranges: Sequence[Range] = (),
    *,
    flash: Flash | None = None,
    timeout: float = 600.0,
) -> Trace:
    """Run one sample and see which blocks ran: `trace(built, board, [x]).instructions`.

    Args:
        ranges: code that sets contexts, in order of address.
        flash: with whose lines to count reads of constants; None: don't.

    Raises:
        NoProfiler: there is no way to watch QEMU.
        ToolFailed: as `qemu.run`, or what was seen isn't what the machine's counter says.
    """
    library = plugin(board)
    with tempfile.TemporaryDirectory(prefix="tflm_opt_") as name:
        out, contexts = Path(name) / "blocks.txt", Path(name) / "contexts.txt"
        contexts.write_text("".join(f"{r.start} {r.end} {r.context}\n" for r in ranges), "utf-8")
        arguments = [str(library), f"root={root(firmware)}", f"contexts={contexts}", f"out={out}"]
        if flash is not None:
            arguments += _flash_arguments(board, flash)
        option = ",".join(part.replace(",", ",,") for part in arguments)
        run = qemu.run(firmware, board, [sample], options=("-plugin", option), timeout=timeout)
        blocks, lines = _read(out)
    counted = sum(block.instructions * block.runs for block in blocks)
    if counted != run.instructions[0]:
        raise ToolFailed(
            "QEMU",
            f"its plugin saw {counted} instructions and the machine counted {run.instructions[0]}",
        )
    return Trace(blocks, lines, counted)


def root(firmware: Firmware) -> int:
    """The address of what the harness calls: the wrapper that streams rows, or the model's own."""
    symbols = elf.symbols(firmware.elf)
    name = "sample_invoke" if firmware.interface.streamed else firmware.interface.invoke
    if name not in symbols:
        raise ToolFailed("QEMU", f"no function {name} in the program to profile")
    return symbols[name][0] & ~1  # Thumb functions have their lowest bit set


def _flash_arguments(board: Board, flash: Flash) -> list[str]:
    start = machine.emulator(board).flash_origin
    kept = max(flash.data_cache // flash.line, 1)
    return [f"flash={start}:{start + board.flash}", f"line={flash.line}", f"kept={kept}"]


def _read(path: Path) -> tuple[tuple[Block, ...], dict[int, int]]:
    blocks: list[Block] = []
    lines: dict[int, int] = {}
    for words in map(str.split, path.read_text("utf-8").splitlines()):
        if words[0] == "block":
            blocks.append(Block(*map(int, words[1:])))
        else:
            lines[int(words[1])] = int(words[2])
    return tuple(sorted(blocks, key=lambda b: (b.start, b.instructions, b.context))), lines


@dataclass(frozen=True, slots=True)
class Map:
    """Names for addresses: `Map((0, 16), ("f", "g"))[20]` is "g"."""

    starts: tuple[int, ...]
    names: tuple[str, ...]

    def __getitem__(self, address: int) -> str:
        index = bisect_right(self.starts, address)
        return self.names[index - 1] if index else f"0x{address:x}"


def functions(program: Path) -> Map:
    """The function at each address of a program."""
    found = elf.functions(program)
    return Map(tuple(start for start, _ in found), tuple(name for _, name in found))


def plugin(board: Board | None = None) -> Path:
    """The compiled plugin, for the QEMU that there is for a board. Raises `NoProfiler`."""
    return _plugin(machine.qemu_program(board))


@cache
def _plugin(program: str) -> Path:
    library, said = _load(program, _FIRST_VERSION)
    other = _OTHER_VERSION.search(said)
    if other:
        library, said = _load(program, int(other[1]))
    if _LOADED not in said:
        lines = said.strip().splitlines()
        raise NoProfiler(lines[-1] if lines else f"{Path(program).name} did not load it")
    return library


def _load(program: str, version: int) -> tuple[Path, str]:
    """The plugin for a version of the interface, and what QEMU says to it."""
    library = _compile(version)
    command = [program, "-M", "none", "-display", "none", "-plugin", str(library)]
    done = process.run(command, timeout=60)
    return library, (done.stderr + done.stdout).decode("utf-8", "replace")


def _compile(version: int) -> Path:
    library = host_build.folder() / f"qemu_profiler_{version}.so"
    if library.exists():
        return library
    try:
        gcc = host_build.compiler()
    except MissingTool as error:
        raise NoProfiler(f"it takes {error.tool} to build it ({error.install})") from None
    flags = ["-std=gnu11", "-O2", "-fPIC", "-shared", f"-DPLUGIN_VERSION={version}"]
    done = process.run([gcc, *flags, str(PLUGIN), "-o", str(library)])
    if done.returncode:
        tail = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise NoProfiler(f"it does not compile: {tail[0] if tail else gcc}")
    return library
