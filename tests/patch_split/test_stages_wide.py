"""Random nets with int16 layers among int8 ones, under random schedules, against TFLM."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from row_nets import random_schedule, row_net, with_columns
from test_stages_random import check, samples

from tflm_opt import arena, codegen, graph
from tflm_opt.graph import edit
from tflm_opt.graph.ir import Graph
from tflm_opt.passes.legalize import Legalize
from tflm_opt.patch_split.walk import walks
from tflm_opt.quant.int16 import WIDENED, widen
from tflm_opt.runtime import host, tflm

NETS = 7
SCHEDULES = 2


def drawn(chunk: int) -> list[Graph]:
    """Nets all of whose ops that can are on int16, or about half of them."""
    nets = []
    for seed in range(NETS):
        rng = np.random.default_rng([77, chunk, seed])
        g = row_net(rng)
        names = [op.outputs[0].name for op in g.ops if op.kind in WIDENED]
        share = 1.0 if seed % 2 else 0.5
        chosen = [name for name in names if rng.random() < share]
        nets.append(widen(g, chosen))
    return nets


@pytest.mark.parametrize("chunk", range(1))
def test_stages_give_tflms_bits(chunk: int, tmp_path: Path) -> None:
    nets = drawn(chunk)
    data = [samples(g, seed) for seed, g in enumerate(nets)]
    shown = [graph.write(Legalize()(edit.with_outputs(g, edit.inner_tensors(g)))) for g in nets]
    truth = tflm.run_many(list(zip(shown, data, strict=True)))
    planned, folders = [], []
    for number, g in enumerate(nets):
        rng = np.random.default_rng([chunk, number, 5])
        for turn in range(SCHEDULES):
            schedule = random_schedule(g, rng)
            if turn:
                schedule = with_columns(g, schedule, rng)
            plan = arena.plan(
                g, schedule, scratch=codegen.scratch, access=codegen.access, seconds=0.05
            )
            assert arena.validate(plan.problem, plan.places) == ()
            folders.append(tmp_path / f"{number}_{turn}")
            codegen.write(codegen.generate(g, plan, name=f"net{number}_{turn}"), folders[-1])
            planned.append((number, schedule))
    engines = host.engines(folders)
    for (number, schedule), engine in zip(planned, engines, strict=True):
        name = f"net {number} of chunk {chunk}"
        check(nets[number], schedule, engine, data[number], truth[number], name)


def test_schedules_have_int16_in_bands() -> None:
    """Windows of int16 rows, streamed inputs among the nets, and both kinds of borders."""
    wide, crossings = 0, set()
    for chunk in range(1):
        for number, g in enumerate(drawn(chunk)):
            schedule = random_schedule(g, np.random.default_rng([chunk, number, 5]))
            found = walks(g, schedule)
            wide += sum(t.dtype == "int16" for walk in found.values() for t in walk.windows)
            for op in (op for stage in found for op in stage.ops if op.kind == "QUANTIZE"):
                crossings.add((op.inputs[0].dtype if op.inputs[0] else "", op.output.dtype))
    assert wide > 10
    assert crossings >= {("int8", "int16"), ("int16", "int8")}
