"""What neighbouring instructions do to each other's time, on each core.

The rules are few and coarse, and their sources are in `cycles.toml`, in the row of each effect:

- M3, M4: single loads overlap with the load before; an address made by the instruction before
  stalls.
- M7: two instructions share a cycle unless the second needs the first, both use the multiplier or
  memory, both shift an operand, or the second is one of the DSP instructions.
- M33, M55: two 16-bit instructions share a cycle under the same conditions.
- M55: a vector instruction overlaps half of the one before if that is of another unit.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from tflm_opt.runtime.disassembly import Instruction

_LOADS = ("load",)
_MEMORY = ("load", "store", "store-register-offset", "double", "multiple", "float-memory")
_MULTIPLIES = ("multiply", "multiply-accumulate", "multiply-dsp", "multiply-long")
_MULTIPLIES = (*_MULTIPLIES, "multiply-long-accumulate", "float-multiply", "float-accumulate")
_SECOND_NEVER = ("dsp", "multiply-dsp", "branch-link", "if-then", "system", "shift-long")
_WRITE_NOTHING = ("store", "store-register-offset", "branch", "branch-link", "branch-exchange")
_WRITE_NOTHING = (*_WRITE_NOTHING, "if-then", "system", "vector-store", "vector-predicate")
_COMPARES = ("cmp", "cmn", "tst", "teq", "vcmp")
_SHIFTS = ("lsl", "lsr", "asr", "ror", "rrx", "sxt", "uxt", "bfi", "bfc", "sbfx", "ubfx", "pkh")
_VECTOR_UNITS = {
    "vector-load": "memory",
    "vector-store": "memory",
    "vector-gather": "memory",
    "vector-multiply": "multiplier",
    "vector-alu": "alu",
}
_ONLY_WRITES_FIRST = ("mov", "mvn", "clz", "rbit", "rev", "sxt", "uxt", "adr", "ldr", "v")


@dataclass(frozen=True, slots=True)
class Slot:
    """An instruction in a straight run: its class, cycles, and whether it came in a pair."""

    one: Instruction
    name: str
    cycles: float
    paired: bool = False


def effects(before: Slot | None, slot: Slot, core: str) -> tuple[Counter[str], Slot]:
    """What the instruction before does to one, and the slot that the next one has before it."""
    counts: Counter[str] = Counter()
    if before is None:
        return counts, slot
    family = core.partition(".")[0]
    if family in ("cortex-m3", "cortex-m4"):
        _pipeline(before, slot, counts)
    elif family in ("cortex-m7", "cortex-m33", "cortex-m55"):
        if before.name in _LOADS and written(before) & read(slot):
            counts["load-use"] = 1
        elif not before.paired and _pairs(before, slot, family):
            counts["paired"] = 1
            slot = Slot(slot.one, slot.name, slot.cycles, paired=True)
        units = _VECTOR_UNITS.get(before.name), _VECTOR_UNITS.get(slot.name)
        if None not in units and units[0] != units[1] and slot.name != "vector-gather":
            counts["overlap"] = 1
    return counts, slot


def _pipeline(before: Slot, slot: Slot, counts: Counter[str]) -> None:
    """The M3's and M4's loads and stores: a base that a load updates is there in time."""
    address = slot.one.address_registers
    if before.name in _LOADS and slot.name in ("load", "store-register-offset"):
        if before.one.registers[0] not in address:
            counts["pipelined"] = 1
    elif slot.name in _MEMORY and before.name not in _MEMORY and written(before) & address:
        counts["address-interlock"] = 1


def _pairs(first: Slot, second: Slot, family: str) -> bool:
    """Whether two instructions may be issued in the same cycle."""
    if first.cycles != 1 or second.cycles != 1 or first.name.startswith("branch"):
        return False
    if family != "cortex-m7" and (first.one.size != 2 or second.one.size != 2):
        return False
    if second.name in _SECOND_NEVER or second.name.startswith("vector"):
        return False
    if any(first.name in unit and second.name in unit for unit in (_MEMORY, _MULTIPLIES)):
        return False
    if _shifts(first.one) and _shifts(second.one):
        return False
    return not written(first) & (read(second) | written(second))


def _shifts(one: Instruction) -> bool:
    words = (one.mnemonic, *one.operands.replace(",", " ").split())
    return any(word.startswith(_SHIFTS) for word in words)


def written(slot: Slot) -> frozenset[str]:
    """Registers that an instruction changes."""
    one = slot.one
    if slot.name in _WRITE_NOTHING or one.mnemonic.startswith(_COMPARES):
        targets: tuple[str, ...] = ()
    elif slot.name in ("multiple", "multiple-pc"):
        loads = one.mnemonic.startswith(("ldm", "pop"))
        targets = one.registers if loads else one.registers[:1]
    else:
        two = slot.name.startswith("multiply-long") or one.mnemonic.startswith("ldrd")
        targets = one.registers[: 2 if two else 1]
        targets = () if one.mnemonic.startswith("strd") else targets
    back = one.operands.endswith("!") or "]," in one.operands.replace(" ", "")
    return frozenset(targets) | (one.address_registers if back else frozenset())


def read(slot: Slot) -> frozenset[str]:
    """Registers that an instruction needs."""
    one = slot.one
    if slot.name in _WRITE_NOTHING or one.mnemonic.startswith((*_COMPARES, "strd", "stm", "push")):
        return frozenset(one.registers)
    only_target = len(one.operands.split(",")) > 2 or one.mnemonic.startswith(_ONLY_WRITES_FIRST)
    own = one.mnemonic.startswith(("movt", "bfi", "bfc", "vmla", "vfma", "vmlava", "vmladava"))
    rest = one.registers[1:] if only_target and not own else one.registers
    return frozenset(rest) | one.address_registers
