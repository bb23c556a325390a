"""Facts read from an ELF file: sizes of sections, addresses of symbols.

pyelftools does the reading; it is imported here only, and only when asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from tflm_opt.errors import MissingTool

_ALLOC, _EXEC, _WRITE = 0x2, 0x4, 0x1  # sh_flags


@dataclass(frozen=True, slots=True)
class Sections:
    """Bytes of an ELF file that end up in memory, by what they are."""

    code: int
    constants: int
    data: int
    bss: int


def sections(path: Path) -> Sections:
    """`sections(elf).code`: sizes by the sections' flags. Raises `MissingTool`."""
    sums = {"code": 0, "constants": 0, "data": 0, "bss": 0}
    with open(path, "rb") as file:
        for section in _elf_file(file).iter_sections():
            if section["sh_flags"] & _ALLOC:
                sums[_kind(section)] += section["sh_size"]
    return Sections(**sums)


def _kind(section: Any) -> str:
    if section["sh_type"] == "SHT_NOBITS":
        return "bss"
    if section["sh_flags"] & _WRITE:
        return "data"
    # Unwinding tables (.ARM.exidx) come with library code.
    if section["sh_flags"] & _EXEC or section.name.startswith(".ARM"):
        return "code"
    return "constants"


def symbols(path: Path) -> dict[str, tuple[int, int]]:
    """Address and size of every named function and object. Raises `MissingTool`."""
    with open(path, "rb") as file:
        table = _elf_file(file).get_section_by_name(".symtab")
        return {
            symbol.name: (symbol["st_value"], symbol["st_size"])
            for symbol in (table.iter_symbols() if table else ())
            if symbol.name and symbol["st_info"]["type"] in ("STT_FUNC", "STT_OBJECT")
        }


def function_at(path: Path, address: int) -> str:
    """`name+0x12` of the code at an address, or the address in hex. Raises `MissingTool`."""
    for name, (start, size) in symbols(path).items():
        begin = start & ~1  # Thumb functions have their lowest bit set
        if begin <= address < begin + size:
            return f"{name}+0x{address - begin:x}"
    return f"0x{address:08x}"


def functions(path: Path) -> tuple[tuple[int, str], ...]:
    """Start and name of all code, in order of address; static functions of one name are all there.

    Code without a symbol of its own belongs to the one before it. Raises `MissingTool`.
    """
    with open(path, "rb") as file:
        table = _elf_file(file).get_section_by_name(".symtab")
        found = {
            symbol["st_value"] & ~1: symbol.name  # Thumb functions have their lowest bit set
            for symbol in (table.iter_symbols() if table else ())
            if symbol.name and symbol["st_info"]["type"] == "STT_FUNC"
        }
    return tuple(sorted(found.items()))


def lines(path: Path, source: str) -> tuple[tuple[int, int, int], ...]:
    """`(start, end, line)` of the code that a source file became, half-open, in order of address.

    The file has to be compiled with `-g`. Raises `MissingTool`.

    Args:
        source: the file's name without folders, "digits.c".
    """
    found: list[tuple[int, int, int]] = []
    with open(path, "rb") as file:
        dwarf = _elf_file(file).get_dwarf_info()
        for unit in dwarf.iter_CUs():
            name = unit.get_top_DIE().attributes.get("DW_AT_name")
            if name is None or Path(name.value.decode("utf-8", "replace")).name != source:
                continue
            states = [entry.state for entry in dwarf.line_program_for_CU(unit).get_entries()]
            known = [state for state in states if state is not None]
            found += [
                (state.address, after.address, state.line)
                for state, after in pairwise(known)
                if not state.end_sequence and state.address < after.address
            ]
    return tuple(sorted(found))


def _elf_file(file: Any) -> Any:
    try:
        from elftools.elf.elffile import ELFFile
    except ImportError:
        raise MissingTool(
            "pyelftools", needed_for="to read firmware", install="pip install pyelftools"
        ) from None
    return ELFFile(file)
