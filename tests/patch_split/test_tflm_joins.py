"""Kept rows beside new ones in a file for stock TFLM: which pieces share their place, and bits."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import numpy as np
import pytest
from small_models import Net
from test_tflm_bands import assert_equal_in_tflm, images
from tflm_nets import Layer, append

from tflm_opt import graph as tflite
from tflm_opt.graph import Graph, Tensor
from tflm_opt.patch_split import tflm_cost
from tflm_opt.patch_split.tflm_bands import STYLES, Body, Unfit, body
from tflm_opt.patch_split.tflm_check import violations
from tflm_opt.patch_split.tflm_cost import Part, Way
from tflm_opt.patch_split.tflm_joins import joins
from tflm_opt.patch_split.tflm_layout import attach
from tflm_opt.patch_split.tflm_stages import Candidate, candidate
from tflm_opt.runtime import tflm

CHANNELS = 4

# What a stage begins with, made of the two tensors that it reads, and how many ops that is.
BEGINNINGS: dict[str, tuple[int, Callable[[Net, Tensor, Tensor], Tensor]]] = {
    "sum": (1, lambda net, a, b: net.add(a, b)),
    "sum of a sum": (2, lambda net, a, b: net.add(net.add(b, a), a)),
    "convolution": (1, lambda net, a, b: net.conv(a, CHANNELS, 1)),
    "sum with a convolution": (2, lambda net, a, b: net.add(net.conv(a, CHANNELS, 1), a)),
}
# What makes the stage keep rows: upwards in the first two, downwards in the third.
ENDS = {
    "2x1": Layer("conv", (2, 1), (1, 1), (0, 0, 0, 0), channels=CHANNELS),
    "padded below": Layer("conv", (3, 3), (2, 2), (0, 1, 0, 1), channels=CHANNELS),
    "padded above": Layer("conv", (3, 3), (2, 2), (1, 0, 1, 0), channels=CHANNELS),
}


def net(beginning: str, end: str, width: int = 8) -> tuple[Graph, int]:
    """A net that ends in a stage, and the position of the stage's first op."""
    ops, build = BEGINNINGS[beginning]
    made = Net((1, 16, width, CHANNELS))
    a = made.conv(made.input, CHANNELS, 1)
    b = made.conv(a, CHANNELS, 1)
    x = build(made, a, b)
    start = len(made.ops) - ops
    return made.graph(append(made, x, ENDS[end])), start


def planned(g: Graph, start: int, stage: Body) -> Candidate:
    whole = (Part(i, i + 1, 0, 0, 0) for i in range(start))
    return candidate(g, Way((*whole, Part(start, len(g.ops), 0, 0, 0, stage))), work=100)


def stages(g: Graph, start: int) -> list[Body]:
    """Bodies that keep rows, in three styles, downwards and upwards."""
    rows, found = g.ops[-1].output.shape[1], []
    for style in STYLES[:3]:
        for keep in ("down", "up"):
            for band in (2, 4, rows - 1):
                with suppress(Unfit):
                    found.append(body(g.ops[start:], band, style, keep=keep))
    return [made for made in found if made.kept]


@pytest.mark.parametrize(
    ("beginning", "end", "style", "names"),
    [
        ("sum", "2x1", "pad", ["conv_2d0", "add2"]),
        ("sum of a sum", "2x1", "pad", ["conv_2d0", "add3"]),
        ("convolution", "2x1", "pad", ["conv_2d2"]),
        ("convolution", "padded below", "wide", ["conv_2d2", "conv_2d2 masked"]),
        ("sum with a convolution", "2x1", "pad", ["conv_2d0", "add3"]),
    ],
)
def test_new_rows_lie_where_what_they_are_made_of_did(
    beginning: str, end: str, style: str, names: list[str]
) -> None:
    g, start = net(beginning, end)
    (join,) = joins(body(g.ops[start:], 4, style, keep="up"))
    assert [f"{piece.tensor.name} {piece.note}".strip() for piece in join.line] == names
    assert (join.fresh, join.held) == (0, join.kept.fresh.nbytes)


def test_rows_that_would_not_be_aligned_are_joined_by_copying() -> None:
    g, start = net("sum", "2x1", width=5)
    assert [len(joins(body(g.ops[start:], band, "pad", keep="up"))) for band in (3, 4)] == [0, 1]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("beginning", BEGINNINGS)
def test_kept_rows_are_not_written_over(beginning: str, end: str) -> None:
    cases, joined = [], 0
    for width in (4, 5):
        g, start = net(beginning, end, width)
        made = [planned(g, start, stage) for stage in stages(g, start)]
        cases.append((g, made))
        for c in made:
            (stage,) = c.stages
            for join in joins(stage.body):
                whole = c.layout.offsets[stage.places[join.kept.whole]]
                places = {c.layout.offsets[stage.places[piece]] for piece in join.line}
                assert places == {whole + join.fresh}
                joined += 1
    assert joined >= 2
    assert_equal_in_tflm(cases)


def test_the_estimate_of_the_head_counts_one_place_for_them() -> None:
    for beginning, width in (("sum", 4), ("sum", 8), ("sum of a sum", 8)):
        g, _ = net(beginning, "padded above", width)
        ways = [w for w in tflm_cost.ways(g, 0.0) if any(made.kept for made in w.bodies)]
        assert ways
        assert [w.head for w in ways] == [candidate(g, w).layout.peak for w in ways]


@pytest.mark.parametrize(("apart", "same"), [(0, True), (16, False)])
def test_an_input_over_kept_rows_gives_other_bits(apart: int, same: bool) -> None:
    """A plan with the input 16 bytes above the new rows, as if nothing lay behind them."""
    g, start = net("sum", "2x1")
    made = planned(g, start, body(g.ops[start:], 4, "pad", keep="up"))
    (stage,) = made.stages
    (join,) = joins(stage.body)
    window = next(w for w in stage.windows if w.piece is join.line[0])
    kept, top = join.kept, made.layout.peak
    moved = {
        **{stage.places[piece]: top for piece in (kept.whole, kept.fresh)},
        stage.places[kept.held]: top + join.held,
        **dict.fromkeys((window.inner, *window.tensors), top + apart),
    }
    file = tflite.write(attach(made.graph, {**made.layout.offsets, **moved}))
    want, got = tflm.run_many([(made.tflite, images(g)), (file, images(g))])
    assert all(np.array_equal(x[0], y[0]) for x, y in zip(want, got, strict=True)) == same
    assert (violations(tflite.read(file)) == ()) == same


def test_new_rows_may_be_read_again_after_they_are_joined() -> None:
    """The join leaves them where they are, so they are still there for a sum behind it."""
    made = Net((1, 16, 8, CHANNELS))
    a = made.conv(made.input, CHANNELS, 1)
    b = append(made, a, Layer("conv", (5, 3), (1, 1), (2, 2, 1, 1), channels=CHANNELS))
    taller = append(made, b, Layer("conv", (5, 1), (1, 1), (0, 4, 0, 0), channels=CHANNELS))
    g = made.graph(made.add(taller, b))
    cases = [planned(g, 1, stage) for stage in stages(g, 1)]
    again = 0
    for c in cases:
        (stage,) = c.stages
        for join in joins(stage.body):
            readers = [step for step in stage.body.steps if join.kept.fresh in step.inputs]
            again += len(readers) > 1
    assert again
    assert_equal_in_tflm([(g, cases)])
