"""Random nets under random schedules: the generated C against TFLM on the original.

Whatever a stage gives out is compared, not only the nets' outputs. Every net runs twice over two
samples, so a row left over from the call before is not the right one.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from row_nets import STEPS, STRETCHING, random_schedule, row_net, with_columns

from tflm_opt import arena, codegen, graph
from tflm_opt.graph import edit
from tflm_opt.graph.ir import Graph
from tflm_opt.passes.legalize import Legalize
from tflm_opt.patch_split.schedule import Schedule
from tflm_opt.patch_split.walk import walks
from tflm_opt.runtime import host, tflm

NETS = 20
SCHEDULES = 3


def drawn(chunk: int) -> list[Graph]:
    """The nets of chunk 3 stretch their images over and over."""
    of = STRETCHING if chunk == 3 else STEPS
    return [row_net(np.random.default_rng([chunk, seed]), of=of) for seed in range(NETS)]


def samples(g: Graph, seed: int) -> list[list[np.ndarray]]:
    rng = np.random.default_rng(seed)
    pair = [[rng.integers(-128, 128, t.shape).astype(np.int8) for t in g.inputs] for _ in range(2)]
    return pair * 2


@pytest.mark.parametrize("chunk", range(4))
def test_stages_give_tflms_bits(chunk: int, tmp_path: Path) -> None:
    nets = drawn(chunk)
    data = [samples(g, seed) for seed, g in enumerate(nets)]
    shown = [graph.write(Legalize()(edit.with_outputs(g, edit.inner_tensors(g)))) for g in nets]
    truth = tflm.run_many(list(zip(shown, data, strict=True)))
    for number, (g, rows, layers) in enumerate(zip(nets, data, truth, strict=True)):
        rng = np.random.default_rng([chunk, number, 1])
        for turn in range(SCHEDULES):
            schedule = random_schedule(g, rng)
            if turn == SCHEDULES - 1:
                schedule = with_columns(g, schedule, rng)
            plan = arena.plan(
                g, schedule, scratch=codegen.scratch, access=codegen.access, seconds=0.05
            )
            assert arena.validate(plan.problem, plan.places) == ()
            folder = tmp_path / f"{number}_{turn}"
            codegen.write(codegen.generate(g, plan), folder)
            engine = host.Engine(folder)
            check(g, schedule, engine, rows, layers, f"net {number} of chunk {chunk}, {turn}")


def check(
    g: Graph,
    schedule: Schedule,
    engine: host.Engine,
    rows: list[list[np.ndarray]],
    layers: list[list[np.ndarray]],
    name: str,
) -> None:
    hidden = {t for walk in walks(g, schedule).values() for t in walk.windows}
    places = [(i, j) for i, op in enumerate(g.ops) for j in range(len(op.outputs))]
    index = {tensor: i for i, tensor in enumerate(edit.inner_tensors(g))}
    for sample, want in zip(rows, layers, strict=True):
        have = engine.trace(sample)
        for (i, j), expected in zip(places, want, strict=True):
            if g.ops[i].outputs[j] not in hidden:
                assert have[i, j] == expected.tobytes(), (name, i, g.ops[i], schedule)
            else:
                assert (i, j) not in have
    for have_out, want in zip(engine.run(rows), layers, strict=True):
        assert isinstance(have_out, list)
        for tensor, array in zip(g.outputs, have_out, strict=True):
            assert array.tobytes() == want[index[tensor]].tobytes(), (name, tensor)


def test_schedules_are_not_trivial() -> None:
    """There are stages of many ops, bands of all kinds, streamed inputs, windows of both kinds."""
    stages, streamed, kinds, kept = [], 0, set(), set()
    for chunk in range(4):
        for number, g in enumerate(drawn(chunk)):
            schedule = random_schedule(g, np.random.default_rng([chunk, number, 1]))
            found = walks(g, schedule)
            streamed += schedule.input == "streamed"
            stages += list(found)
            kinds |= {op.kind for stage in found for op in stage.ops}
            kept |= {window.kept for walk in found.values() for window in walk.windows.values()}
    assert len(stages) > 120
    assert sum(len(stage.ops) > 4 for stage in stages) > 30
    assert len({stage.band for stage in stages}) > 7
    assert streamed > 12
    assert kept == {True, False}
    assert len(kinds) >= 15
    assert kinds >= {"RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "TRANSPOSE_CONV"}
