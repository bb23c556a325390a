"""Squeeze-and-excitation blocks whose largest tensor is made twice and never whole."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from row_nets import RowNet

import tflm_opt
from tflm_opt import arena, codegen, graph
from tflm_opt.graph.geometry import macs, op_macs
from tflm_opt.graph.ir import Graph, Op, Tensor
from tflm_opt.graph.options import (
    AddOptions,
    ConvOptions,
    MulOptions,
    Padding,
    ReducerOptions,
    same_padding,
)
from tflm_opt.passes.legalize import Legalize
from tflm_opt.patch_split import recompute
from tflm_opt.patch_split import search as single
from tflm_opt.patch_split.recompute import chains_of, spots_of, with_again
from tflm_opt.patch_split.walk import walks
from tflm_opt.runtime import host, tflm, vectors


def pointwise(net: RowNet, x: Tensor, channels: int, activation: str = "NONE") -> Tensor:
    shape = (channels, 1, 1, x.shape[3])
    inputs = net.weighted(x, shape, 0, x.shape[3])
    y = net.tensor((*x.shape[:3], channels), net.out_scale)
    return net.add("CONV_2D", inputs, y, ConvOptions(activation=activation))


def excited(net: RowNet, x: Tensor, wide: int, channels: int, stride: int) -> Tensor:
    """MobileNetV3's block: expand, depthwise, gate, project, and the sum where shapes allow."""
    y = pointwise(net, x, wide, "RELU")
    inputs = net.weighted(y, (1, 3, 3, wide), 3, 9)
    sides = [same_padding(n, 3, stride) for n in y.shape[1:3]]
    size = [-(-n // stride) for n in y.shape[1:3]]
    y = net.add(
        "DEPTHWISE_CONV_2D",
        inputs,
        net.tensor((1, *size, wide), net.out_scale),
        ConvOptions((stride, stride), Padding(*sides[0], *sides[1])),
    )
    y = net.add("HARD_SWISH", [y], net.tensor(y.shape, y.scale * 0.8))
    mean = net.tensor((1, 1, 1, wide), y.scale / 4)
    gate = net.add("MEAN", [y, net.constant([1, 2])], mean, ReducerOptions(True))
    gate = pointwise(net, pointwise(net, gate, max(wide // 4, 1), "RELU"), wide)
    gate = net.add("LOGISTIC", [gate], net.tensor(gate.shape, 1 / 256, -128))
    y = net.add("MUL", [y, gate], net.tensor(y.shape, y.scale * 0.7), MulOptions())
    y = pointwise(net, y, channels)
    if y.shape != x.shape:
        return y
    total = net.tensor(y.shape, 1.3 * max(x.scale, y.scale))
    return net.add("ADD", [y, x], total, AddOptions("NONE"))


def mobilenet(seed: int) -> Graph:
    """Three such blocks on an image of about 20 x 18."""
    rng = np.random.default_rng(seed)
    net = RowNet(rng)
    height, width = (int(n) for n in rng.integers(16, 23, 2))
    net.input = net.tensor((1, height, width, 3), 0.02)
    x = pointwise(net, net.input, 8, "RELU")
    for wide, channels, stride in ((32, 8, 1), (32, 12, 2), (48, 12, 1)):
        x = excited(net, x, wide, channels, stride)
    return Graph(tuple(net.ops), (net.input,), (x,))


def kinds(ops: tuple[Op, ...]) -> list[str]:
    return [op.kind for op in ops]


def test_a_block_is_made_again_from_its_small_input() -> None:
    """Expand, depthwise and hard-swish, cloned before the product; the sum's input is there."""
    g = mobilenet(0)
    spots = spots_of(g)
    assert len(spots) == 3
    assert spots[0].nbytes == max(t.nbytes for t in spots)
    first = g.ops[3].output
    assert first in spots
    again = with_again(g, first, limit=macs(g))
    assert again is not None
    added = [op for op in again.ops if any(t.name.endswith("(again)") for t in op.outputs)]
    assert kinds(tuple(added)) == ["CONV_2D", "DEPTHWISE_CONV_2D", "HARD_SWISH"]
    (product,) = (op for op in again.ops if op.kind == "MUL" and added[-1].output in op.inputs)
    assert again.ops.index(product) == again.ops.index(added[-1]) + 1
    (fold,) = (op for op in again.ops if op.kind == "MEAN" and first in op.inputs)
    assert again.ops.index(fold) < again.ops.index(added[0])
    assert macs(again) - macs(g) == sum(op_macs(op) for op in g.ops[1:4])
    again_names = [t.name for op in again.ops for t in op.outputs]
    assert len(set(again_names)) == len(again_names)


def test_chains_go_back_op_by_op() -> None:
    """Each holds what it reads, as far as nobody else keeps it; gates stay as they are."""
    g = mobilenet(1)
    first, second = g.ops[3].output, g.ops[12].output
    chains = list(chains_of(g, first))
    assert [len(chain.ops) for chain in chains] == [1, 2, 3, 4]
    assert [chain.held for chain in chains] == [
        g.ops[2].output.nbytes,
        g.ops[1].output.nbytes,
        0,  # the sum reads it later anyway
        g.inputs[0].nbytes,
    ]
    for chain in chains:
        assert chain.ops[-1].output is first
        assert chain.macs == sum(op_macs(op) for op in chain.ops)
    longest = list(chains_of(g, second))[-1]
    assert "MEAN" not in kinds(longest.ops)
    assert "LOGISTIC" not in kinds(longest.ops)


def test_a_limit_holds() -> None:
    g = mobilenet(2)
    spot = spots_of(g)[0]
    every = [chain for chain in chains_of(g, spot) if chain.held < spot.nbytes]
    best = min(every, key=lambda chain: chain.held)
    again = with_again(g, spot, best.macs)
    assert again is not None
    assert macs(again) == macs(g) + best.macs
    less = with_again(g, spot, best.macs - 1)
    assert less is None or macs(less) < macs(again)
    assert with_again(g, spot, -1) is None


def test_what_is_no_spot() -> None:
    """A tensor that is only folded, or read again before the fold."""
    g = mobilenet(0)
    net = RowNet(np.random.default_rng(0))
    x = net.add("TANH", [net.input], net.tensor(net.input.shape, 1 / 128, 0))
    net.add("TANH", [x], net.tensor(x.shape, 1 / 128, 0))
    out = net.tensor((1, 1, 1, x.shape[3]), 0.01)
    net.add("MEAN", [x, net.constant([1, 2])], out, ReducerOptions(True))
    before = Graph(tuple(net.ops), (net.input,), (net.ops[1].output, out))
    assert spots_of(before) == ()
    assert spots_of(Graph(g.ops[:5], g.inputs, g.ops[4].outputs)) == ()


@pytest.mark.parametrize(("given", "seed"), [("resident", 5), ("streamed", 6)])
def test_memory_falls_and_bits_stay(given: str, seed: int, tmp_path: Path) -> None:
    """Every point is within the limit; the smallest and a middle one run, against TFLM."""
    g, limit = mobilenet(seed), 0.6
    settings = {"input": given, "scratch": codegen.scratch, "access": codegen.access}
    once = single.search(g, **settings)
    found = recompute.search(g, max_extra_macs=limit, **settings)
    assert found.peak < 0.75 * once.peak
    assert found.bound <= found.peak
    for point in found.front:
        assert 0 <= point.extra_macs <= limit
        clones = (macs(point.graph) - macs(g)) / macs(g)
        assert point.extra_macs >= clones
        assert set(point.schedule.ops) == set(point.graph.ops)
        assert arena.validate(point.plan.problem, point.plan.places) == ()
    assert found.front[0].extra_macs == 0
    assert found.chosen.graph is not g
    smallest = found.chosen
    stages = walks(smallest.graph, smallest.schedule).values()
    assert any(spots_of(g)[0] in walk.windows for walk in stages)
    samples = vectors.seeded(g.inputs, 2, seed=3)
    want = tflm.run(graph.write(Legalize()(g)), samples)
    assert np.unique(want[0][0]).size > 20
    for number, point in enumerate((found.front[len(found.front) // 2], smallest)):
        folder = tmp_path / str(number)
        codegen.write(codegen.generate(point.graph, point.plan), folder)
        have = host.Engine(folder).run([*samples, samples[0]])
        for have_row, want_row in zip(have, [*want, want[0]], strict=True):
            for a, b in zip(have_row, want_row, strict=True):
                assert a.tobytes() == b.tobytes()


def test_without_macs_to_spare_nothing_is_made_twice() -> None:
    g = mobilenet(4)
    settings = {"scratch": codegen.scratch, "access": codegen.access}
    found = recompute.search(g, **settings)
    assert found.peak == single.search(g, **settings).peak
    assert all(point.graph is g for point in found.front)


def test_a_graph_without_macs_computes_none_again() -> None:
    net = RowNet(np.random.default_rng(3))
    x = net.input
    for _ in range(3):
        x = net.add("TANH", [x], net.tensor(x.shape, 1 / 128, 0))
    g = Graph(tuple(net.ops), (net.input,), (x,))
    found = recompute.search(g, max_extra_macs=0.1, access=codegen.access)
    assert {(point.extra_macs, point.work) for point in found.front} == {(0.0, 0)}


def test_a_budget_is_met_with_few_macs() -> None:
    """No more is computed again than the budget asks for."""
    g = mobilenet(5)
    runs = recompute.Recomputing(
        g, scratch=codegen.scratch, access=codegen.access, max_extra_macs=0.6
    )
    smallest, fastest = runs.found().chosen, runs.found().front[0]
    assert runs.found(fastest.peak).chosen.extra_macs == 0
    middle = (smallest.peak + fastest.peak) // 2
    assert runs.found(middle).peak <= middle
    assert runs.found(middle).chosen.extra_macs < smallest.extra_macs


def test_optimize_says_what_it_computes_again() -> None:
    g = mobilenet(5)
    data = graph.write(Legalize()(g))
    least = {"max_slowdown": math.inf, "verbose": 0}
    once = tflm_opt.optimize(data, verify=False, **least)
    again = tflm_opt.optimize(data, max_extra_macs=0.6, **least)
    assert again.bit_exact is True
    assert 0 < again.extra_macs <= 0.6
    assert again.sram.arena < once.sram.arena
    assert once.macs == again.macs
    assert "more recomputed" in str(again)
    assert "ops run twice" in str(again)
    names = json.loads(again.to_json())["schedule"]["made_again"]
    made = {tensor.name for op in again.graph.ops for tensor in op.outputs}
    assert names
    assert {f"{name} (again)" for name in names} <= made
    assert json.loads(once.to_json())["schedule"]["made_again"] == []
