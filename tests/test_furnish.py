"""Scratch for kernels: within the limit, beside all that is alive, and never too near in memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from net_draft import Draft
from small_models import model

from tflm_opt import arena, codegen, graph, passes
from tflm_opt.codegen.rooms import block, form
from tflm_opt.codegen.uses import uses
from tflm_opt.furnish import Furnished, Furnishing, furnish
from tflm_opt.graph.ir import Graph, Op, Tensor
from tflm_opt.graph.options import AddOptions, ConvOptions, Padding, same_padding
from tflm_opt.patch_split.schedule import layer_by_layer
from tflm_opt.patch_split.search import Point

NAMES = ("mlperf_tiny_kws", "mlperf_tiny_ic")


def drawn(seed: int) -> Graph:
    """Convolutions of all kinds in a row, with a sum now and then."""
    draft = Draft(np.random.default_rng(seed))
    rng = draft.rng
    x = first = draft.tensor((1, int(rng.integers(3, 9)), int(rng.integers(3, 9)), 5), 0.1)
    for _ in range(int(rng.integers(2, 6))):
        kind = rng.choice(["pointwise", "convolution", "depthwise", "add"])
        if kind == "add":
            y = draft.tensor(x.shape, 0.2)
            draft.ops.append(Op("ADD", (x, x), (y,), AddOptions()))
        else:
            y = convolved(draft, x, str(kind))
        x = y
    return Graph(tuple(draft.ops), (first,), (x,))


def convolved(draft: Draft, x: Tensor, kind: str) -> Tensor:
    rng = draft.rng
    kernel = 1 if kind == "pointwise" else int(rng.integers(2, 4))
    stride = 1 if kind == "pointwise" else int(rng.integers(1, 3))
    _, height, width, depth = x.shape
    pads = [same_padding(size, kernel, stride) for size in (height, width)]
    rows, columns = -(-height // stride), -(-width // stride)
    options = ConvOptions((stride, stride), Padding(*pads[0], *pads[1]))
    if kind == "depthwise":
        inputs = draft.weighted(x, (1, kernel, kernel, depth), 3, kernel * kernel)
        channels = depth
    else:
        channels = int(rng.integers(1, 20))
        shape = (channels, kernel, kernel, depth)
        inputs = draft.weighted(x, shape, 0, kernel * kernel * depth)
    y = draft.tensor((1, rows, columns, channels), draft.out_scale)
    name = "DEPTHWISE_CONV_2D" if kind == "depthwise" else "CONV_2D"
    draft.ops.append(Op(name, tuple(inputs), (y,), options))
    return y


def planned(g: Graph) -> Point:
    schedule = layer_by_layer(g)
    plan = arena.plan(g, schedule, scratch=codegen.scratch, access=codegen.access)
    return Point(schedule, plan, 0, 0, 0, 0.0, g)


def reads(op: Op, y: int, x: int) -> Iterator[tuple[int, int]]:
    """Pixels of the first input that output pixel (y, x) reads."""
    source = op.inputs[0]
    assert source is not None
    if not isinstance(op.options, ConvOptions):
        yield y, x
        return
    weights = op.inputs[1]
    assert weights is not None
    for i in range(weights.shape[1]):
        for j in range(weights.shape[2]):
            row = y * op.options.stride[0] - op.options.padding.top + i
            column = x * op.options.stride[1] - op.options.padding.left + j
            if 0 <= row < source.shape[1] and 0 <= column < source.shape[2]:
                yield row, column


class Arena:
    """Whose byte every byte of the arena is; running a kernel fails where it reads another's."""

    def __init__(self, found: Furnished) -> None:
        self.found = found
        self.owners: list[object] = [None] * found.plan.peak
        self.offsets = dict(found.plan.offsets)
        for tensor in found.point.graph.inputs:
            self.own(tensor, range(tensor.elements))

    def own(self, tensor: Tensor, elements: range) -> None:
        at = self.offsets[tensor]
        for element in elements:
            self.owners[at + element] = (tensor, element)

    def holds(self, tensor: Tensor, element: int) -> bool:
        return self.owners[self.offsets[tensor] + element] == (tensor, element)

    def run(self, op: Op) -> None:
        """Block by block, at its worst: the scratch is rubbish, and what may be written is written
        before the block's own reads.
        """
        for move in self.found.plan.moves.get(op, ()):
            part = self.owners[move.source : move.source + move.size]
            self.owners[move.target : move.target + move.size] = part
            self.offsets.update(dict.fromkeys(move.tensors, move.target))
        source, out = op.inputs[0], op.output
        assert source is not None
        together = block(op, self.found.sizes.get(op, 0))
        assert together is not None
        _, _, width, channels = out.shape
        at, size = self.found.plan.scratch.get(op, (0, 0))
        for first in range(0, out.elements, together):
            self.owners[at : at + size] = [op] * size
            elements = range(first, min(first + together, out.elements))
            if together > 1:
                self.own(out, elements)
            for pixel in {element // channels for element in elements}:
                for row, column in reads(op, pixel // width, pixel % width):
                    start = (row * source.shape[2] + column) * source.shape[3]
                    for element in range(start, start + source.shape[3]):
                        if op.kind == "CONV_2D" or element % channels in self._channels(
                            elements, pixel, channels
                        ):
                            assert self.holds(source, element), (op, pixel, element)
            self.own(out, elements)

    @staticmethod
    def _channels(elements: range, pixel: int, channels: int) -> range:
        """Channels of a pixel that are among some elements."""
        start = pixel * channels
        return range(max(elements.start - start, 0), min(elements.stop - start, channels))


@pytest.mark.parametrize("seed", range(25))
def test_nothing_is_overwritten_that_is_read_later(seed: int) -> None:
    g = drawn(seed)
    point = planned(g)
    for limit in (point.peak, point.peak * 5 // 4, 3 * point.peak):
        for tier in ("dsp", "mve"):
            found = furnish(point, limit, tier)
            assert found.plan.peak <= max(limit, point.peak)
            assert arena.validate(found.plan.problem, found.plan.places, found.plan.peak) == ()
            assert {op: n for op, (_, n) in found.plan.scratch.items()} == dict(found.sizes)
            memory = Arena(found)
            for op in point.schedule.ops:
                memory.run(op)
            for tensor in g.outputs:
                assert all(memory.holds(tensor, element) for element in range(tensor.elements))


def shared(sizes: list[tuple[int, int]], strides: list[int]) -> Graph:
    """Depthwise convolutions of several images, one after the other, with one filter."""
    draft = Draft(np.random.default_rng(3))
    images = [draft.tensor((1, *size, 8), 0.1, 0) for size in sizes]
    _, filters, bias = draft.weighted(images[0], (1, 3, 3, 8), 3, 9)
    outputs = []
    for image, (height, width), stride in zip(images, sizes, strides, strict=True):
        pads = [same_padding(size, 3, stride) for size in (height, width)]
        shape = (1, -(-height // stride), -(-width // stride), 8)
        outputs.append(draft.tensor(shape, draft.out_scale))
        options = ConvOptions((stride, stride), Padding(*pads[0], *pads[1]))
        draft.ops.append(Op("DEPTHWISE_CONV_2D", (image, filters, bias), (outputs[-1],), options))
    return Graph(tuple(draft.ops), tuple(images), tuple(outputs))


@pytest.mark.parametrize("strides", [[1, 1], [1, 2], [2, 1]])
def test_ops_of_one_filter_get_enough_for_each_or_nothing(strides: list[int]) -> None:
    """Kernels refuse less than they need, and work in other blocks with less than a row's."""
    given = 0
    for widths in ((24, 24), (24, 5), (6, 40)):
        point = planned(shared([(6, width) for width in widths], strides))
        for limit in np.linspace(point.peak, 4 * point.peak, 9).astype(int).tolist():
            for tier in ("dsp", "mve"):
                found = furnish(point, limit, tier)
                given += len(found.sizes)
                for op, size in found.sizes.items():
                    one = form(op)
                    assert one is not None
                    assert size >= one.least
    assert given > 0


def test_less_scratch_than_for_a_row_is_no_smaller_block() -> None:
    op = shared([(6, 24)], [1]).ops[0]
    one = form(op)
    assert one is not None
    assert [one.block(size) for size in (0, one.least - 1, one.least)] == [1, 24 * 8, 24 * 8]


def test_a_plan_that_ignores_blocks_is_caught() -> None:
    """The check above can fail: kernels that need more distance than the plan keeps."""
    caught = 0
    for seed in range(25):
        point = planned(drawn(seed))
        sizes = {use.op: use.sizes("dsp")[-1] for use in uses(point.graph, point.schedule)}
        memory = Arena(Furnished(point, sizes))
        try:
            for op in point.schedule.ops:
                memory.run(op)
        except AssertionError:
            caught += 1
    assert caught > 3


@pytest.mark.parametrize("name", NAMES)
def test_more_memory_is_never_slower(name: str) -> None:
    g = passes.run(graph.read(model(name)), passes.default_pipeline())
    runs = Furnishing(g, "dsp")
    least = runs.found()
    budgets = np.linspace(least.peak, 2 * least.front[0].peak, 4).astype(int).tolist()
    chosen = [runs.found(budget).chosen for budget in budgets]
    assert all(p.peak <= budget for p, budget in zip(chosen, budgets, strict=True))
    work = [point.work for point in (least.chosen, *chosen)]
    assert work == sorted(work, reverse=True)
    assert work[-1] < work[0]
    assert least.peak == codegen_peak(g)


@pytest.mark.parametrize("slowdown", [1.0, 1.1, 1.5])
def test_the_smallest_is_no_slower_than_allowed(slowdown: float) -> None:
    g = passes.run(graph.read(model("mlperf_tiny_kws")), passes.default_pipeline())
    found = Furnishing(g, "dsp", slowdown=slowdown).found()
    fastest = min(point.work for point in found.front)
    assert found.chosen.work <= slowdown * fastest
    enough = [point.peak for point in found.front if point.work <= slowdown * fastest]
    assert found.chosen.peak == min(enough)
    assert found.chosen.peak > codegen_peak(g)


def codegen_peak(g: Graph) -> int:
    """The least arena with kernels that get no scratch."""
    from tflm_opt.patch_split.orders import search

    return search(g, scratch=codegen.scratch, access=codegen.access).peak


def test_without_scratch_of_use_a_plan_stays_as_it_is() -> None:
    draft = Draft(np.random.default_rng(1))
    x, y = draft.tensor((1, 4, 4, 3), 0.1), draft.tensor((1, 4, 4, 3), 0.2)
    g = Graph((Op("ADD", (x, x), (y,), AddOptions()),), (x,), (y,))
    point = planned(g)
    found = furnish(point, 1 << 20, "dsp")
    assert found.sizes == {}
    assert found.plan.scratch == {}
    assert (found.plan.offsets, found.plan.peak) == (point.plan.offsets, point.peak)
