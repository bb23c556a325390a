"""The real models in stages made by hand: every stage boundary against TFLM, on host and Cortex-M.

Ten stages a model at least would be a search's choice; here the cuts are blind on purpose, so that
all ops meet all sides of a stage.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from row_nets import banded
from small_models import MODELS, model

from tflm_opt import arena, boards, codegen, graph, passes
from tflm_opt.export import platformio
from tflm_opt.export.package import Package
from tflm_opt.graph.edit import with_outputs
from tflm_opt.graph.ir import Graph
from tflm_opt.patch_split.schedule import Schedule, Stage, layer_by_layer
from tflm_opt.patch_split.walk import walks
from tflm_opt.runtime import firmware, host, qemu, tflm, vectors

# (ops a stage at most, band, input)
CUTS: tuple[tuple[int, int | Fraction, str], ...] = (
    (100, Fraction(1, 16), "streamed"),
    (100, 1, "resident"),
    (7, Fraction(1, 2), "streamed"),
    (3, 2, "resident"),
    (4, 1, "resident"),
)

LARGE = 400_000  # bytes of a model that takes long to compile


def optimized(name: str) -> Graph:
    return passes.run(graph.read(model(name)), passes.default_pipeline("int8"))


def blind(g: Graph, length: int, band: int | Fraction, given: str) -> Schedule:
    """Stages of `length` ops each, shorter where an op can't run on rows."""
    stages: list[Stage] = []
    at = 0
    while at < len(g.ops):
        stages.append(banded(g, g.ops[at : at + length], band))
        at += len(stages[-1].ops)
    readers = {op for op in g.ops if g.inputs[0] in op.inputs}
    streams = stages[0].band is not None and readers <= set(stages[0].ops) and len(g.inputs) == 1
    return Schedule(tuple(stages), given if streams else "resident")


def built(g: Graph, schedule: Schedule, folder: Path) -> Path:
    plan = arena.plan(g, schedule, scratch=codegen.scratch, access=codegen.access, seconds=0.5)
    assert arena.validate(plan.problem, plan.places) == ()
    codegen.write(codegen.generate(g, plan), folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_stage_boundaries_are_tflms(name: str, tmp_path: Path) -> None:
    g = optimized(name)
    samples = vectors.seeded(g.inputs, 2, seed=5)
    made = [tensor for op in g.ops for tensor in op.outputs]
    keys = [(i, j) for i, op in enumerate(g.ops) for j in range(len(op.outputs))]
    truth = tflm.run(graph.write(passes.Legalize()(with_outputs(g, made))), samples)
    cuts = CUTS if len(model(name)) < LARGE else CUTS[:2]
    for number, (length, band, given) in enumerate(cuts):
        schedule = blind(g, length, band, given)
        inside = {t for walk in walks(g, schedule).values() for t in walk.windows}
        engine = host.Engine(built(g, schedule, tmp_path / str(number)))
        for sample, row in zip(samples, truth, strict=True):
            traced = engine.trace(sample)
            shown = [key for key, tensor in zip(keys, made, strict=True) if tensor not in inside]
            assert sorted(traced) == shown
            for key, want in zip(keys, row, strict=True):
                if key in traced:
                    assert traced[key] == want.tobytes(), (length, band, given, key)
        for have, row in zip(engine.run(samples), truth, strict=True):
            assert isinstance(have, list)
            for tensor, array in zip(g.outputs, have, strict=True):
                np.testing.assert_array_equal(array, row[made.index(tensor)])


@pytest.mark.qemu
@pytest.mark.skipif(
    not (shutil.which("arm-none-eabi-gcc") and shutil.which("qemu-system-arm")),
    reason="needs the Arm compiler and qemu-system-arm",
)
def test_a_streamed_model_on_an_emulated_board(tmp_path: Path) -> None:
    """The same bits, within the bound of the stack, for at most 5% more instructions."""
    g = optimized("mlperf_tiny_vww")
    board = boards.get("qemu_m4")
    samples = vectors.seeded(g.inputs, 1, seed=6)
    runs = []
    for number, schedule in enumerate([layer_by_layer(g), blind(g, 12, 1, "streamed")]):
        folder = built(g, schedule, tmp_path / str(number))
        program = firmware.build(folder, board, tmp_path / f"{number}.build")
        run = qemu.run(program, board, samples)
        assert program.stack.size is not None
        assert run.stack <= program.stack.size + 200  # the harness's callback comes on top
        runs.append(run)
    whole, banded_run = runs
    np.testing.assert_array_equal(whole.outputs[0][0], banded_run.outputs[0][0])
    assert banded_run.instructions[0] <= 1.05 * whole.instructions[0]


def test_a_callback_can_stop_the_model(tmp_path: Path) -> None:
    """-1 comes back when the caller has no more rows; rows come from the top, each once."""
    g = optimized("mlperf_tiny_kws")
    engine = host.Engine(built(g, blind(g, 3, 1, "streamed"), tmp_path))
    header = (tmp_path / "include" / "model.h").read_text("utf-8")
    assert "model_invoke_rows(model_next_rows next_rows, void *user)" in header
    assert "int model_invoke(void);" not in header
    seen: list[int] = []

    def next_rows(_user: int | None, target: int, row: int, count: int) -> int:
        if row + count > 20:
            return 7
        seen.extend(range(row, row + count))
        ctypes.memset(target, 0, count * 10)
        return 0

    handle = engine._library.handle
    assert handle.invoke(host._ROWS_TYPE(next_rows), None) == -1
    assert seen == list(range(20))
    assert handle.input(0) is None
    (sample,) = vectors.seeded(g.inputs, 1)
    assert engine.run([sample])[0][0].shape == g.outputs[0].shape


@pytest.mark.parametrize("given", ["streamed", "resident"])
def test_a_project_checks_its_vectors(given: str, tmp_path: Path) -> None:
    """What `save` writes for PlatformIO hands rows over from flash where the input is streamed."""
    g = optimized("mlperf_tiny_kws")
    folder = built(g, blind(g, 3, 1, given), tmp_path / "model")
    samples = vectors.seeded(g.inputs, 2)
    outputs = host.Engine(folder).run(samples)
    project, program = tmp_path / "project", tmp_path / "program"
    vectors_ = tuple(zip(samples, outputs, strict=True))
    project.mkdir()
    platformio.fill(Package(folder, firmware.read_interface(folder), vectors_), project)
    library = project / "lib" / "model"
    sources = [*(project / "src").glob("*.c"), *(library / "src").glob("*.c")]
    flags = ["-std=c99", "-Wall", "-Wextra", "-Werror", f"-I{library / 'src'}"]
    command = [host.compiler(), *flags, *map(str, sources), "-lm", "-o", str(program)]
    subprocess.run(command, check=True)
    done = subprocess.run([str(program)], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "PASS: 2 of 2 vectors" in done.stdout
