"""Cycles, estimated: instructions sorted into classes, each with a documented cost on each core.

An emulator counts instructions exactly and knows nothing of time. What is here turns counts into
an **estimate** of cycles at zero wait states: `cycles.toml` has a row a class and a column a core
with the source of every figure, `classify` finds an instruction's row, `events` adds what
neighbours do to each other (a load behind a load, two instructions in one cycle, vectors that
overlap), and `estimate` is a sum of products, so that it serves anyone with counts by class:

    estimate({"multiply-dsp": 1000, "load": 500, "pipelined": 400, "taken": 100}, "cortex-m4")
    1800.0

Not in it: caches and wait states (see `profiler`), unaligned accesses, mispredicted branches,
instructions that a condition skips (taken as executed).
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tflm_opt.runtime.disassembly import Instruction
from tflm_opt.runtime.issue import Slot, effects

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TABLE = Path(__file__).parent / "cycles.toml"

_CONDITIONS = ("eq", "ne", "cs", "hs", "cc", "lo", "mi", "pl", "vs", "vc", "hi", "ls", "ge", "lt")
_CONDITIONS = (*_CONDITIONS, "gt", "le", "al")
_LANE_MOVE = re.compile(r"q\d\[\d+\]")
_LANE_BITS = re.compile(r"\.[a-z]?(8|16|32|64)$")
_BRANCHES = ("branch", "branch-link", "branch-exchange", "branch-table", "load-pc", "multiple-pc")


class UnknownInstruction(ValueError):
    """An instruction that no row of the table has. Attributes: instruction."""

    def __init__(self, instruction: Instruction) -> None:
        text = f"{instruction.mnemonic} {instruction.operands}".strip()
        super().__init__(f"no class for `{text}` at 0x{instruction.address:x}; see {TABLE.name}")
        self.instruction = instruction


@dataclass(frozen=True, slots=True)
class Row:
    """A class of instructions, or an effect: `cycles` by core, and where the figures are from."""

    name: str
    mnemonics: frozenset[str]
    cycles: Mapping[str, float]
    source: str


@cache
def rows() -> Mapping[str, Row]:
    """The table, by the classes' names."""
    with open(TABLE, "rb") as file:
        data: dict[str, dict[str, Any]] = tomllib.load(file)
    return {
        name: Row(
            name, frozenset(row.get("mnemonics", "").split()), dict(row["cycles"]), row["source"]
        )
        for name, row in data.items()
    }


def cores() -> tuple[str, ...]:
    """The cores that have a column: `("cortex-m0plus", ...)`."""
    return tuple(rows()["alu"].cycles)


def missing(core: str) -> str | None:
    """Why there are no estimates for a core: `missing("rv32imc")`; None where there are."""
    try:
        _family(core)
    except ValueError as error:
        return str(error)
    return None


def cost(name: str, core: str) -> float:
    """Cycles of one instruction of a class on a core, or what one effect adds there.

    Raises:
        KeyError: no such class; ValueError: no such core, or it has no such instructions.
    """
    row = rows()[name]
    family = _family(core)
    if core in row.cycles or family in row.cycles:
        return row.cycles.get(core, row.cycles.get(family, 0.0))
    if row.name in _EFFECTS:
        return 0.0
    raise ValueError(f"{core} has no instructions of the class {name}")


def _family(core: str) -> str:
    """The column of a core. Raises `ValueError` where it has none."""
    family = core.partition(".")[0]
    if family not in cores():
        raise ValueError(f"no timings for {core}; there are {', '.join(cores())}")
    return family


def estimate(counts: Mapping[str, float], core: str) -> float:
    """Cycles of so many instructions of each class, and effects: an estimate, zero wait states.

    Example:
        >>> estimate({"load": 2, "pipelined": 1, "taken": 1, "branch": 1}, "cortex-m4")
        6.0

    Args:
        counts: by names of the table's rows.
        core: "cortex-m4"; "cortex-m0plus.small-multiply" for a 32-cycle multiplier.

    Raises:
        KeyError, ValueError: as `cost`.
    """
    return float(sum(count * cost(name, core) for name, count in counts.items()))


