"""Nets with int4 filters under random schedules, band by band and whole: TFLM's bits.

As the fuzz has it: every net runs twice over two samples, with and without scratch beyond what its
kernels need, and whatever a stage gives out is compared.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from fuzz import battery, on_board
from fuzz.cases import Case
from row_nets import convolution, elementwise, random_schedule, residual, row_net
from small_models import Net

from tflm_opt import arena, boards, codegen, nas
from tflm_opt.codegen import rooms
from tflm_opt.furnish import Furnishing
from tflm_opt.graph import Graph
from tflm_opt.patch_split.regions import NotStreamable, column_reaches
from tflm_opt.patch_split.schedule import layer_by_layer
from tflm_opt.patch_split.walk import walks
from tflm_opt.quant import int4

NETS = 8
STEPS = (convolution, convolution, residual, elementwise)


def narrowed(g: Graph, rng: np.random.Generator) -> Graph:
    """Most filters in int4."""
    return int4.rewrite(g, [t for t in int4.candidates(g) if rng.random() < 0.8])


def drawn(seed: int) -> list[Case]:
    cases = []
    for number in range(NETS):
        rng = np.random.default_rng([seed, number])
        g = narrowed(row_net(rng, 5, STEPS, wide=number % 4 == 3), rng)
        cases.append(Case(seed, number, g, random_schedule(g, rng)))
    return cases


def test_stages_give_tflms_bits(tmp_path: Path) -> None:
    cases = drawn(0)
    wrong = battery.failures(cases, tmp_path)
    assert not [f for f in wrong if not f.refused], wrong[0].what
    banded = {op for case in cases for s in walks(case.graph, case.schedule) for op in s.ops}
    assert sum(rooms.needed(op) > 0 for op in banded) >= 2 * NETS


@pytest.mark.qemu
@pytest.mark.skipif(
    not (shutil.which("arm-none-eabi-gcc") and shutil.which("qemu-system-arm")),
    reason="needs the Arm compiler and qemu-system-arm",
)
def test_stages_on_a_cortex_m4(tmp_path: Path) -> None:
    wrong = list(on_board.failures(drawn(1)[:4], boards.get("qemu_m4"), tmp_path))
    assert not [f for f in wrong if not f.refused], wrong[0].what


def net() -> Graph:
    made = Net((1, 24, 24, 8))
    x = made.conv(made.conv(made.input, 24, 1), 24, 3, 2)
    x = made.conv(made.depthwise(x), 32, 1)
    g = made.graph(made.conv(x, 16, 1))
    return int4.rewrite(g, int4.candidates(g))


def test_plans_have_room_for_weights() -> None:
    g = net()
    plan = arena.plan(g, layer_by_layer(g), scratch=codegen.scratch, access=codegen.access)
    for op in g.ops:
        assert plan.scratch[op][1] >= rooms.needed(op) > 0
    assert arena.validate(plan.problem, plan.places) == ()


def test_searches_end_in_code_that_runs(tmp_path: Path) -> None:
    g = net()
    found = Furnishing(g, "dsp", slowdown=2.0).found()
    assert any(stage.band is not None for stage in found.chosen.schedule.stages)
    case = Case(2, 0, g, found.chosen.schedule)
    assert battery.failures([case], tmp_path) == []


def test_no_columns() -> None:
    for op in net().ops:
        with pytest.raises(NotStreamable, match="unpacked for every pixel"):
            column_reaches(op)


def test_costs_count_half_the_weights() -> None:
    g = net()
    made = Net((1, 24, 24, 8))
    x = made.conv(made.conv(made.input, 24, 1), 24, 3, 2)
    x = made.conv(made.depthwise(x), 32, 1)
    wide = made.graph(made.conv(x, 16, 1))
    saved = nas.exact_cost(wide).weights - nas.exact_cost(g).weights
    assert saved == sum(t.nbytes - -(-t.elements // 8) * 4 for t in int4.candidates(wide))
