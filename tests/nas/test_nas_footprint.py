"""Flash and stack by estimate are those of compiled models."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from net_cases import NETS

from tflm_opt import arena, boards, codegen
from tflm_opt.arena import Plan
from tflm_opt.graph import Graph
from tflm_opt.kernels import table
from tflm_opt.nas import footprint as nas
from tflm_opt.nas import zoo
from tflm_opt.nas.lower import lower
from tflm_opt.nas.net import Net
from tflm_opt.patch_split.schedule import Columns, Schedule, Stage, layer_by_layer
from tflm_opt.runtime import firmware

CORES = sorted({board.core for board in boards.all()} - {"xtensa-lx7"})
BUILT = {"DS-CNN": zoo.mlperf_tiny_kws(), "every kind": NETS["every kind, odd sizes"]}


@cache
def planned(name: str) -> tuple[Graph, Plan]:
    graph = lower(BUILT[name])
    schedule = layer_by_layer(graph)
    return graph, arena.plan(graph, schedule, scratch=codegen.scratch, access=codegen.access)


@pytest.mark.parametrize("name", BUILT)
def test_constants_are_the_code_generator_s(name: str) -> None:
    graph, plan = planned(name)
    estimated = sum(
        nas._facts(op, "dsp", False).constants for stage in plan.schedule.stages for op in stage.ops
    )
    made = codegen.generate(graph, plan, name="model").weights
    # Generated code keeps equal arrays once, of shifts above all; and arrays are aligned.
    assert made <= estimated <= made + 4 * sum(op.output.shape[-1] for op in graph.ops)


@pytest.mark.qemu
@pytest.mark.parametrize("name", BUILT)
def test_it_is_what_the_compiler_makes(name: str, tmp_path: Path) -> None:
    graph, plan = planned(name)
    board = boards.get("qemu_m4")
    estimated = nas.footprint(graph, plan.schedule, board, plan.scratch)
    codegen.write(codegen.generate(graph, plan, name="model"), tmp_path / "model")
    built = firmware.build_model(tmp_path / "model", board, tmp_path / "build")
    assert estimated.flash == pytest.approx(built.sizes.flash, rel=0.02)
    assert estimated.weights == pytest.approx(built.sizes.weights, rel=0.02)
    assert built.stack.size is not None
    assert estimated.stack == pytest.approx(built.stack.size, abs=64)


@pytest.mark.parametrize("core", CORES)
def test_every_core_knows_the_kernels_of_nets(core: str) -> None:
    rows = nas.measured(core)["kernels"]
    graphs = [lower(net) for net in (*NETS.values(), zoo.mlperf_tiny_vww())]
    for graph in graphs:
        uses = nas.Uses.of(layer_by_layer(graph), table.pace_of(core))
        assert uses.functions <= set(rows)


def test_parts_of_two_kernels_count_once() -> None:
    core = nas.measured("cortex-m4")
    one = nas.kernel_bytes(core, ["arm_convolve_1x1_s8_fast"])[0]
    other = nas.kernel_bytes(core, ["arm_convolve_wrapper_s8"])[0]
    both = nas.kernel_bytes(core, ["arm_convolve_wrapper_s8", "arm_convolve_1x1_s8_fast"])[0]
    assert max(one, other) < both < one + other


def test_kernels_without_scratch_are_smaller() -> None:
    graph, plan = planned("DS-CNN")
    board = boards.get("qemu_m4")
    fast = nas.footprint(graph, plan.schedule, board)
    without = nas.footprint(graph, plan.schedule, board, ())
    assert without.code < fast.code
    assert without.weights == pytest.approx(fast.weights, rel=0.001)


def test_stages_take_code_and_stack() -> None:
    graph, plan = planned("DS-CNN")
    board, ops = boards.get("qemu_m4"), graph.ops
    rest = tuple(Stage((op,)) for op in ops[3:])
    whole = nas.footprint(graph, plan.schedule, board)
    rows = nas.footprint(graph, Schedule((Stage(ops[:3], 1), *rest)), board)
    columns = nas.footprint(graph, Schedule((Stage(ops[:3], 1, Columns(2)), *rest)), board)
    assert whole.stack < rows.stack
    assert whole.code < rows.code < columns.code


def test_a_core_that_was_not_measured_has_the_nearest_one_s() -> None:
    assert nas.measured("xtensa-lx7") is nas.measured("cortex-m3")
    assert nas.measured("cortex-m85") is nas.measured("cortex-m55")


def test_weights_count_byte_by_byte() -> None:
    small, large = (zoo.mlperf_tiny_ad(n) for n in (320, 640))

    def flash(net: Net) -> int:
        graph = lower(net)
        return nas.footprint(graph, layer_by_layer(graph), boards.get("qemu_m4")).flash

    # 320 more in, 320 more out: as many weights of 128 each, and 12 bytes for each output.
    assert flash(large) - flash(small) == 2 * 320 * 128 + 320 * 12
