"""Ops that run ahead of their readers, against a stage played row by row."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from row_nets import BANDS, STEPS, STRETCHING, RowNet, banded, halved, row_net

from tflm_opt.graph.ir import Graph, Tensor
from tflm_opt.graph.options import ConvOptions
from tflm_opt.patch_split.pace import Pace, Rows, stage_reaches
from tflm_opt.patch_split.regions import NotStreamable
from tflm_opt.patch_split.schedule import Stage
from tflm_opt.patch_split.walk import Walk, body_bytes, results_of, walk


def pace(graph: Graph, stage: Stage) -> Pace:
    return Pace(stage, results_of(graph, stage.ops), stage_reaches(stage, None), None)


def halving_net() -> Graph:
    """conv 3x3 /2, conv 3x3, conv 1x1 /2 beside them, ADD, on an image of 24 rows."""
    net = RowNet(np.random.default_rng(3))
    net.input = net.tensor((1, 24, 24, 8), 0.02)
    net.rng = np.random.default_rng(0)
    x = net.add("TANH", [net.input], net.tensor(net.input.shape, 1 / 128, 0))
    while net.ops[1:] == [] or net.ops[1].output.shape[1] != 12:
        del net.ops[1:]
        halved(net, x)
    return Graph(tuple(net.ops), (net.input,), net.ops[-1].outputs)


def test_a_strided_skip_branch_holds_three_rows_of_its_input() -> None:
    """Not five; a row of the branch waits for the sum instead, and none does in the same step."""
    graph = halving_net()
    tanh, _, _, beside, _ = graph.ops
    late = pace(graph, Stage(graph.ops, Fraction(1, 2))).late
    found = walk(graph, Stage(graph.ops, Fraction(1, 2)))
    assert found.early == (beside,)
    assert found.windows[tanh.output].capacity == 3
    assert found.windows[beside.output].capacity == 1
    assert found.windows[beside.output].kept
    assert held(graph, late, tanh.output) == 5


def held(graph: Graph, rows: Rows, tensor: Tensor) -> int:
    """Most rows of a tensor between the lowest one still to be read and the last one made."""
    stage = Stage(graph.ops, 1)
    readers = pace(graph, stage).readers[tensor]
    most = 0
    for step in range(rows[tensor].size - 1):
        low = min(
            int(reach.starts[i])
            for op, reach in readers
            for i in range(int(rows[op.output][step]), op.output.shape[1])
        )
        most = max(most, int(rows[tensor][step + 1]) - low)
    return most


def chosen_by_trying(graph: Graph, stage: Stage) -> int:
    """Bytes of the best set of early ops, of all sets of any."""
    lines = pace(graph, stage)
    ops = [op for op in stage.ops[:-1] if lines.results.isdisjoint(op.outputs)]
    sets = [early for count in range(4) for early in combinations(ops, count)]
    return min(body_bytes(walk(graph, stage, early=early)) for early in sets)


def test_the_choice_is_the_best_of_all() -> None:
    """Three early ops at most: the nets are small."""
    better = 0
    for seed in range(24):
        rng = np.random.default_rng([seed, 41])
        net = RowNet(rng)
        halved(net, halved(net, net.add("TANH", [net.input], net.like(net.input, net.input.shape))))
        graph = Graph(tuple(net.ops), (net.input,), net.ops[-1].outputs)
        stage = Stage(graph.ops, BANDS[int(rng.integers(0, len(BANDS)))])
        best = walk(graph, stage)
        assert body_bytes(best) == chosen_by_trying(graph, stage)
        better += bool(best.early)
    assert better > 8


def play(found: Walk) -> None:
    """Every row is made once, of rows that exist and are still in their windows."""
    for step in range(found.steps):
        exists = {t: int(made[step]) for t, made in found.made.items()}
        for op in found.stage.ops:
            a, b = found.rows(op, step)
            assert exists[op.outputs[0]] == a <= b
            reaches = stage_reaches(found.stage, None)[op]
            for tensor, reach in zip(op.inputs, reaches, strict=True):
                if tensor is None or reach is None or a == b:
                    continue
                if tensor in found.windows:
                    low, high = reach.needs(a, b)
                    window = found.windows[tensor]
                    works = np.flatnonzero(np.diff(found.made[tensor])[: step + 1])
                    start = int(window.starts[works[-1]]) if works.size else 0
                    assert high <= exists[tensor]
                    assert low == high or start <= low
                    assert exists[tensor] - start <= window.capacity
            exists.update(dict.fromkeys(op.outputs, b))


def test_any_early_ops_make_a_walk() -> None:
    early_stages = 0
    for seed in range(150):
        rng = np.random.default_rng([seed, 42])
        graph = row_net(rng, of=STRETCHING if seed % 2 else STEPS)
        at = int(rng.integers(0, max(1, len(graph.ops) - 3)))
        stage = banded(graph, graph.ops[at:], BANDS[int(rng.integers(0, len(BANDS)))])
        if stage.band is None:
            continue
        late = walk(graph, stage, early=())
        ops = [op for op in stage.ops[:-1] if op.outputs[0] in late.windows]
        early = tuple(op for op in ops if rng.random() < 0.5)
        for found in (late, walk(graph, stage, early=early), walk(graph, stage)):
            play(found)
            for tensor, made in found.made.items():
                assert made[0] == 0
                assert made[-1] == late.made[tensor][-1]
        assert body_bytes(walk(graph, stage)) <= body_bytes(late)
        early_stages += bool(walk(graph, stage).early)
    assert early_stages > 8


def test_rows_of_padding_that_alone_are_read_are_no_stage() -> None:
    """A PAD of three rows above, of which a 1x1 convolution of stride 9 reads the first only."""
    net = RowNet(np.random.default_rng(1))
    x = net.input
    _, h, w, c = x.shape
    widths = net.constant([[0, 0], [3, 0], [0, 0], [0, 0]])
    y = net.add("PAD", [x, widths], net.like(x, (1, h + 3, w, c)))
    inputs = net.weighted(y, (2, 1, 1, c), 0, c)
    rows = -(-(h + 3) // 40)
    assert rows == 1
    out = net.tensor((1, 1, w, 2), net.out_scale)
    net.add("CONV_2D", inputs, out, ConvOptions((40, 1)))
    g = Graph(tuple(net.ops), (x,), (out,))
    with pytest.raises(NotStreamable, match="only padding is read"):
        walk(g, Stage(g.ops, 1))
