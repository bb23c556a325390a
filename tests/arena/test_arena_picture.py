"""The picture of a plan: a reviewed file, and that it is SVG whatever the names hold."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable

import pytest
from small_models import residual_net

from tflm_opt import arena
from tflm_opt.arena import Plan, picture
from tflm_opt.graph.ir import Graph, Op, Tensor
from tflm_opt.patch_split.schedule import Schedule, Stage, layer_by_layer


def small_plan(name: str = 'a<b>&"c"') -> Plan:
    x, t = Tensor("x", (1, 8, 8, 4), "int8"), Tensor(name, (1, 8, 8, 4), "int8")
    y, z = Tensor("y", (1, 8, 8, 4), "int8"), Tensor("z", (1, 4), "int8")
    pool = Op("CUSTOM", (y,), (z,))
    graph = Graph((Op("RELU", (x,), (t,)), Op("ADD", (x, t), (y,)), pool), (x,), (z,))
    return arena.plan(
        graph,
        layer_by_layer(graph),
        access=lambda op: 1,
        scratch=lambda op: 48 * (op is pool),
    )


def test_golden(golden: Callable[[str, str], None]) -> None:
    golden("plan.svg", picture.svg(small_plan()))


def test_one_rectangle_a_buffer_with_its_facts() -> None:
    plan = small_plan()
    root = ElementTree.fromstring(picture.svg(plan))
    space = "{http://www.w3.org/2000/svg}"
    boxes = [r for r in root.iter(f"{space}rect") if "b" in r.get("class", "").split()]
    tips = {r.findtext(f"{space}title") for r in boxes}
    assert tips == {
        f"{b.name}\n{b.size:,} bytes at {o:,}\n"
        + (f"step {b.start}" if b.stop == b.start + 1 else f"steps {b.start} to {b.stop - 1}")
        for b, o in zip(plan.problem.buffers, plan.places, strict=True)
    }
    kinds = {r.findtext(f"{space}title", "").split("\n")[0]: r.get("class") for r in boxes}
    assert kinds["x"] == kinds["z"] == "b port"
    assert kinds["y"] == "b inner"
    assert kinds["scratch of CUSTOM z"] == "b scratch"


def test_stages_are_marked_over_their_steps() -> None:
    """A bar, a shade and a number over the ops of each streamed stage, and over nothing else."""
    g = residual_net()
    banded = (Stage(g.ops[:2], 1), Stage(g.ops[2:3]), Stage(g.ops[3:5], 2))
    rest = (Stage((op,)) for op in g.ops[5:])
    plan = arena.plan(g, Schedule((*banded, *rest)), moves=False)
    root = ElementTree.fromstring(picture.svg(plan))
    space = "{http://www.w3.org/2000/svg}"
    rects = list(root.iter(f"{space}rect"))
    shades = [r for r in rects if r.get("class") == "shade"]
    # The legend's has no tooltip.
    bars = [r for r in rects if r.get("class") == "stage" and r.findtext(f"{space}title")]
    assert [b.findtext(f"{space}title") for b in bars] == [
        "stage 0: 2 ops, row by row (band 1)",
        "stage 2: 2 ops, row by row (band 2)",
    ]
    lefts = [float(r.get("x", 0)) for r in rects if r.get("fill-opacity") == "0"]  # by step
    for bar, shade, first in zip(bars, shades, (1, 4), strict=True):
        left, width = float(shade.get("x", 0)), float(shade.get("width", 0))
        assert left == lefts[first]
        assert left + width == pytest.approx(lefts[first + 2], abs=0.2)
        assert float(bar.get("x", 0)) == pytest.approx(lefts[first] + 1, abs=0.1)
    texts = [t.text for t in root.iter(f"{space}text")]
    assert texts.count("stage 0") == texts.count("stage 2") == 1
    assert "stage 1" not in texts


@pytest.mark.parametrize("name", ["\x00\x1b[31m", "\ud800", "\ufffe", "]]><script>", "日本", ""])
def test_hostile_names(name: str) -> None:
    text = picture.svg(small_plan(name))
    ElementTree.fromstring(text.encode("utf-8"))
    assert "<script" not in text


def test_empty_and_large_plans() -> None:
    nothing = arena.plan(Graph((), (), ()), layer_by_layer(Graph((), (), ())))
    ElementTree.fromstring(picture.svg(nothing))
    tensors = [Tensor(f"t{i}", (1, 1 + i * 7919 % 5000), "int8") for i in range(120)]
    ops = tuple(Op("CUSTOM", (a,), (b,)) for a, b in itertools.pairwise(tensors))
    graph = Graph(ops, tensors[:1], tensors[-1:])  # type: ignore[arg-type]
    ElementTree.fromstring(picture.svg(arena.plan(graph, layer_by_layer(graph))))
