"""Stages that make some columns at a time, one net for each thing that is easily got wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from row_nets import RowNet

from tflm_opt import arena, codegen, graph
from tflm_opt.graph.ir import Graph, Op, Tensor
from tflm_opt.graph.options import (
    AddOptions,
    ConcatenationOptions,
    ConvOptions,
    MulOptions,
    Padding,
    SplitOptions,
    out_size,
    same_padding,
)
from tflm_opt.patch_split.schedule import Columns, Schedule, Stage
from tflm_opt.runtime import host, tflm

KEPT = (Columns(1), Columns(3))
ALL = (*KEPT, Columns(5, kept=False))


def net(shape: tuple[int, int, int] = (9, 11, 4)) -> RowNet:
    found = RowNet(np.random.default_rng(4))
    found.input = found.tensor((1, *shape), 0.02)
    return found


def conv(
    drawn: RowNet,
    x: Tensor,
    kernel: int = 3,
    stride: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
) -> Tensor:
    sides = [same_padding(x.shape[1 + i], kernel, stride[i], dilation[i]) for i in range(2)]
    out = [out_size(x.shape[1 + i], kernel, stride[i], dilation[i], *sides[i]) for i in range(2)]
    depth = x.shape[3]
    inputs = drawn.weighted(x, (4, kernel, kernel, depth), 0, kernel * kernel * depth)
    options = ConvOptions(stride, Padding(*sides[0], *sides[1]), dilation, "NONE")
    return drawn.add("CONV_2D", inputs, drawn.tensor((1, *out, 4), drawn.out_scale), options)


def pair(drawn: RowNet, kind: str, a: Tensor, b: Tensor) -> Tensor:
    scale = a.scale * b.scale * 60 if kind == "MUL" else 1.4 * max(a.scale, b.scale)
    options = MulOptions() if kind == "MUL" else AddOptions("NONE")
    return drawn.add(kind, [a, b], drawn.tensor(a.shape, scale), options)


def halves(drawn: RowNet, x: Tensor) -> list[Tensor]:
    parts = [drawn.like(x, (*x.shape[:3], x.shape[3] // 2)) for _ in range(2)]
    drawn.ops.append(Op("SPLIT", (drawn.constant(3), x), tuple(parts), SplitOptions(2)))
    return parts


def two_rings(kernels: tuple[int, int]) -> Graph:
    """Both halves have a ring, of their own size."""
    drawn = net()
    sides = [conv(drawn, t, k) for t, k in zip(halves(drawn, drawn.input), kernels, strict=True)]
    return made(drawn, pair(drawn, "ADD", *sides))


def half_given_out() -> Graph:
    drawn = net()
    first, second = halves(drawn, conv(drawn, drawn.input))
    return made(drawn, second, conv(drawn, first))


def both_given_out() -> Graph:
    drawn = net()
    return made(drawn, *halves(drawn, conv(drawn, conv(drawn, drawn.input), 5)))


def read_inside() -> Graph:
    """A result of the stage is read by windows of the stage, and at its own place."""
    drawn = net()
    first = conv(drawn, drawn.input)
    return made(drawn, first, pair(drawn, "MUL", first, conv(drawn, first)))


def read_twice() -> Graph:
    drawn = net()
    x = conv(drawn, drawn.input)
    total = pair(drawn, "ADD", x, x)
    wide = drawn.like(total, (*total.shape[:3], 8))
    drawn.add("CONCATENATION", [total, total], wide, ConcatenationOptions(3))
    return made(drawn, conv(drawn, wide))


def dilated() -> Graph:
    """Taps more rows apart than a ring's end leaves."""
    drawn = net()
    x = conv(drawn, drawn.input, dilation=(3, 2))
    return made(drawn, conv(drawn, x, dilation=(4, 3)))


def strided() -> Graph:
    """Steps over rows and columns that nobody reads."""
    drawn = net((23, 29, 2))
    x = conv(drawn, drawn.input, 2)
    return made(drawn, conv(drawn, conv(drawn, x, 2, stride=(5, 3)), 3))


def pointwise_first() -> Graph:
    """Nothing of a streamed input is read in two steps, but all parts of a step read it."""
    drawn = net((24, 24, 4))
    sides = [conv(drawn, t, k) for t, k in zip(halves(drawn, drawn.input), (3, 5), strict=True)]
    return made(drawn, conv(drawn, pair(drawn, "ADD", *sides), stride=(2, 2)))


def long(height: int, width: int) -> Graph:
    """More steps or parts than fit a byte."""
    drawn = net((height, width, 1))
    return made(drawn, conv(drawn, conv(drawn, drawn.input)))


def made(drawn: RowNet, *outputs: Tensor) -> Graph:
    return Graph(tuple(drawn.ops), (drawn.input,), outputs)


NETS: dict[str, tuple[Callable[[], Graph], tuple[Columns, ...]]] = {
    "two rings of one size": (lambda: two_rings((3, 3)), ALL),
    "two rings of two sizes": (lambda: two_rings((3, 5)), ALL),
    "half given out": (half_given_out, KEPT),
    "both given out": (both_given_out, ALL),
    "read inside": (read_inside, KEPT),
    "read twice": (read_twice, ALL),
    "dilated": (dilated, ALL),
    "strided": (strided, ALL),
    "pointwise first": (pointwise_first, KEPT),
    "300 parts": (lambda: long(7, 300), KEPT),
    "300 steps": (lambda: long(300, 7), ALL),
}


@pytest.mark.parametrize("name", NETS)
def test_one_stage_gives_tflms_bits(name: str, tmp_path: Path) -> None:
    draw, ways = NETS[name]
    g = draw()
    schedules = [Schedule((Stage(g.ops, 1, columns),)) for columns in ways]
    schedules += [Schedule((Stage(g.ops, 1, columns),), "streamed") for columns in KEPT]
    rng = np.random.default_rng(1)
    data = [[rng.integers(-128, 128, g.inputs[0].shape).astype(np.int8)] for _ in range(2)]
    (truth,) = tflm.run_many([(graph.write(g), data)])
    folders = []
    for number, schedule in enumerate(schedules):
        plan = arena.plan(g, schedule, scratch=codegen.scratch, access=codegen.access, seconds=0.05)
        folders.append(tmp_path / str(number))
        codegen.write(codegen.generate(g, plan, name=f"way{number}"), folders[-1])
    for engine, schedule in zip(host.engines(folders), schedules, strict=True):
        for have, want in zip(engine.run(data), truth, strict=True):
            for a, b in zip(have, want, strict=True):
                assert a.tobytes() == b.tobytes(), (schedule.input, schedule.stages[0].columns)


def test_a_front_outside_the_arena_is_refused() -> None:
    g = read_twice()
    schedule = Schedule((Stage(g.ops, 1, Columns(2)),))
    plan = arena.plan(g, schedule, scratch=codegen.scratch, access=codegen.access, seconds=0.05)
    tensor = next(iter(plan.fronts))
    broken = replace(plan, fronts={**plan.fronts, tensor: plan.peak - 1})
    with pytest.raises(ValueError, match=f"front of {tensor.name!r}.* outside an arena"):
        codegen.generate(g, broken)
