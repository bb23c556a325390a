"""The access-order contract: an output at the safe distance below its input, byte for byte.

`arena.overlap` derives the distance from what the kernel table promises; here every kernel runs
with exactly that distance, not one byte more, and must still give what it gives apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drawn import (
    add_batch_matmul,
    add_convolution,
    add_fully_connected,
    add_pair,
    add_pool,
    add_reduction,
    add_transpose_conv,
)
from opgraph import Cases, Layout, layout

from tflm_opt import codegen
from tflm_opt.arena.overlap import safe_distance
from tflm_opt.graph.ir import Graph, Op
from tflm_opt.graph.options import SoftmaxOptions
from tflm_opt.runtime import host

Rng = np.random.Generator
Draw = Callable[[Cases, Rng], object]


def softmax(cases: Cases, rng: Rng) -> None:
    shape = [(1, 9), (6, 5), (1, 3, 4, 5)][int(rng.integers(3))]
    x = cases.input(shape, scale=float(rng.uniform(0.01, 0.5)))
    cases.op(
        "SOFTMAX", [x], [cases.tensor(shape, scale=1 / 256, zero_point=-128)], SoftmaxOptions(1.0)
    )


def pair(kind: str) -> Draw:
    def draw(cases: Cases, rng: Rng) -> None:
        second = [(1, 5, 7, 3), (3,), (7, 1), (1, 1, 1, 3)][int(rng.integers(4))]
        add_pair(cases, rng, kind, (1, 5, 7, 3), second)

    return draw


def reduction(kind: str) -> Draw:
    def draw(cases: Cases, rng: Rng) -> None:
        axes = [[1, 2], [3], [2], [1], [2, 3]][int(rng.integers(5))]
        add_reduction(cases, rng, kind, (1, 4, 5, 6), axes)

    return draw


KINDS: dict[str, Draw] = {
    "CONV_2D": add_convolution,
    "CONV_2D grouped": lambda c, r: add_convolution(c, r, groups=2),
    "CONV_2D 1x1": lambda c, r: add_convolution(c, r, kernel=(1, 1)),
    "DEPTHWISE_CONV_2D": lambda c, r: add_convolution(c, r, depthwise=True),
    "FULLY_CONNECTED": add_fully_connected,
    "TRANSPOSE_CONV": add_transpose_conv,
    "ADD": pair("ADD"),
    "SUB": pair("SUB"),
    "MUL": pair("MUL"),
    "SQUARED_DIFFERENCE": pair("SQUARED_DIFFERENCE"),
    "BATCH_MATMUL": add_batch_matmul,
    "AVERAGE_POOL_2D": lambda c, r: add_pool(c, r, "AVERAGE_POOL_2D"),
    "MAX_POOL_2D": lambda c, r: add_pool(c, r, "MAX_POOL_2D"),
    "MEAN": reduction("MEAN"),
    "SUM": reduction("SUM"),
    "REDUCE_MAX": reduction("REDUCE_MAX"),
    "REDUCE_MIN": reduction("REDUCE_MIN"),
    "SOFTMAX": softmax,
}


def distance(op: Op, position: int) -> int | None:
    """What the arena would keep between output and input."""
    block = codegen.access(op)
    return None if block is None else safe_distance(op, position, block=block)


def squeezed(g: Graph, less: int = 0) -> tuple[Layout, int]:
    """A layout with each op's first movable input at the safe distance, minus `less`."""
    apart = layout(g)
    offsets = dict(apart.offsets)
    end, overlapping = apart.peak, 0
    for op in g.ops:
        for position, tensor in enumerate(op.inputs):
            if tensor is None or tensor.constant or op.inputs.count(tensor) > 1:
                continue
            gap = distance(op, position)
            if gap is None:
                continue
            overlapping += gap < op.output.nbytes
            offsets[op.output] = end
            offsets[tensor] = end + max(gap - less, 0)
            end += gap + tensor.nbytes + op.output.nbytes
            break
    return replace(apart, offsets=offsets, peak=end), overlapping


def outputs(
    g: Graph, plan: Layout, data: list[list[np.ndarray]], folder: Path
) -> list[list[bytes]]:
    codegen.write(codegen.generate(g, plan, name="squeezed"), folder)
    return [[a.tobytes() for a in row] for row in host.Engine(folder).run(data)]


def collect(draw: Draw, seed: int, count: int = 40) -> Cases:
    rng = np.random.default_rng(seed)
    cases = Cases()
    for _ in range(count):
        draw(cases, rng)
    return cases


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_written_at_the_safe_distance(tmp_path: Path, kind: str) -> None:
    cases = collect(KINDS[kind], seed=sum(kind.encode()))
    g = cases.graph()
    data = cases.samples(2, seed=3)
    tight, overlapping = squeezed(g)
    apart = outputs(g, layout(g), data, tmp_path / "apart")
    together = outputs(g, tight, data, tmp_path / "together")
    if kind != "BATCH_MATMUL":  # not modelled: never overlapped
        assert overlapping > len(g.ops) // 8
    for want_row, have_row in zip(apart, together, strict=True):
        for op, want, have in zip(g.ops, want_row, have_row, strict=True):
            assert want == have, (op, distance(op, 0))


def test_less_than_the_safe_distance_shows(tmp_path: Path) -> None:
    """The test above can fail: one pixel less, and outputs change."""
    cases = collect(KINDS["CONV_2D"], seed=1)
    g = cases.graph()
    data = cases.samples(2, seed=3)
    apart = outputs(g, layout(g), data, tmp_path / "apart")
    broken = outputs(g, squeezed(g, less=24)[0], data, tmp_path / "broken")
    assert apart != broken
