"""Instructions of a linked program, as `objdump` reads them.

One record an instruction: where it lies, how long it is, its mnemonic and its operands as text.
What it does to registers is read off the text, see `issue`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tflm_opt.boards import Board
from tflm_opt.errors import ToolFailed
from tflm_opt.runtime import machine, process

_LINE = re.compile(r"^\s*([0-9a-f]+):\t([0-9a-f ]+)\t(\S+)(?:\t(.*))?$")
_REGISTER = re.compile(r"\b(?:r\d+|sl|fp|ip|sp|lr|pc|[sdq]\d+)\b")
_BRACKETS = re.compile(r"\[([^\]]*)\]")


@dataclass(frozen=True)
class Instruction:
    """One instruction of a program.

    Attributes:
        address: of its first byte.
        size: 2 or 4 bytes.
        mnemonic: as the disassembler writes it, `add.w`.
        operands: "r0, r1, #4"; comments are dropped.
    """

    address: int
    size: int
    mnemonic: str
    operands: str = ""

    @property
    def end(self) -> int:
        return self.address + self.size

    @cached_property
    def registers(self) -> tuple[str, ...]:
        """All registers that its operands name, in order."""
        return tuple(_REGISTER.findall(self.operands))

    @cached_property
    def address_registers(self) -> frozenset[str]:
        """Registers that make the address of a load or store."""
        return frozenset(
            r for part in _BRACKETS.findall(self.operands) for r in _REGISTER.findall(part)
        )

    @cached_property
    def listed(self) -> int:
        """How many 32-bit words a register list `{r4, r5, lr}` or `{d8-d9}` holds."""
        if "{" not in self.operands:
            return 0
        total = 0
        for item in self.operands[self.operands.index("{") + 1 : -1].split("}")[0].split(","):
            first, _, last = item.strip().partition("-")
            count = int(last[1:]) - int(first[1:]) + 1 if last else 1
            total += count * (2 if first.startswith("d") else 1)
        return total


# objdump takes code of these cores for older ones' unless it is told.
_MACHINES = {"cortex-m55": ("-m", "armv8.1-m.main"), "cortex-m85": ("-m", "armv8.1-m.main")}


def disassemble(program: Path, board: Board) -> dict[int, Instruction]:
    """All instructions of a program by address; data between them is left out.

    Example:
        >>> disassemble(Path("firmware.elf"), boards.get("qemu_m4"))[0x400].mnemonic
        'push'

    Raises:
        MissingTool: no binutils for the board.
        ToolFailed: they can't read the file.
    """
    options = _MACHINES.get(board.core, ())
    done = process.run([machine.compiler("objdump", board), *options, "-d", str(program)])
    if done.returncode:
        raise ToolFailed("objdump", done.stderr.decode("utf-8", "replace").strip())
    return {one.address: one for one in parse(done.stdout.decode("utf-8", "replace"))}


def parse(text: str) -> Iterator[Instruction]:
    """The instructions in the output of `objdump -d`.

    >>> next(parse("    8000:\\tb510      \\tpush\\t{r4, lr}"))
    Instruction(address=32768, size=2, mnemonic='push', operands='{r4, lr}')
    """
    for line in text.splitlines():
        match = _LINE.match(line)
        if match is None or match[3].startswith("."):
            continue
        operands = re.split(r"\s*[;@#]\s|\s*<", match[4] or "")[0].strip()
        yield Instruction(
            int(match[1], 16), len(match[2].replace(" ", "")) // 2, match[3], operands
        )
