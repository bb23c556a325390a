"""Who owns which byte in stages that make some columns at a time, played pixel by pixel.

The player of `test_streams_memory`, with its pretended arena; the pixels that an op reads are
counted tap by tap, and where they lie follows from the addresses in the plan, as C finds them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
import pytest
from row_nets import RowNet, random_schedule, row_net, with_columns
from test_streams_memory import Lost, Player, planned, rows_read

from tflm_opt.arena.plan import Plan
from tflm_opt.graph.ir import Graph, Op, Tensor
from tflm_opt.graph.options import ConvOptions, PoolOptions
from tflm_opt.patch_split.columns import ColumnWalk, Lines, column_walk
from tflm_opt.patch_split.schedule import Columns, Schedule, Stage
from tflm_opt.patch_split.walk import Walk

NETS = 25
plans = sys.modules["tflm_opt.arena.plan"]  # the package has a function of that name


def columns_read(op: Op, index: int, a: int, b: int) -> tuple[int, int] | None:
    """Input columns that output columns [a, b) read; None: all there are."""
    tensor, options = op.inputs[index], op.options
    assert tensor is not None
    size = tensor.shape[2]
    if isinstance(options, ConvOptions | PoolOptions):
        kernel, dilation = 1, 1
        if isinstance(options, PoolOptions):
            kernel = options.kernel[1]
        elif op.inputs[1] is not None:
            kernel, dilation = op.inputs[1].shape[2], options.dilation[1]
        left, stride = options.padding.left, options.stride[1]
        taps = [i * stride - left + k * dilation for i in range(a, b) for k in range(kernel)]
    elif size == 1 and op.outputs[0].shape[2] != 1:
        return None
    else:
        taps = list(range(a, b))
    inside = [tap for tap in taps if 0 <= tap < size]
    return (min(inside), max(inside) + 1) if inside else (0, 0)


class ColumnPlayer(Player):
    """Plays stages with columns as well. `base` is the row in the first slot of a ring."""

    def __init__(self, graph: Graph, plan: Plan) -> None:
        super().__init__(graph, plan)
        self.base: dict[Tensor, int] = {}
        self.at = (0, 0)
        self.parts: ColumnWalk | None = None

    def stage(self, walk: Walk) -> None:
        if walk.stage.columns is None:
            super().stage(walk)
            return
        self.parts = column_walk(walk)
        self.base.clear()
        if self.parts.kept:
            for step in range(walk.steps):
                self.rows_of_source(walk, step)
                for part in range(self.parts.parts):
                    self.at = step, part
                    self.ops(walk)
                    self.shifts(walk)
            return
        for part in range(self.parts.parts):
            self.base.clear()
            for step in range(walk.steps):
                self.at = step, part
                self.ops(walk)

    def rows_of_source(self, walk: Walk, step: int) -> None:
        if walk.source is not None:
            self.at = step, 0
            for y in range(*map(int, walk.made[walk.source][step : step + 2])):
                self.write_pixels(walk.source, y, 0, walk.source.shape[2])

    def ops(self, walk: Walk) -> None:
        assert self.parts is not None
        step, part = self.at
        for op in walk.stage.ops:
            a, b = map(int, self.parts.made[op.outputs[0]][part])
            for y in range(*walk.rows(op, step)) if a < b else ():
                for index, tensor in enumerate(op.inputs):
                    if tensor is not None and tensor.data is None:
                        self.read_window(op, index, tensor, (y, a, b))
                for tensor in op.outputs:
                    self.write_pixels(tensor, y, a, b)

    def read_window(self, op: Op, index: int, tensor: Tensor, span: tuple[int, int, int]) -> None:
        y, a, b = span
        try:
            rows = rows_read(op, index, y, y + 1)
        except ValueError:  # all of the window is padding
            return
        columns = columns_read(op, index, a, b)
        if rows is None or columns is None:
            self.bytes.read(tensor, 0, tensor.nbytes, self.offsets[tensor])
            return
        pixel = tensor.nbytes // (tensor.shape[1] * tensor.shape[2])
        dilation = op.options.dilation[0] if isinstance(op.options, ConvOptions) else 1
        for row in range(rows[0], rows[1], dilation):
            for x in range(*columns):
                first = (row * tensor.shape[2] + x) * pixel
                self.bytes.read(tensor, first, pixel, self.place(tensor, row, x))

    def write_pixels(self, tensor: Tensor, y: int, a: int, b: int) -> None:
        pixel = tensor.nbytes // (tensor.shape[1] * tensor.shape[2])
        lines = self.lines(tensor)
        if lines is not None and not lines.front_rows:
            while y - self.base.setdefault(tensor, 0) >= lines.ring_rows:
                self.base[tensor] += lines.ring_rows
        for x in range(a, b):
            first = (y * tensor.shape[2] + x) * pixel
            self.bytes.write(tensor, first, pixel, self.place(tensor, y, x))

    def lines(self, tensor: Tensor) -> Lines | None:
        assert self.parts is not None
        return self.parts.lines.get(tensor)

    def place(self, tensor: Tensor, y: int, x: int) -> int:
        assert self.parts is not None
        lines, (step, part) = self.lines(tensor), self.at
        if lines is None:
            pixel = tensor.nbytes // (tensor.shape[1] * tensor.shape[2])
            return self.offsets[tensor] + (y * tensor.shape[2] + x) * pixel
        fresh = int(self.parts.walk.made[tensor][step])
        if lines.front_rows and y >= fresh:
            x -= int(self.parts.lowest[tensor][part])
            assert 0 <= x < lines.front_columns
            at = ((y - fresh) * lines.front_columns + x) * lines.pixel
            return self.plan.fronts[tensor] + at
        strips = not self.parts.kept and tensor is not self.parts.walk.source
        x -= int(self.parts.made[tensor][part, 0]) if strips else 0
        assert 0 <= x < lines.ring_columns
        return self.offsets[tensor] + (self.slot(tensor, y) * lines.ring_columns + x) * lines.pixel

    def slot(self, tensor: Tensor, y: int) -> int:
        lines = self.lines(tensor)
        assert lines is not None
        return (y - self.base.get(tensor, 0)) % lines.ring_rows

    def shifts(self, walk: Walk) -> None:
        """Columns that are done with go to the ring, and the others to the front's beginning."""
        assert self.parts is not None
        step, part = self.at
        for tensor, lowest in self.parts.lowest.items():
            lines = self.parts.lines[tensor]
            a, b = map(int, walk.made[tensor][step : step + 2])
            low, after = int(lowest[part]), int(lowest[part + 1])
            made = int(self.parts.made[tensor][part, 1])
            if not lines.ring_rows and not lines.columns_kept:
                continue
            for y in range(a, b):
                row = self.plan.fronts[tensor] + (y - a) * lines.front_columns * lines.pixel
                gone = (after - low) * lines.pixel
                if y >= b - lines.ring_rows:
                    ring = self.slot(tensor, y) * lines.ring_columns + low
                    self.bytes.move(row, self.offsets[tensor] + ring * lines.pixel, gone)
                self.bytes.move(row + gone, row, (made - after) * lines.pixel)