def events(block: Sequence[Instruction], core: str) -> list[Counter[str]]:
    """What each instruction of a straight run counts as: its class, and effects.

    Whether its last branch is taken is not known here; who knows counts "taken" as often.

    Raises:
        UnknownInstruction: the table has no row for one; ValueError: it has no such core.
    """
    _family(core)
    found: list[Counter[str]] = []
    before: Slot | None = None
    for one in block:
        name = classify(one)
        counts = Counter({name: 1})
        words = _words(name, one)
        if words:
            counts["word"] = words
        if name == "vector-gather":
            counts["lane"] = _lanes(one)
        slot = Slot(one, name, cost(name, core))
        happened, before = effects(before, slot, core)
        counts.update(happened)
        found.append(counts)
    return found


def may_be_taken(one: Instruction) -> bool:
    """Whether an instruction is a branch that costs a refill when it is taken."""
    return classify(one) in _BRANCHES


def classify(one: Instruction) -> str:
    """The name of an instruction's class. Raises `UnknownInstruction`."""
    base = _base(one, vector=_is_vector(one))
    if base is None:
        raise UnknownInstruction(one)
    name = _classes(_is_vector(one))[base]
    return _special(name, base, one)


def _special(name: str, base: str, one: Instruction) -> str:
    """The class within a class that the operands tell."""
    to_pc = one.registers[:1] == ("pc",)
    if name == "load" and to_pc:
        return "load-pc"
    if name == "store" and _register_offset(one):
        return "store-register-offset"
    if name == "multiple" and base in ("pop", "ldm", "ldmia", "ldmdb") and "pc" in one.registers:
        return "multiple-pc"
    if name == "alu" and to_pc:
        return "branch-exchange"
    if name in ("vector-load", "vector-store") and re.search(r"\[.*\bq\d", one.operands):
        return "vector-gather"
    if base == "vmov":
        return _move(name, one)
    return name


def _move(name: str, one: Instruction) -> str:
    """The class of a `vmov`."""
    if _LANE_MOVE.search(one.operands):
        return "vector-lane"
    core_registers = [r for r in one.registers if r[0] not in "sdq" or r in ("sp", "sl")]
    return "float-move-double" if len(core_registers) == 2 else name


def _register_offset(one: Instruction) -> bool:
    return len(one.address_registers) == 2


def _is_vector(one: Instruction) -> bool:
    return one.mnemonic.startswith("v") and bool(
        re.search(r"\bq\d", one.operands) or one.mnemonic.startswith(("vpst", "vctp", "vpnot"))
    )


@cache
def _classes(vector: bool) -> Mapping[str, str]:
    """Class by mnemonic: some float mnemonics are vector ones too."""
    return {
        mnemonic: row.name
        for row in rows().values()
        for mnemonic in row.mnemonics
        if row.name.startswith("vector") == vector
    }


def _base(one: Instruction, *, vector: bool) -> str | None:
    """The mnemonic without what was added to it."""
    known = _classes(vector)
    name = one.mnemonic.split(".")[0]
    if name.startswith(("vpt", "vpst")):
        name = name[:4] if name.startswith("vpst") else "vpt"
    shorter = [name, *_without_condition(name), name.removesuffix("s")]
    shorter += [c.removesuffix("s") for c in _without_condition(name)]
    if vector:
        shorter += [name[:-1]] if name[-1] in "te" else []
    return next((candidate for candidate in shorter if candidate in known), None)


def _without_condition(name: str) -> list[str]:
    return [name[:-2]] if name.endswith(_CONDITIONS) else []


def _words(name: str, one: Instruction) -> int:
    """Registers that a load or store of several moves."""
    if name in ("multiple", "multiple-pc"):
        return one.listed
    if name == "float-memory":
        return one.listed or (2 if one.registers[0].startswith("d") else 1)
    return 0


def _lanes(one: Instruction) -> int:
    match = _LANE_BITS.search(one.mnemonic)
    return 128 // int(match[1]) if match else 4


_EFFECTS = frozenset({"taken", "word", "pipelined", "address-interlock", "load-use", "paired"})
_EFFECTS = _EFFECTS | {"overlap", "lane"}
