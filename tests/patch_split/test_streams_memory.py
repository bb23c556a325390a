"""Who owns which byte: a plan of stages played through, row by row, without any kernel.

Every byte of a pretended arena holds which byte of which tensor was written there last. Reads must
find what they ask for. The rows that a step reads are counted tap by tap here, and where rows lie
follows from the addresses in the plan and the windows' starts; safe distances play no part.
"""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from math import ceil, floor

import numpy as np
import pytest
from row_nets import (
    STEPS,
    STRETCHING,
    RowNet,
    pooled_net,
    pooled_schedules,
    random_schedule,
    row_net,
)

from tflm_opt import arena, codegen
from tflm_opt.arena.plan import Plan
from tflm_opt.graph.ir import Graph, Op, Tensor
from tflm_opt.graph.options import (
    ConvOptions,
    Padding,
    PoolOptions,
    ResizeBilinearOptions,
    ResizeNearestNeighborOptions,
    TransposeConvOptions,
)
from tflm_opt.patch_split.regions import sum_reaches
from tflm_opt.patch_split.schedule import Schedule, Stage
from tflm_opt.patch_split.walk import Walk, row_bytes, walk, walks


class Lost(Exception):
    """A byte was overwritten before its last reader was done."""


class Bytes:
    """An arena of owners."""

    def __init__(self, size: int) -> None:
        self.tensor = np.full(size, -1, np.int64)
        self.index = np.zeros(size, np.int64)
        self.names: dict[Tensor, int] = {}

    def write(self, tensor: Tensor, first: int, count: int, at: int) -> None:
        self.tensor[at : at + count] = self.names.setdefault(tensor, len(self.names))
        self.index[at : at + count] = np.arange(first, first + count)

    def read(self, tensor: Tensor, first: int, count: int, at: int) -> None:
        held = self.tensor[at : at + count] == self.names.get(tensor, -2)
        right = self.index[at : at + count] == np.arange(first, first + count)
        if not (held & right).all():
            raise Lost(f"{tensor.name} at {at}")

    def move(self, source: int, target: int, count: int) -> None:
        for row in (self.tensor, self.index):
            row[target : target + count] = row[source : source + count].copy()


def rows_read(op: Op, index: int, a: int, b: int) -> tuple[int, int] | None:
    """Input rows that output rows [a, b) read; None: all there are."""
    tensor = op.inputs[index]
    assert tensor is not None
    size, options = tensor.shape[1], op.options
    if isinstance(options, ConvOptions | PoolOptions):
        kernel, dilation = 1, 1
        if isinstance(options, PoolOptions):
            kernel = options.kernel[0]
        elif op.inputs[1] is not None:
            kernel, dilation = op.inputs[1].shape[1], options.dilation[0]
        top, stride = options.padding.top, options.stride[0]
        taps = [i * stride - top + k * dilation for i in range(a, b) for k in range(kernel)]
    elif op.kind == "PAD":
        widths = op.inputs[1]
        assert widths is not None
        assert widths.data is not None
        taps = [i - int(widths.data[1][0]) for i in range(a, b)]
    elif op.kind == "TRANSPOSE_CONV":
        taps = transposed_rows(op, a, b)
    elif op.kind.startswith("RESIZE"):
        return resized_rows(op, a, b)
    elif size == 1 and op.outputs[0].shape[1] != 1:
        return None
    else:
        taps = list(range(a, b))
    inside = [tap for tap in taps if 0 <= tap < size]
    return min(inside), max(inside) + 1


def transposed_rows(op: Op, a: int, b: int) -> list[int]:
    """Input row r adds to output rows r * stride - top and below, as many as the filter has."""
    filters, source, options = op.inputs[1], op.inputs[2], op.options
    assert filters is not None
    assert source is not None
    assert isinstance(options, TransposeConvOptions)
    first, kernel = -options.padding.top, filters.shape[1]
    return [
        row
        for row in range(source.shape[1])
        if any(a <= first + row * options.stride[0] + k < b for k in range(kernel))
    ]