@pytest.mark.parametrize("chunk", range(3))
def test_no_byte_is_lost(chunk: int) -> None:
    stages = over = 0
    for seed in range(NETS):
        rng = np.random.default_rng([chunk, seed, 8])
        graph = row_net(rng)
        schedule = with_columns(graph, random_schedule(graph, rng), rng)
        plan = planned(graph, schedule)
        stages += sum(stage.columns is not None for stage in schedule.stages)
        over += sum(
            plan.places[source] < plan.places[out] + plan.problem.buffers[out].size
            and plan.places[out] < plan.places[source] + plan.problem.buffers[source].size
            for out, source in plan.problem.overlaps
        )
        ColumnPlayer(graph, plan).play()
    assert stages > NETS
    assert over > NETS // 2  # else nothing was tested


def test_rows_of_a_streamed_input_stay_for_all_parts_of_a_step() -> None:
    """Where no row is kept for the next step, what comes later in a part may not take its place."""
    net = RowNet(np.random.default_rng(2))
    net.input = x = net.tensor((1, 12, 9, 4), 0.02)
    y = net.add("TANH", [x], net.tensor(x.shape, 1 / 128, 0))
    for _ in range(4):
        inputs = net.weighted(y, (4, 1, 1, 4), 0, 4)
        y = net.add("CONV_2D", inputs, net.tensor(x.shape, net.out_scale), ConvOptions())
    g = Graph(tuple(net.ops), (x,), (y,))
    for width in (1, 2, 4):
        stage = Stage(g.ops, 1, Columns(width))
        ColumnPlayer(g, planned(g, Schedule((stage,), "streamed"))).play()


def test_distances_are_no_larger_than_they_must_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """With all of them 48 bytes shorter, bytes are lost: so the player sees what they are for."""
    lost = 0
    right = plans.column_distance

    def shorter(columns: ColumnWalk, target: Tensor, sources: Sequence[Tensor]) -> int | None:
        found = right(columns, target, sources)
        return None if found is None else found - 48

    monkeypatch.setattr(plans, "column_distance", shorter)
    for seed in range(NETS):
        rng = np.random.default_rng([1, seed, 8])
        graph = row_net(rng)
        plan = planned(graph, with_columns(graph, random_schedule(graph, rng), rng))
        try:
            ColumnPlayer(graph, plan).play()
        except Lost:
            lost += 1
    assert lost > NETS // 4
