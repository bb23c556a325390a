"""The worst-case stack of a function, from the compiler's own figures and the linked code.

GCC writes the frame of each function it compiles (`-fstack-usage`); who calls whom is read from
the disassembly of the linked file, which has the tail calls, the calls the compiler made up
(`memcpy`, 64-bit division) and nothing that was inlined away or dropped. Functions that came
compiled (the C library's) and those of nothing but assembly get a frame from their own pushes: an
upper bound. The deepest path through that graph is the answer; recursion, calls through pointers
and frames that grow at run time have no bound and are named instead.

The idea is that of Bosch's StackAnalyzer and of GNAT's `gnatstack`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

_FUNCTION = re.compile(r"^[0-9a-f]+ <([^>]+)>:$")
_INSTRUCTION = re.compile(r"^\s*[0-9a-f]+:\t([a-z][\w.]*)\s*(.*)$")
_TARGET = re.compile(r"<([^+>]+)>")
_REGISTER = re.compile(r"^(r\d+|ip|fp|sl|lr)\b")
_SUFFIX = re.compile(r"\.(constprop|part|isra|cold|lto_priv)\b.*$")


@dataclass(frozen=True, slots=True)
class StackBound:
    """The most stack that a call can take.

    Attributes:
        size: bytes, or None where there is no bound.
        path: the deepest chain of calls, each as `name (bytes of its own frame)`.
        reason: why there is no bound, else empty.
    """

    size: int | None
    path: tuple[str, ...] = ()
    reason: str = ""


@dataclass(slots=True)
class _Function:
    """What the disassembly says of a function: its callees, and a frame that it can't exceed."""

    frame: int = 0
    grows: bool = False
    indirect: bool = False
    calls: set[str] = field(default_factory=set)


class _NoBound(Exception):
    """Carries the reason why there is no bound."""


def worst_case(
    entry: str, disassembly: str, stack_usage: Iterable[str], *, callback: bool = False
) -> StackBound:
    """The bound for `entry`, from `objdump -d` of the linked file and the texts of `.su` files.

    >>> worst_case("digits_invoke", objdump_text, [su_text]).size
    328

    With `callback`, calls through a pointer that `entry` itself makes are its caller's functions:
    their stack is the caller's, and not counted.
    """
    functions = parse_disassembly(disassembly)
    frames = parse_stack_usage(stack_usage)
    if entry not in functions:
        return StackBound(None, reason=f"{entry} is not in the program")
    if callback:
        functions[entry].indirect = False
    try:
        size, path = _deepest(entry, functions, frames, (), {})
    except _NoBound as reason:
        return StackBound(None, reason=str(reason))
    return StackBound(size, path)


def parse_stack_usage(texts: Iterable[str]) -> dict[str, int | None]:
    """Frame of each compiled function in bytes; None where it grows at run time.

    Static functions of one name in several files get the largest.
    """
    frames: dict[str, int | None] = {}
    for text in texts:
        for line in text.splitlines():
            place, size, kind = line.split("\t")
            name = place.rsplit(":", 1)[-1]
            known = frames.get(name, 0)
            bounded = kind in ("static", "dynamic,bounded") and known is not None
            frames[name] = max(known or 0, int(size)) if bounded else None
    return frames


def parse_disassembly(text: str) -> dict[str, _Function]:
    """Functions of `objdump -d`: calls, and the sum of all that they push."""
    functions: dict[str, _Function] = {}
    name, function = "", _Function()
    for line in text.splitlines():
        header = _FUNCTION.match(line)
        if header:
            name, function = header[1], _Function()
            functions[name] = function
            continue
        instruction = _INSTRUCTION.match(line)
        if instruction:
            _read_instruction(name, function, instruction[1], instruction[2])
    return functions


def _read_instruction(name: str, function: _Function, opcode: str, operands: str) -> None:
    stem = opcode.split(".")[0]
    if stem in ("j", "jal", "jalr", "jr"):
        _read_jump(name, function, stem, operands)
    elif stem in ("blx", "bx") and _REGISTER.match(operands):
        # `bx lr` returns; `bx r3` is how Thumb-1 returns after a pop, or a tail call.
        function.indirect |= stem == "blx"
    elif stem.startswith(("b", "cb")):
        target = _TARGET.search(operands)
        if target and target[1] != name:
            function.calls.add(target[1])
    else:
        _read_stack(function, stem, operands)


def _read_jump(name: str, function: _Function, stem: str, operands: str) -> None:
    """RISC-V's jumps: `jal 80 <f>`, `jalr 16(ra) # 80 <f>`, and through a register.

    `jr a5` is a call in a function's last place, or leads into a table of a `switch`: nothing but
    the compiler's `-fno-jump-tables` would tell, so it counts as the call that it may be.
    """
    target = _TARGET.search(operands)
    if target and target[1] != name:
        function.calls.add(target[1])
    elif not target and stem in ("jalr", "jr") and operands != "ra":
        function.indirect = True


def _read_stack(function: _Function, stem: str, operands: str) -> None:
    saves = stem in ("stmdb", "vstmdb") and operands.startswith("sp!")
    if saves or stem in ("push", "vpush"):
        function.frame += _list_bytes(operands)
    elif stem in ("str", "strd") and (match := re.search(r"\[sp, #-(\d+)\]!", operands)):
        function.frame += int(match[1])
    elif stem in ("sub", "subw") and operands.startswith("sp,"):
        match = re.search(r"#(\d+)", operands)
        if match:
            function.frame += int(match[1])
        else:
            function.grows = True
    elif stem == "addi" and (match := re.match(r"sp,sp,-(\d+)", operands)):  # RISC-V's
        function.frame += int(match[1])
    elif stem == "add" and operands.startswith(("sp, r", "sp,sp,")):
        function.grows = True  # Thumb-1 and RISC-V take large frames so


def _list_bytes(operands: str) -> int:
    """Bytes of a register list, `{r4, r5, lr}` or `{d8-d9}`."""
    total = 0
    for item in operands[operands.index("{") + 1 : operands.index("}")].split(","):
        first, _, last = item.strip().partition("-")
        count = int(last[1:]) - int(first[1:]) + 1 if last else 1
        total += count * (8 if first.startswith("d") else 4)
    return total


def _frame(name: str, function: _Function, frames: Mapping[str, int | None]) -> int:
    # In `.su` files a clone has its suffix without the number, or none.
    keys = (name, name.rpartition(".")[0], _SUFFIX.sub("", name))
    key = next((key for key in keys if key in frames), name)
    size = frames.get(key, None if function.grows else function.frame)
    if size == 0:  # the compiler says so of functions that are all assembly, too
        size = None if function.grows else function.frame
    if size is None:
        raise _NoBound(f"the frame of {name} grows at run time")
    return size


def _deepest(
    name: str,
    functions: Mapping[str, _Function],
    frames: Mapping[str, int | None],
    above: tuple[str, ...],
    known: dict[str, tuple[int, tuple[str, ...]]],
) -> tuple[int, tuple[str, ...]]:
    if name in above:
        raise _NoBound("recursion: " + " -> ".join((*above[above.index(name) :], name)))
    if name in known:
        return known[name]
    function = functions.get(name, _Function())
    if function.indirect:
        raise _NoBound(f"{name} calls through a pointer")
    own = _frame(name, function, frames)
    below: tuple[int, tuple[str, ...]] = (0, ())
    for callee in sorted(function.calls):
        below = max(below, _deepest(callee, functions, frames, (*above, name), known))
    known[name] = (own + below[0], (f"{name} ({own})", *below[1]))
    return known[name]