def resized_rows(op: Op, a: int, b: int) -> tuple[int, int]:
    """By the definition of a resize, in fractions; rounded outwards for bilinear."""
    source, options = op.inputs[0], op.options
    assert source is not None
    assert isinstance(options, ResizeBilinearOptions | ResizeNearestNeighborOptions)
    size, out = source.shape[1], op.output.shape[1]
    corners = options.align_corners and out > 1
    scale = Fraction(size - 1, out - 1) if corners else Fraction(size, out)
    half = Fraction(1, 2) if options.half_pixel_centers else 0
    taps: list[int] = []
    for row in range(a, b):
        if op.kind == "RESIZE_NEAREST_NEIGHBOR":
            place = (row + half) * scale
            taps.append(floor(place + Fraction(1, 2)) if options.align_corners else floor(place))
        else:
            place = (row + half) * scale - half
            taps += [floor(place + Fraction(out, 2048)), ceil(place - Fraction(out, 2048))]
    inside = [min(max(tap, 0), size - 1) for tap in taps]
    return min(inside), max(inside) + 1


class Player:
    def __init__(self, graph: Graph, plan: Plan) -> None:
        self.graph, self.plan = graph, plan
        self.bytes = Bytes(plan.peak)
        self.offsets = dict(plan.offsets)
        self.walks = walks(graph, plan.schedule)
        self.starts: dict[Tensor, int] = {}
        self.sums: dict[Op, Tensor] = {}

    def play(self) -> None:
        for tensor in self.graph.inputs:
            if self.plan.schedule.input == "resident":
                self.bytes.write(tensor, 0, tensor.nbytes, self.offsets[tensor])
        for stage in self.plan.schedule.stages:
            for move in self.plan.moves.get(stage.ops[0], ()):
                self.bytes.move(move.source, move.target, move.size)
                self.offsets.update(dict.fromkeys(move.tensors, move.target))
            if stage.band is None:
                self.whole(stage.ops[0])
            else:
                self.stage(self.walks[stage])
        for tensor in self.graph.outputs:
            self.bytes.read(tensor, 0, tensor.nbytes, self.offsets[tensor])

    def whole(self, op: Op) -> None:
        for tensor in op.inputs:
            if tensor is not None and tensor.data is None:
                self.bytes.read(tensor, 0, tensor.nbytes, self.offsets[tensor])
        for tensor in op.outputs:
            self.bytes.write(tensor, 0, tensor.nbytes, self.offsets[tensor])

    def stage(self, walk: Walk) -> None:
        for step in range(walk.steps):
            if walk.source is not None:
                made = walk.made[walk.source]
                self.make(walk, walk.source, int(made[step]), int(made[step + 1]), step)
            for op in walk.stage.ops:
                a, b = walk.rows(op, step)
                if a == b:
                    continue
                if op is walk.summed:
                    self.sum_rows(walk, op, a, b)
                    continue
                for index, tensor in enumerate(op.inputs):
                    if tensor is not None and tensor.data is None:
                        self.take(walk, tensor, rows_read(op, index, a, b))
                for tensor in op.outputs:
                    self.make(walk, tensor, a, b, step)

    def sum_rows(self, walk: Walk, op: Op, a: int, b: int) -> None:
        """Running sums: there from the first rows to the last."""
        source, (out,) = op.inputs[0], op.outputs
        assert source is not None
        kept = "int8" if "MAX" in op.kind else "int32"
        sums = self.sums.setdefault(op, Tensor("sums", source.shape[3:], kept))
        at, _ = self.plan.scratch[op]
        self.take(walk, source, (a, b))
        if a:
            self.bytes.read(sums, 0, sums.nbytes, at)
        self.bytes.write(sums, 0, sums.nbytes, at)
        if b == source.shape[1]:
            self.bytes.write(out, 0, out.nbytes, self.offsets[out])
            self.bytes.read(sums, 0, sums.nbytes, at)

    def take(self, walk: Walk, tensor: Tensor, rows: tuple[int, int] | None) -> None:
        a, b = rows or (0, tensor.shape[1])
        size, start = row_bytes(tensor), self.starts.get(tensor, 0)
        at = self.offsets[tensor] + (a - start) * size
        if tensor in walk.windows:
            assert start <= a
            assert b - start <= walk.windows[tensor].capacity
        self.bytes.read(tensor, a * size, (b - a) * size, at)

    def make(self, walk: Walk, tensor: Tensor, a: int, b: int, step: int) -> None:
        if a == b:
            return
        size, base = row_bytes(tensor), self.offsets[tensor]
        if tensor in walk.windows:
            window = walk.windows[tensor]
            start = int(window.starts[step])
            before = self.starts.get(tensor, start)
            low = max(start, 0)
            if start != before and a > low:
                self.bytes.move(
                    base + (low - before) * size, base + (low - start) * size, (a - low) * size
                )
            self.starts[tensor] = start
            assert b - start <= window.capacity
            base -= start * size
        self.bytes.write(tensor, a * size, (b - a) * size, base + a * size)


