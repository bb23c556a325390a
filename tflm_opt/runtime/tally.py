"""From blocks that ran to counts by owner and function: instructions, classes, waits.

`profiler` saw blocks of addresses in contexts. Here each instruction of a block gets its owner (an
op, by the address where it lies in `invoke`, else by the context), its function and its class.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from tflm_opt.boards import Board, Flash
from tflm_opt.codegen.blocks import REST, Owner, Piece
from tflm_opt.errors import ToolFailed
from tflm_opt.runtime import cycles as costs
from tflm_opt.runtime import disassembly, elf, profiler
from tflm_opt.runtime.disassembly import Instruction
from tflm_opt.runtime.firmware import Firmware
from tflm_opt.runtime.profiler import Block, Range, Trace

_Key = TypeVar("_Key")


@dataclass(slots=True)
class Tally:
    """What was counted.

    Attributes:
        counts: by rows of `cycles.toml`.
        code_lines: lines of flash that hold the blocks, each as often as its block ran.
        data_lines: lines of flash that were read as data.
        unknown: an instruction without a class, as a clause; empty where all have one.
    """

    instructions: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    code_lines: int = 0
    data_lines: int = 0
    unknown: str = ""

    def add(self, other: Tally) -> None:
        self.instructions += other.instructions
        self.counts.update(other.counts)
        self.code_lines += other.code_lines
        self.data_lines += other.data_lines
        self.unknown = self.unknown or other.unknown


@dataclass(frozen=True, slots=True)
class Owners:
    """Whose an address of `invoke` is: a context is an index of `contexts`, where 0 is the rest."""

    contexts: tuple[Owner, ...]
    ranges: tuple[Range, ...]

    def at(self, address: int) -> Owner | None:
        """The owner of an address; None outside of `invoke`."""
        index = bisect_right(self.ranges, address, key=lambda r: r.start) - 1
        if index < 0 or address >= self.ranges[index].end:
            return None
        return self.contexts[self.ranges[index].context]


NOBODY = Owners((REST,), ())  # all of a program belongs to no op


def owners(firmware: Firmware, pieces: Sequence[Piece]) -> Owners:
    """Whose the code of a model built with `lines` is, from the lines' owners."""
    contexts = list(dict.fromkeys((REST, *(piece.owner for piece in pieces))))
    starts = [piece.first for piece in pieces]
    found = []
    for start, end, line in elf.lines(firmware.elf, f"{firmware.interface.name}.c"):
        index = bisect_right(starts, line) - 1
        if index >= 0 and line < pieces[index].end:
            found.append(Range(start, end, contexts.index(pieces[index].owner)))
    symbol = elf.symbols(firmware.elf)[firmware.interface.invoke]
    start = symbol[0] & ~1  # Thumb functions have their lowest bit set
    return Owners(tuple(contexts), _whole(found, start, start + symbol[1]))


def _whole(ranges: Sequence[Range], start: int, end: int) -> tuple[Range, ...]:
    """Ranges of a function in order, with those of no line, which are the rest's."""
    found: list[Range] = []
    for one in sorted((r for r in ranges if start <= r.start < end), key=lambda r: r.start):
        if one.start < start:
            raise ToolFailed("gcc", f"its table of lines has address 0x{one.start:x} twice")
        if one.start > start:
            found.append(Range(start, one.start, 0))
        found.append(one)
        start = one.end
    return (*found, Range(start, end, 0)) if start < end else tuple(found)


def tallies(
    trace: Trace, program: Path, owned: Owners, board: Board
) -> dict[tuple[Owner, str], Tally]:
    """What ran, by owner and function, with classes for the board's core.

    Raises:
        ToolFailed: the disassembler sees no instruction where one ran.
    """
    code = disassembly.disassemble(program, board)
    functions = profiler.functions(program)
    found: dict[tuple[Owner, str], Tally] = {}
    for block in trace.blocks:
        context = owned.contexts[block.context]
        instructions = _instructions(block, code)
        parts = _parts(block, instructions, board)
        for one, part in zip(instructions, parts, strict=True):
            owner = owned.at(one.address) or context
            found.setdefault((owner, functions[one.address]), Tally()).add(part)
    for context, lines in trace.lines.items():
        where = owned.contexts[context]
        keys = [key for key in found if key[0] == where]
        # Which function read a line is not known: the one that ran most is as good as any.
        largest = max(keys, key=lambda key: found[key].instructions)
        found[largest].data_lines += lines
    return found


def without_functions(
    counts: Mapping[int, int], owned: Owners, why: str
) -> dict[tuple[Owner, str], Tally]:
    """Tallies of instructions by context alone: functions are "", `why` there are no classes."""
    return {(owned.contexts[c], ""): Tally(count, unknown=why) for c, count in counts.items()}


def _instructions(block: Block, code: Mapping[int, Instruction]) -> list[Instruction]:
    found: list[Instruction] = []
    address = block.start
    while len(found) < block.instructions:
        if address not in code:
            raise ToolFailed(
                "objdump", f"it has no instruction at 0x{address:x}, which ran in QEMU"
            )
        found.append(code[address])
        address = code[address].end
    return found


def _parts(block: Block, instructions: Sequence[Instruction], board: Board) -> list[Tally]:
    """What each instruction of a block adds to its owner's tally."""
    parts = [Tally(block.runs) for _ in instructions]
    try:
        events = costs.events(instructions, board.core)
        taken = costs.may_be_taken(instructions[-1])
    except ValueError as error:
        parts[0].unknown = str(error)
        events, taken = [Counter[str]() for _ in instructions], False
    for part, counts in zip(parts, events, strict=True):
        part.counts = Counter({name: count * block.runs for name, count in counts.items()})
    if taken:
        parts[-1].counts["taken"] += block.runs - block.fell
    line = board.flash_reads.line
    spanned = (instructions[-1].end - 1) // line - block.start // line + 1
    parts[0].code_lines = block.runs * spanned
    return parts


def grouped(
    found: Mapping[tuple[Owner, str], Tally], key: Callable[[Owner, str], _Key]
) -> dict[_Key, Tally]:
    """Tallies added up by `key(owner, function)`."""
    groups: dict[_Key, Tally] = {}
    for (owner, function), one in found.items():
        groups.setdefault(key(owner, function), Tally()).add(one)
    return groups


def total(found: Iterable[Tally]) -> Tally:
    """All of them together."""
    everything = Tally()
    for one in found:
        everything.add(one)
    return everything


def cycles(one: Tally, core: str) -> float | None:
    """Estimated cycles at zero wait states; None where an instruction has no class."""
    return None if one.unknown else costs.estimate(one.counts, core)


def waits(one: Tally, flash: Flash) -> float:
    """Estimated cycles of waiting for flash: for constants, and for code that nothing caches."""
    lines = one.data_lines + (0 if flash.code_cached else one.code_lines)
    return float(lines * flash.wait_states)
