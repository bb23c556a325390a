"""What a model's code needs of a C library: memcpy and memset, and the compiler's own functions."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from emulated import marked
from small_models import residual_net
from test_codegen_blocks import SCHEDULES

from tflm_opt import arena, boards, codegen
from tflm_opt.runtime import firmware, machine

LIBC = {"memcpy", "memset"}


@pytest.mark.qemu
@pytest.mark.parametrize("form", ["rows", "streamed columns"])
@pytest.mark.parametrize("name", marked("qemu_m4", "qemu_rv32"))
def test_nothing_else_of_libc_is_called(form: str, name: str, tmp_path: Path) -> None:
    g, board = residual_net(12), boards.get(name)
    schedule = SCHEDULES[form](g)
    plan = arena.plan(g, schedule, scratch=codegen.scratch, access=codegen.access, seconds=0.05)
    sources = codegen.generate(g, plan, name="net")
    codegen.write(sources, tmp_path / "net")
    model = firmware.build_model(tmp_path / "net", board, tmp_path / "out")
    command = [machine.compiler("nm", board), *map(str, model.objects)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    words = [line.split() for line in done.stdout.splitlines()]
    defined = {w[-1] for w in words if len(w) == 3}
    needed = {w[-1] for w in words if len(w) == 2 and w[0] == "U"} - defined
    assert {symbol for symbol in needed if not symbol.startswith("__")} <= LIBC
    assert {"tflm_opt_move_bytes", "tflm_opt_lines_shift"} & defined  # it moves rows, or columns