def planned(graph: Graph, schedule: Schedule) -> Plan:
    return arena.plan(graph, schedule, scratch=codegen.scratch, access=codegen.access, seconds=0.05)


@pytest.mark.parametrize("chunk", range(4))
def test_no_byte_is_lost(chunk: int) -> None:
    overlaps = 0
    for seed in range(40):
        rng = np.random.default_rng([chunk, seed, 7])
        graph = row_net(rng, of=STRETCHING if chunk % 2 else STEPS)
        plan = planned(graph, random_schedule(graph, rng))
        overlaps += sum(
            plan.places[source] < plan.places[out] + plan.problem.buffers[out].size
            and plan.places[out] < plan.places[source] + plan.problem.buffers[source].size
            for out, source in plan.problem.overlaps
        )
        Player(graph, plan).play()
    assert overlaps > 40  # else nothing was tested


def test_no_running_sum_is_lost() -> None:
    sums = 0
    for seed in range(40):
        rng = np.random.default_rng([seed, 11])
        graph = pooled_net(rng)
        for schedule in pooled_schedules(graph, rng):
            if sum_reaches(graph.ops[-1]) is None:
                continue
            player = Player(graph, planned(graph, schedule))
            player.play()
            sums += len(player.sums)
    assert sums > 80


def test_a_lost_byte_is_found() -> None:
    """Tensors moved to where they should not be: the player must notice nearly always."""
    noticed = tried = 0
    for seed in range(60):
        rng = np.random.default_rng([seed, 8])
        graph = row_net(rng)
        plan = planned(graph, Schedule(random_schedule(graph, rng).stages))
        tensor = max(plan.offsets, key=lambda t: (plan.offsets[t], t.nbytes))
        if plan.offsets[tensor] == 0 or tensor.nbytes == 0 or plan.moves:
            continue
        broken = dataclasses.replace(plan, offsets={**plan.offsets, tensor: 0})
        tried += 1
        try:
            Player(graph, broken).play()
        except Lost:
            noticed += 1
    assert tried > 20
    assert noticed > tried // 2


def test_a_band_may_be_less_than_a_row() -> None:
    """Behind strides, a fraction keeps the rows of the first op few."""
    net = RowNet(np.random.default_rng(1))
    net.input = net.tensor((1, 32, 4, 3), 0.02)
    x = net.input
    for _ in range(4):
        inputs = net.weighted(x, (3, 3, 1, 3), 0, 9)
        y = net.tensor((1, x.shape[1] // 2, 4, 3), net.out_scale)
        x = net.add("CONV_2D", inputs, y, ConvOptions((2, 1), Padding(0, 1, 0, 0)))
    graph = Graph(tuple(net.ops), (net.input,), (x,))
    few, many = (walk(graph, Stage(graph.ops, band)) for band in (Fraction(1, 4), 1))
    first = graph.ops[0].output
    assert few.steps > many.steps
    assert few.windows[first].capacity == 3
    assert many.windows[first].capacity > 4
