"""Random nets under random schedules: the engine, and files for stock TFLM, against TFLM.

TFLM_OPT_FUZZ_CASES cases of the seed TFLM_OPT_FUZZ_SEED; `make fuzz` runs thousands of another one.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from emulated import marked
from fuzz import battery, on_board, run
from fuzz import cases as fuzz_cases
from fuzz.cases import Case

from tflm_opt import boards, codegen
from tflm_opt.arena.plan import Plan
from tflm_opt.kernels import table
from tflm_opt.patch_split.schedule import Schedule, Stage
from tflm_opt.patch_split.walk import walks

CASES = int(os.environ.get("TFLM_OPT_FUZZ_CASES", "240"))
SEED = int(os.environ.get("TFLM_OPT_FUZZ_SEED", "0"))
CHUNKS = 4
BOARD_CASES = 10
drawn = cache(fuzz_cases.drawn)  # some take a search, and tests share them


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_every_stage_gives_tflms_bits(chunk: int, tmp_path: Path) -> None:
    cases = [drawn(SEED, number) for number in range(chunk, CASES, CHUNKS)]
    found = battery.failures(cases, tmp_path)
    wrong = [f for f in found if not f.refused]
    assert not wrong, "\n".join(f"{run.again(SEED, f.number)}\n{f.what}" for f in wrong)
    assert len(found) <= 0.02 * len(cases) + 1


def test_a_case_is_drawn_again_by_its_number() -> None:
    first, other, again = (fuzz_cases.drawn(3, number) for number in (8, 9, 8))
    assert run.text(first) == run.text(again) != run.text(other)
    for a, b in zip(first.samples, again.samples, strict=True):
        assert a[0].tobytes() == b[0].tobytes()


def test_cases_are_not_trivial() -> None:
    """Stages of many ops, bands of all kinds, streamed inputs, windows of both kinds, and so on."""
    stages: list[Stage] = []
    kinds, kept, kernels, strides, widths = set(), set(), set(), set(), set()
    streamed = sums = 0
    for case in (drawn(0, number) for number in range(160)):
        found = walks(case.graph, case.schedule)
        streamed += case.schedule.input == "streamed"
        sums += any(walk.summed is not None for walk in found.values())
        stages += list(found)
        ops = [op for stage in found for op in stage.ops]
        kinds |= {op.kind for op in ops}
        for op in ops:
            if op.kind == "CONV_2D" and op.inputs[1] is not None:
                kernels.add(op.inputs[1].shape[1:3])
                strides.add(op.options.stride)  # type: ignore[union-attr]
        widths |= {t.shape[2] for t in case.graph.inputs}
        kept |= {window.kept for walk in found.values() for window in walk.windows.values()}
    assert len(stages) > 120
    assert sum(len(stage.ops) > 4 for stage in stages) > 30
    assert len({stage.band for stage in stages}) > 7
    assert streamed > 12
    assert sums > 6
    assert kept == {True, False}
    assert len(kinds) >= 16
    assert {k for pair in kernels for k in pair} == {1, 2, 3, 4, 5, 7}
    assert {s for pair in strides for s in pair} == {1, 2, 3}
    assert min(widths) < 4
    assert max(widths) > 18


def test_stock_cases_have_stages_of_many_ops() -> None:
    cases = [drawn(0, number) for number in range(3, 160, 4)]
    bodies = [body for case in cases for body in case.bodies]
    assert all(case.bodies for case in cases)
    assert sum(len(body.ops) > 1 for body in bodies) > 25
    assert sum(body.bands > 2 for body in bodies) > 30
    assert sum(body.extra_macs > 0 for body in bodies) > 10
    assert sum(bool(body.kept) for body in bodies) > 15
    assert sum(body.upwards for body in bodies) > 10
    assert sum(body.copied for body in bodies) > 5


@pytest.mark.parametrize("number", range(4))
def test_a_plan_that_overwrites_live_memory_is_caught(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The battery itself: a result laid over what its own step still reads is seen."""
    case, spoilt = _spoilt(number)
    assert battery.failures([case], tmp_path / "right") == []
    monkeypatch.setattr(battery.arena, "plan", lambda *_, **__: spoilt)
    monkeypatch.setattr(battery.arena, "validate", lambda *_: ())
    (failure,) = battery.failures([case], tmp_path / "wrong")
    assert "differs" in failure.what
    assert failure.number == case.number


def _spoilt(number: int) -> tuple[Case, Plan]:
    """A case, and its plan with an output moved onto another tensor that is alive then."""
    case = [c for c in (drawn(5, n) for n in range(60)) if len(c.graph.outputs) > 1][number]
    plain = Schedule(tuple(Stage((op,)) for op in case.graph.ops))
    case = dataclasses.replace(case, schedule=plain, bodies=())
    plan = battery.planned(case)
    first, second = case.graph.outputs[:2]
    at = min(plan.offsets[second], plan.peak - first.nbytes)
    return case, dataclasses.replace(plan, offsets={**plan.offsets, first: at})


def test_batches_cover_all_numbers() -> None:
    numbers = [n for batch in run.batches(103, 40) for n in batch]
    assert numbers == list(range(103))


def test_the_command_runs_one_case(capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(["--seed", "0", "--case", "2"]) == 0
    told = capsys.readouterr().out
    assert "equal to TFLM" in told
    assert "in  t1 int8" in told
    assert np.all([line.isascii() for line in told.splitlines()])


@pytest.mark.qemu
@pytest.mark.skipif(
    not (shutil.which("arm-none-eabi-gcc") and shutil.which("qemu-system-arm")),
    reason="needs the Arm compiler and qemu-system-arm",
)
@pytest.mark.parametrize("board", marked("qemu_m3", "qemu_m4", "qemu_m55", "qemu_rv32"))
def test_streams_on_boards_give_tflms_bits(board: str, tmp_path: Path) -> None:
    cases = [drawn(SEED, number) for number in range(BOARD_CASES)]
    found = list(on_board.failures(cases, boards.get(board), tmp_path))
    wrong = [f for f in found if not f.refused]
    assert not wrong, "\n".join(f"{run.again(SEED, f.number, board)}\n{f.what}" for f in wrong)


def test_streams_call_every_kernel_of_rows() -> None:
    """Those that exist for some cores only, too."""
    called: set[str] = set()
    for number in range(2 * BOARD_CASES):
        case = drawn(SEED, number)
        if not case.bodies:
            called |= set(codegen.generate(case.graph, battery.planned(case)).kernels)
    rows = {kernel.lines for kernel in table.kernels().values() if kernel.lines}
    assert rows <= called
