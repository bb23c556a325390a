"""The emulated boards, those left out whose tools are not on this computer.

@pytest.mark.parametrize("board", EMULATED)      # every board; skipped where tools are missing
"""

from __future__ import annotations

import pytest

from tflm_opt import boards
from tflm_opt.boards import Board
from tflm_opt.errors import MissingTool
from tflm_opt.runtime import machine


def have_tools(board: Board) -> bool:
    """Whether a program for a board can be built and run here."""
    try:
        machine.compiler(board=board)
        machine.qemu_program(board)
    except MissingTool:
        return False
    return True


def needs_tools(board: Board) -> pytest.MarkDecorator:
    """Skips a test where a board's tools are missing."""
    reason = f"needs {board.toolchain.prefix}gcc with its C library, and {board.toolchain.emulator}"
    return pytest.mark.skipif(not have_tools(board), reason=reason)


def marked(*ids: str) -> list[object]:
    """Parameters of a test: ids of boards, skipped where their tools are missing."""
    return [pytest.param(name, marks=needs_tools(boards.get(name))) for name in ids]


def available() -> list[str]:
    """Ids of the emulated boards that programs can be built for and run on here."""
    return [board.id for board in boards.all() if board.qemu and have_tools(board)]


needs_riscv = needs_tools(boards.get("qemu_rv32"))
EMULATED = [
    pytest.param(board, id=board.id, marks=needs_tools(board))
    for board in boards.all()
    if board.qemu
]
