"""Kernels with vectors on an emulated Cortex-M55: shapes that they treat apart, and their blocks.

`test_kernels_targets` draws shapes at random. Here are those at which Helium's kernels change what
they do, and plans in which each output lies at the least distance below its input that
`arena.overlap` derives from the blocks of `codegen.forms`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drawn import add_convolution, add_fully_connected, add_pair
from opgraph import Cases, Layout, layout
from targets import Battery

from tflm_opt import boards, codegen
from tflm_opt.arena.overlap import safe_distance
from tflm_opt.codegen import rooms
from tflm_opt.graph.ir import Graph, Op, Tensor
from tflm_opt.graph.options import ConvOptions, Padding, out_size, same_padding

pytestmark = [
    pytest.mark.qemu,
    pytest.mark.skipif(
        not (shutil.which("arm-none-eabi-gcc") and shutil.which("qemu-system-arm")),
        reason="needs the Arm compiler and qemu-system-arm",
    ),
]

Rng = np.random.Generator
BOARD = "qemu_m55"


def window(
    cases: Cases,
    rng: Rng,
    size: tuple[int, int],
    depth: int,
    out: int | None,
    kernel: tuple[int, int],
    stride: int = 1,
    activation: str = "NONE",
    padded: bool = True,
    dilation: int = 1,
    multiplier: int = 1,
) -> None:
    """A convolution of exactly these sizes; `out` None for a depthwise one."""
    before = len(cases.inputs)
    op = add_convolution(
        cases, rng, depthwise=out is None, kernel=kernel, padding=Padding(), channels=depth
    )
    cases.ops.pop()
    del cases.inputs[before:]
    source, filters, *_ = op.inputs
    assert source is not None
    assert filters is not None
    assert filters.quant is not None
    sides = [
        same_padding(size[i], kernel[i], stride, dilation) if padded else (0, 0) for i in range(2)
    ]
    made = [out_size(size[i], kernel[i], stride, dilation, *sides[i]) for i in range(2)]
    channels = depth * multiplier if out is None else out
    shape = (1, *kernel, channels) if out is None else (out, *kernel, depth)
    axis = 3 if out is None else 0
    data = rng.integers(-128, 128, shape).astype(np.int8)
    scales = (0.01 * rng.uniform(0.3, 3, channels)).astype(np.float32)
    quant = replace(filters.quant, scale=scales, zero_point=np.zeros(channels, np.int64), axis=axis)
    image = cases.input((1, *size, depth), scale=0.02, zero_point=int(rng.integers(-128, 128)))
    weights = Tensor("w", shape, "int8", quant, data)
    bias = cases.constant(rng.integers(-3000, 3000, channels))
    bias = replace(bias, quant=replace(quant, scale=scales * np.float32(0.02), axis=0))
    terms = int(np.prod(shape)) // channels
    result = cases.tensor(
        (1, *made, channels),
        scale=float(np.float32(0.02 * np.sqrt(terms))),
        zero_point=int(rng.choice([-128, -5, 100])),
    )
    padding, gaps = Padding(*sides[0], *sides[1]), (dilation, dilation)
    options = ConvOptions((stride, stride), padding, gaps, activation)
    kind = "DEPTHWISE_CONV_2D" if out is None else "CONV_2D"
    cases.op(kind, [image, weights, bias], [result], options)


def lines(cases: Cases, rng: Rng) -> None:
    """Lines in vectors and longer ones, one to four pixels, channels that are no multiple of 4."""
    for depth in (1, 8, 15, 16, 17, 32, 33):
        for pixels in (1, 2, 3, 4):
            out = int(rng.choice([1, 3, 4, 6, 9]))
            activation = str(rng.choice(["NONE", "RELU", "RELU6"]))
            window(cases, rng, (1, pixels), depth, out, (1, 1), activation=activation)


def strided_pixels(cases: Cases, rng: Rng) -> None:
    for depth in (5, 16, 20):
        window(cases, rng, (5, 7), depth, 6, (1, 1), stride=2, padded=False)


def windows(cases: Cases, rng: Rng) -> None:
    """Rows of a window in one vector and in more, blocks that go on in the next row."""
    for depth, kernel, stride in (
        (1, (10, 4), 2),
        (3, (3, 3), 2),
        (5, (3, 3), 1),
        (6, (3, 3), 1),
        (16, (3, 3), 1),
        (2, (2, 9), 1),
    ):
        window(cases, rng, (7, 10), depth, 6, kernel, stride)
        window(cases, rng, (11, 9), depth, 8, kernel, stride, "RELU", padded=False)


def pairs(cases: Cases, rng: Rng) -> None:
    """3x3 with steps of one: odd and even rows and columns, with and without padding."""
    for size in ((2, 2), (2, 3), (3, 2), (3, 3), (4, 5), (5, 4), (7, 6)):
        activation = str(rng.choice(["NONE", "RELU", "RELU6"]))
        window(cases, rng, size, int(rng.choice([3, 16, 19])), None, (3, 3), 1, activation)
    window(cases, rng, (5, 6), 17, None, (3, 3), 1, "NONE", padded=False)


def tiles(cases: Cases, rng: Rng) -> None:
    """One tile and four, wide and tall ones, steps of one to three, a filter that is too large."""
    for kernel in ((1, 3), (4, 4), (5, 5), (7, 7), (2, 8), (8, 2), (9, 3)):
        for stride in (1, 2, 3):
            window(cases, rng, (9, 10), int(rng.choice([5, 18])), None, kernel, stride)


def gaps(cases: Cases, rng: Rng) -> None:
    """Windows with gaps: by tiles with scratch, or pixel by pixel; larger ones only the latter."""
    for kernel, depth in (((3, 3), 16), ((3, 3), 21), ((3, 2), 5), ((5, 5), 18)):
        for dilation in (2, 3):
            window(cases, rng, (9, 11), depth, None, kernel, dilation=dilation)


def pixels(cases: Cases, rng: Rng) -> None:
    """Channels by sixteens, some that are left, and several outputs of each; a tall filter."""
    for depth in (16, 31, 48):
        for activation in ("NONE", "RELU", "RELU6"):
            window(cases, rng, (3, 4), depth, None, (3, 3), 2, activation)
            window(cases, rng, (4, 5), depth, None, (5, 3), 1, activation)
    window(cases, rng, (18, 3), 16, None, (17, 2))
    for depth, multiplier in ((1, 2), (1, 16), (3, 3), (5, 7), (2, 8), (3, 9), (2, 20)):
        window(cases, rng, (4, 5), depth, None, (3, 3), 1, multiplier=multiplier)


SHAPES: dict[str, Callable[[Cases, Rng], None]] = {
    "lines": lines,
    "strided pixels": strided_pixels,
    "windows": windows,
    "pairs": pairs,
    "tiles": tiles,
    "gaps": gaps,
    "pixels": pixels,
}


def scratch_of(g: Graph, which: str) -> codegen.Kernels:
    """No scratch, or the least or the most that is of use, for each op."""
    sizes: dict[Tensor, int] = {}
    for op in g.ops:
        form, weights = rooms.form(op), rooms.key(op)
        if form is None or weights is None or which == "none":
            continue
        found = sorted(size for size in form.sizes() if size >= form.least)
        if found:
            sizes[weights] = found[0 if which == "least" else -1]
    return codegen.Kernels(sizes)


def shaped() -> Battery:
    rng = np.random.default_rng(55)
    cases = Cases()
    for draw in SHAPES.values():
        draw(cases, rng)
    return Battery.of(cases.graph(), cases.samples(2, seed=55))


def test_shapes_that_are_treated_apart(tmp_path: Path) -> None:
    battery = shaped()
    for which in ("none", "least", "most"):
        kernels = scratch_of(battery.graph, which)
        battery.check(boards.get(BOARD), tmp_path / which, layout(battery.graph, kernels))


DRAWN: Mapping[str, Callable[[Cases, Rng], object]] = {
    "pointwise": lambda c, r: add_convolution(c, r, kernel=(1, 1)),
    "convolution": add_convolution,
    "depthwise": lambda c, r: add_convolution(c, r, depthwise=True),
    "depthwise 3x3": lambda c, r: add_convolution(c, r, depthwise=True, kernel=(3, 3)),
    "fully connected": add_fully_connected,
    "add": lambda c, r: add_pair(c, r, "ADD", (1, 5, 7, 3), (1, 5, 7, 3)),
    "mul": lambda c, r: add_pair(c, r, "MUL", (1, 3, 5, 7), (1, 3, 5, 7)),
}


def overlapping() -> Battery:
    rng = np.random.default_rng(56)
    cases = Cases()
    for draw in DRAWN.values():
        for _ in range(10):
            draw(cases, rng)
    for size in ((6, 6), (9, 5)):  # where blocks matter: more than one of them
        for depth, out in ((7, 5), (16, 16), (20, 24)):
            window(cases, rng, size, depth, out, (1, 1))
            window(cases, rng, size, depth, out, (3, 3))
        window(cases, rng, size, 18, None, (3, 3))
        window(cases, rng, size, 18, None, (5, 5))
    return Battery.of(cases.graph(), cases.samples(2, seed=56))


def squeezed(g: Graph, kernels: codegen.Kernels) -> tuple[Layout, int]:
    """Each op's output as close below its first input as its blocks allow; how many overlap."""
    apart = layout(g, kernels)
    offsets = dict(apart.offsets)
    end, close = apart.peak, 0
    for op in g.ops:
        position, source = movable(op)
        block = kernels.access(op)
        gap = None if block is None else safe_distance(op, position, block=block)
        if gap is not None:
            close += gap < op.output.nbytes
            offsets[op.output] = end
            offsets[source] = end + gap
            end += gap + source.nbytes + op.output.nbytes
    return replace(apart, offsets=offsets, peak=end), close


def movable(op: Op) -> tuple[int, Tensor]:
    """The first input that is no constant."""
    return next((i, t) for i, t in enumerate(op.inputs) if t is not None and not t.constant)


def test_outputs_at_the_least_distance_below_inputs(tmp_path: Path) -> None:
    battery = overlapping()
    for which in ("none", "least", "most"):
        plan, close = squeezed(battery.graph, scratch_of(battery.graph, which))
        assert close > len(battery.graph.ops) // 2
        battery.check(boards.get(BOARD), tmp_path / which, plan)
