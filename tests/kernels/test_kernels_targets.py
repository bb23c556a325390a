"""Kernels on emulated cores, with the tier that each core gets: bit for bit TFLM, guarded.

See `targets` for what is compared. qemu_m3 runs the portable tier.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import drawn
import numpy as np
import pytest
from drawn import add_convolution, add_fully_connected, add_pair, add_pool, add_reduction
from opgraph import Cases, layout
from targets import Battery, symbols

from tflm_opt import boards, codegen
from tflm_opt.codegen.rooms import key
from tflm_opt.graph.ir import Graph
from tflm_opt.graph.options import SoftmaxOptions
from tflm_opt.kernels import table

pytestmark = [
    pytest.mark.qemu,
    pytest.mark.skipif(
        not (shutil.which("arm-none-eabi-gcc") and shutil.which("qemu-system-arm")),
        reason="needs the Arm compiler and qemu-system-arm",
    ),
]

# By board: tiers whose sources it takes where there are several, the best one last.
TIERS = {"qemu_m3": ("portable",), "qemu_m4": ("dsp",), "qemu_m55": ("dsp", "mve")}
Rng = np.random.Generator
Draw = Callable[[Cases, Rng], object]


def add_softmax(cases: Cases, rng: Rng) -> None:
    shape = (int(rng.integers(1, 5)), int(rng.integers(1, 68)))
    x = cases.input(shape, scale=float(rng.uniform(0.01, 0.5)))
    result = cases.tensor(shape, scale=1 / 256, zero_point=-128)
    cases.op("SOFTMAX", [x], [result], SoftmaxOptions(1.0))


def add_same(kind: str) -> Draw:
    """A pair of one shape, of any number of elements."""

    def draw(cases: Cases, rng: Rng) -> None:
        shape = (1, int(rng.integers(1, 6)), int(rng.integers(1, 6)), int(rng.integers(1, 68)))
        add_pair(cases, rng, kind, shape, shape)

    return draw


def add_mean(kind: str) -> Draw:
    def draw(cases: Cases, rng: Rng) -> None:
        shape = (1, int(rng.integers(1, 9)), int(rng.integers(1, 9)), int(rng.integers(1, 68)))
        add_reduction(cases, rng, kind, shape, [[1, 2], [3], [1]][int(rng.integers(3))])

    return draw


def add_pointwise(cases: Cases, rng: Rng) -> None:
    add_convolution(cases, rng, kernel=(1, 1), channels=int(rng.integers(1, 68)))


def add_square(cases: Cases, rng: Rng) -> None:
    k = int(rng.choice([3, 5, 7]))
    channels = int(rng.integers(1, 68))
    add_convolution(cases, rng, depthwise=True, kernel=(k, k), channels=channels)


def add_depthwise(cases: Cases, rng: Rng) -> None:
    add_convolution(cases, rng, depthwise=True)


# By name of battery: what is drawn, and how often.
BATTERIES: dict[str, dict[Draw, int]] = {
    "convolution": {add_convolution: 40, add_pointwise: 40},
    "depthwise": {add_depthwise: 40, add_square: 40},
    "rest": {
        add_fully_connected: 40,
        add_same("ADD"): 20,
        add_same("MUL"): 20,
        (lambda c, r: add_pool(c, r, "AVERAGE_POOL_2D")): 20,
        (lambda c, r: add_pool(c, r, "MAX_POOL_2D")): 20,
        add_mean("MEAN"): 6,
        add_mean("SUM"): 6,
        add_mean("REDUCE_MAX"): 6,
        add_softmax: 6,
    },
}


def zero_points(rng: Rng) -> Iterator[int]:
    """All values of an int8, in one order after the other."""
    while True:
        yield from (int(v) for v in rng.permutation(np.arange(-128, 128)))


@cache
def battery(name: str) -> Battery:
    rng = np.random.default_rng([4, *name.encode()])
    points = zero_points(rng)
    cases = Cases()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawn, "zero_point", lambda _: next(points))
        for draw, count in BATTERIES[name].items():
            for _ in range(count):
                draw(cases, rng)
    return Battery.of(cases.graph(), cases.samples(3, seed=1))


def some(rooms: list[int], rng: Rng) -> int:
    """Any size that is not a round one."""
    return rooms[0] + int(rng.integers(0, rooms[-1] - rooms[0] + 1)) // 4 * 4


# How much scratch ops get of the sizes that are worth a look, none left out.
SCRATCH: dict[str, Callable[[list[int], Rng], int]] = {
    "none": lambda rooms, rng: 0,
    "least": lambda rooms, rng: rooms[0],
    "some": some,
    "most": lambda rooms, rng: rooms[-1],
}


def furnished(g: Graph, scratch: str, tier: str) -> codegen.Kernels:
    """Scratch for all ops for which the tier has a use."""
    rng = np.random.default_rng(6)
    sizes = {}
    for op in g.ops:
        rooms = [room.size for room in codegen.rooms(op, tier)[1:]]
        if rooms:
            sizes[key(op)] = SCRATCH[scratch](rooms, rng)
    return codegen.Kernels(tier, sizes)  # type: ignore[arg-type]


# Batteries whose kernels have a use for scratch, on boards whose tiers have one.
FURNISHED = [
    (board, scratch, name)
    for board in ("qemu_m4", "qemu_m55")
    for scratch in list(SCRATCH)[1:]
    for name in ("convolution", "depthwise")
]
PLAIN = [(board, "none", name) for board in TIERS for name in BATTERIES]


@pytest.mark.parametrize(("board", "scratch", "name"), PLAIN + FURNISHED)
def test_tflms_bytes_and_nothing_beside_them(
    tmp_path: Path, board: str, scratch: str, name: str
) -> None:
    found = battery(name)
    tier = TIERS[board][-1]
    kernels = furnished(found.graph, scratch, tier)
    assert bool(kernels.sizes) == ((board, "most", name) in FURNISHED)
    program = found.check(boards.get(board), tmp_path, layout(found.graph, kernels))
    reached = symbols(program)
    kinds = {op.kind for op in found.graph.ops}
    for kernel in table.kernels().values():
        if tier in kernel.tiers and set(kernel.ops) <= kinds and kernel.tiers != ("portable",):
            assert kernel.function in reached


def test_every_kernel_with_tiers_is_reached() -> None:
    kinds = {op.kind for name in BATTERIES for op in battery(name).graph.ops}
    for kernel in table.kernels().values():
        if kernel.tiers != ("portable",):
            assert set(kernel.ops) & kinds, f"{kernel.function}: draw {kernel.ops} here"
