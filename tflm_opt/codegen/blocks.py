"""Which lines of a generated `invoke` belong to which op: what `generate` wrote, read back.

A profile of the compiled code knows addresses, the compiler's line table knows the line of each,
and this module knows what the line is for:

    for piece in pieces(text, "digits_invoke"):
        piece.first, piece.end, piece.owner       # 120, 141, Owner("op", 4, stage=2)

Codegen marks what it writes with comments, one above each op and each stage (`emit.op_comment`,
`stage`, `columns`); what follows in the same or deeper indentation is that op's. The marks are part
of the output anyway, so that a folder needs no other record and can't disagree with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

_OP = re.compile(r"/\* (\d+) (\S+): .*\*/$")
_STAGE = re.compile(r"/\* stage (\d+): ")
_INPUT = "/* rows of the input */"
_MOVE = re.compile(r" {4}tflm_opt_move_bytes\(arena \+ \d+, arena \+ \d+, \d+\);$")
_SHIFT = "const tflm_opt_lines moved = "
_LAST = ("    return 0;", "}")
_DEPTH = 4  # columns of indentation of what is directly in `invoke`


@dataclass(frozen=True, slots=True, order=True)
class Owner:
    """Whom code belongs to.

    Attributes:
        what: "op"; "input" (taking rows from the caller), "stage" (its loops, and rows it keeps),
            "move" (of tensors in the arena, between ops) or "rest" (of `invoke`).
        index: of the op in the graph, or of the stage in the schedule; 0 for all others.
        stage: number of the stage in the schedule, None where it has no band.
        kind: of the op, "CONV_2D".
    """

    what: str
    index: int = 0
    stage: int | None = field(default=None, compare=False)
    kind: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Piece:
    """Lines `first` to `end`, half-open, counted from 1 as compilers do."""

    first: int
    end: int
    owner: Owner


REST = Owner("rest")


def pieces(text: str, function: str) -> tuple[Piece, ...]:
    """The lines of a generated function by owner, in order and without gaps.

    Args:
        text: of the generated C file.
        function: its name, "digits_invoke" or "digits_invoke_rows".

    Raises:
        ValueError: there is no such function in it.
    """
    lines = text.splitlines()
    start = _start(lines, function)
    end = next(i for i in range(start, len(lines)) if lines[i] == "}")
    owners = list(_owners(lines[start : end + 1]))
    found: list[Piece] = []
    for number, owner in enumerate(owners, start + 1):
        if found and found[-1].owner == owner and found[-1].owner.stage == owner.stage:
            found[-1] = Piece(found[-1].first, number + 1, owner)
        else:
            found.append(Piece(number, number + 1, owner))
    return tuple(found)


def _start(lines: Sequence[str], function: str) -> int:
    head = re.compile(rf"int {re.escape(function)}\(")
    for number, line in enumerate(lines):
        if head.match(line):
            return number
    raise ValueError(f"no function {function} in the generated code; optimize again")


def _owners(lines: Sequence[str]) -> Iterator[Owner]:
    """The owner of each line."""
    stage: Owner | None = None
    owner, depth = REST, 0  # and the indentation below which it ends
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        code = line.strip()
        indent = len(line) - len(line.lstrip())
        opened = _opened(line, code, following, stage)
        if opened is not None:
            owner, depth = opened, indent
            stage = opened if opened.what == "stage" and indent == _DEPTH else stage
        elif code and indent < depth:
            owner, depth = stage or REST, 0
        yield owner
        if stage is not None and line == " " * _DEPTH + "}":
            stage, owner, depth = None, REST, 0
        elif owner.what == "move":
            owner, depth = REST, 0
        elif owner.what == "input" and line == " " * depth + "}":
            owner, depth = stage or REST, 0


def _opened(line: str, code: str, following: str, stage: Owner | None) -> Owner | None:
    """Whose code begins with a line, if somebody's does."""
    number = None if stage is None else stage.stage
    if match := _STAGE.match(code):
        return Owner("stage", int(match[1]), int(match[1]))
    if match := _OP.match(code):
        return Owner("op", int(match[1]), number, match[2])
    if code == _INPUT:
        return Owner("input", 0, number)
    if line in _LAST:
        return REST
    if stage is None:
        return Owner("move") if _MOVE.match(line) else None
    return stage if following.strip().startswith(_SHIFT) and code.startswith("if (") else None
