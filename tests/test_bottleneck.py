"""The stage that binds, and what it would need at another resolution."""

from __future__ import annotations

from fractions import Fraction

import pytest
from small_models import Net, residual_net

from tflm_opt import arena, codegen
from tflm_opt.bottleneck import at_scale, bottleneck, fitting_scale, pace
from tflm_opt.graph import Graph
from tflm_opt.patch_split.schedule import Columns, Schedule, Stage, layer_by_layer
from tflm_opt.patch_split.search import search


def planned(g: Graph, schedule: Schedule) -> arena.Plan:
    return arena.plan(g, schedule, scratch=codegen.scratch, access=codegen.access)


def chain(size: int) -> Graph:
    """8 wide, 16 wide, then strides: the second op makes the peak."""
    net = Net((1, size, size, 3))
    x = net.conv(net.conv(net.input, 8), 16)
    return net.graph(net.conv(net.conv(x, 8, stride=2), 8, stride=2))


def test_layer_by_layer_the_op_of_the_largest_tensors_binds() -> None:
    g = chain(16)
    found = bottleneck(g, planned(g, layer_by_layer(g)))
    # Op 2 reads 16x16x16 bytes and writes 8x8x8 over them at best; op 1 makes them of 16x16x8.
    assert found.op is g.ops[1]
    assert (found.number, found.ops, found.stages) == (1, (1, 1), 4)
    assert str(found) == "stage 2 of 4 (op 1:CONV_2D, run whole)"
    assert found.buffers[0] == (4096, g.ops[1].output.name)
    assert found.largest[0] == f"4,096 bytes of {g.ops[1].output.name}"


def test_a_stage_of_several_ops_is_named_by_its_ends() -> None:
    g = chain(16)
    plan = planned(g, Schedule((Stage(g.ops[:3], Fraction(1, 2)), Stage(g.ops[3:]))))
    found = bottleneck(g, plan)
    assert found.stage is plan.schedule.stages[0]
    assert str(found) == "stage 1 of 2 (ops 0:CONV_2D to 2:CONV_2D, 1/2 row a step)"
    assert found.op in g.ops[:3]


def test_a_graph_without_ops_binds_by_its_inputs() -> None:
    plan = planned(Graph((), (), ()), layer_by_layer(Graph((), (), ())))
    assert str(bottleneck(Graph((), (), ()), plan)) == "the inputs or outputs themselves"


@pytest.mark.parametrize(
    ("band", "columns", "words"),
    [
        (None, None, "run whole"),
        (1, None, "1 row a step"),
        (3, None, "3 rows a step"),
        (Fraction(1, 4), None, "1/4 row a step"),
        (Fraction(3, 2), None, "3/2 rows a step"),
        (1, Columns(1), "1 row a step, 1 column at a time"),
        (2, Columns(4), "2 rows a step, 4 columns at a time"),
        (1, Columns(16, kept=False), "1 row a step, strips of 16 columns"),
    ],
)
def test_paces(band: int | Fraction | None, columns: Columns | None, words: str) -> None:
    assert pace(Stage(chain(16).ops[:1], band, columns)) == words


@pytest.mark.parametrize("size", [16, 24, 40])
def test_whole_images_shrink_with_their_area(size: int) -> None:
    g, small = chain(size), chain(size // 2)
    plan = planned(g, layer_by_layer(g))
    smaller = planned(small, layer_by_layer(small))
    assert at_scale(g, plan, 1.0) == pytest.approx(plan.peak)
    assert at_scale(g, plan, 0.5) == pytest.approx(smaller.peak, rel=0.1)


@pytest.mark.parametrize("make", [chain, residual_net])
@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize("input", ["resident", "streamed"])
@pytest.mark.parametrize("share", [0.5, 0.75])
def test_the_resolution_told_is_about_the_one_needed(
    make: type[object], size: int, input: str, share: float
) -> None:
    """The net is built and searched at the size that the estimate names: near what was asked."""
    g = make(size)
    assert isinstance(g, Graph)
    plan = searched(g, input)
    room = int(plan.peak * share)
    scale = fitting_scale(g, plan, room)
    assert scale is not None
    assert at_scale(g, plan, scale) <= room < at_scale(g, plan, scale + 0.01)
    smaller = make(int(size * scale))
    assert isinstance(smaller, Graph)
    peak = searched(smaller, input).peak
    assert 0.75 * room <= peak <= 1.15 * room


def searched(g: Graph, input: str) -> arena.Plan:
    return search(g, input=input, scratch=codegen.scratch, access=codegen.access).chosen.plan


def test_what_no_resolution_lessens() -> None:
    net = Net((1, 8, 8, 3))
    x = net.flatten(net.conv(net.input, 4, stride=2))
    g = net.graph(net.dense(net.dense(x, 4000), 10))
    plan = planned(g, layer_by_layer(g))
    assert plan.peak > 4000
    assert fitting_scale(g, plan, 2000) is None
    assert fitting_scale(g, plan, plan.peak) == 1.0
