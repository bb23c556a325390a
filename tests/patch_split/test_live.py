"""Bytes alive at once: by hand on a small net, and against plans on random ones."""

from __future__ import annotations

import numpy as np
from row_nets import RowNet, random_schedule, row_net
from test_streams_memory import planned

from tflm_opt.graph.ir import Graph
from tflm_opt.graph.options import ConvOptions, Padding
from tflm_opt.patch_split.live import live_bytes
from tflm_opt.patch_split.schedule import Schedule, Stage, layer_by_layer


def two_windows() -> Graph:
    """x [10 rows of 4 bytes] -- 1x1 to 6 channels -- 3x1, stride 1, same -- 1x1 to 2 channels."""
    net = RowNet(np.random.default_rng(0))
    net.input = x = net.tensor((1, 10, 2, 2), 0.02)
    inputs = net.weighted(x, (3, 1, 1, 2), 0, 2)
    y = net.add("CONV_2D", inputs, net.tensor((1, 10, 2, 3), net.out_scale), ConvOptions())
    inputs = net.weighted(y, (1, 3, 1, 3), 3, 3)
    same = ConvOptions(padding=Padding(1, 1, 0, 0))
    y = net.add("DEPTHWISE_CONV_2D", inputs, net.tensor((1, 10, 2, 3), net.out_scale), same)
    inputs = net.weighted(y, (1, 1, 1, 3), 0, 3)
    out = net.add("CONV_2D", inputs, net.tensor((1, 10, 2, 1), net.out_scale), ConvOptions())
    return Graph(tuple(net.ops), (net.input,), (out,))


def test_by_hand() -> None:
    """After row i: 10 - (i + 2) rows of x left, two of the middle (6 bytes), i + 1 of 2 bytes."""
    g = two_windows()
    after = [max(10 - (i + 2), 0) * 4 + (2 if i < 9 else 0) * 6 + (i + 1) * 2 for i in range(9)]
    assert live_bytes(g, Stage(g.ops, 4)) == max(40, *after)
    streamed = [(2 if i < 9 else 0) * 6 + (i + 1) * 2 for i in range(10)]
    assert live_bytes(g, Stage(g.ops, 1), streamed=True) == max(streamed)


def test_no_plan_of_single_rows_needs_less() -> None:
    compared = 0
    for seed in range(40):
        rng = np.random.default_rng([seed, 12])
        g = row_net(rng, steps=5)
        for stage in random_schedule(g, rng).stages:
            if stage.band is None or len(stage.ops) < 2:
                continue
            at = g.ops.index(stage.ops[0])
            rest = layer_by_layer(g).stages
            one = Stage(stage.ops, 1)
            stages = (*rest[:at], one, *rest[at + len(stage.ops) :])
            assert planned(g, Schedule(stages)).peak >= live_bytes(g, one)
            compared += 1
    assert compared > 20
