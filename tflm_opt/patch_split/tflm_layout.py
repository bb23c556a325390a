"""Where every tensor of a banded graph lies: one offset a tensor, for all subgraphs together.

All calls of a body use the same addresses, so a stage is planned as if there were one call:

    step      parts    windows   body …             copy      join
    x        |########################################|         until the last window is cut
    part     |####|                                             only at the image's edges
    window         |######|                                     until the body has read it
    inner                   |####|   |####|                     as in any graph
    result   |################################################  bands go where they stay

The result is alive from the start, since every call adds a band to it; the window of each call
is gone before the next is cut, and each is alive for as long as any call needs it. So the plan
holds for every call, and for the result's bands from one call to the next.

The result may lie over rows of `x` that no later window reads: call j writes rows [j b, j b + b)
when the windows of calls 0..j have been cut, so the end of these rows must not lie behind the
start of window j + 1 (and the other way round where bands are made upwards). That is a safe
distance in `arena`'s sense. Windows are copies, and kernels
read and write nothing that overlaps, so this holds for any kernels, CMSIS-NN's included.

Scratch is placed by TFLM, around the plan: in a body it is alive from the first call to the
last, for TFLM as long as the body's tensors are, so it may lie over nothing that the stage uses.

What is joined without being moved (bands in a result, a window that is the body's input, kept
rows and new ones) lies at the same address on both sides; TFLM then copies nothing, or each byte
to itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from ..arena import solve
from ..arena.lifetimes import TFLM_VIEWS
from ..arena.offline import AT_RUN_TIME, NAME, encode
from ..arena.overlap import in_place_in_tflm
from ..arena.problem import Buffer, Problem, Solution, align_up
from ..arena.tflm_scratch import REFERENCE, tflm_scratch
from ..graph import tensor_order
from ..graph.ir import Graph, Op, Tensor
from .tflm_banded import Banded
from .tflm_bands import Body, Piece
from .tflm_calls import Stage
from .tflm_joins import Join, joins

ALIGNMENT = 16


@dataclass(slots=True)
class _Slot:
    """A buffer in the making: size in bytes, first and last step (both included)."""

    name: str
    size: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Layout:
    """The plan.

    Attributes:
        offsets: bytes from the start of TFLM's head, of every tensor that is not constant.
        peak: bytes of head.
        bound: bytes that no plan of these buffers is below.
        problem: what was solved.
    """

    offsets: dict[Tensor, int]
    peak: int
    bound: int
    problem: Problem


def layout(
    banded: Banded, *, kernels: str = REFERENCE, seed: int = 0, work: int | None = None
) -> Layout:
    """Plan a banded graph.

    Example:
        >>> layout(banded(g, [body(g.ops[:6], band=2)])).peak

    Args:
        banded: its main graph must be one that TFLite can express (see `passes.Legalize`).
        kernels: whose scratch to leave room for, one of `arena.tflm_scratch.KERNELS`.
        seed: of the planner's search.
        work: how much the planner may search; its default if None.
    """
    timeline = _Timeline(banded, kernels)
    timeline.walk()
    problem = timeline.problem()
    found: Solution = (
        solve(problem, seed=seed) if work is None else solve(problem, seed=seed, work=work)
    )
    offsets = {
        tensor: found.offsets[slot] + away for tensor, (slot, away) in timeline.places.items()
    }
    return Layout(offsets, found.peak, found.bound, problem)


def attach(graph: Graph, offsets: dict[Tensor, int]) -> Graph:
    """The graph with the offsets in its metadata, as `arena.offline` writes them."""
    graphs = (graph, *graph.model.subgraphs)
    every = [offsets.get(t, AT_RUN_TIME) for g in graphs for t in tensor_order(g)]
    kept = tuple(row for row in graph.model.metadata if row[0] != NAME)
    rows = (*kept, (NAME, encode(every, len(graphs))))
    return replace(graph, model=replace(graph.model, metadata=rows))


@dataclass(slots=True)
class _Timeline:
    """Slots, and which tensors lie in them; lives for one call of `layout`."""

    banded: Banded
    kernels: str
    step: int = 0
    slots: list[_Slot] = field(default_factory=list)
    places: dict[Tensor, tuple[int, int]] = field(default_factory=dict)
    overlaps: dict[tuple[int, int], int] = field(default_factory=dict)
    # (out, in, step): in place if `in` is read for the last time at this step.
    wishes: list[tuple[int, int, int, int]] = field(default_factory=list)

    # The same for a stage's input, in either order.
    covers: list[tuple[tuple[int, int], int, int, int]] = field(default_factory=list)

    def walk(self) -> None:
        graph = self.banded.graph
        starts = {stage.ops[0]: stage for stage in self.banded.stages}
        inside = {op for stage in self.banded.stages for op in stage.ops}
        for tensor in graph.inputs:
            self.write(tensor)
        for op in graph.ops:
            if op in starts:
                self.stage(starts[op])
            elif op not in inside:
                self.op(op)
        self.step += 1
        for tensor in graph.outputs:
            self.read(tensor)
        self.idle(graph)

    def problem(self) -> Problem:
        for pair, source, step, distance in self.covers:
            if self.slots[source].last == step:
                self.overlaps[pair] = distance
        for out, source, step, distance in self.wishes:
            done = self.slots[source].last == step
            if out != source and done and (source, out) not in self.overlaps:
                known = self.overlaps.get((out, source), 0)
                self.overlaps[out, source] = max(known, distance)
        buffers = tuple(
            Buffer(s.name, align_up(s.size, ALIGNMENT), s.first, s.last + 1) for s in self.slots
        )
        return Problem(buffers, ALIGNMENT, self.overlaps)

    # Slots.

    def slot(self, name: str, size: int) -> int:
        self.slots.append(_Slot(name, size, self.step, self.step))
        return len(self.slots) - 1

    def write(self, tensor: Tensor) -> None:
        if tensor.data is None and not tensor.variable and tensor not in self.places:
            self.places[tensor] = (self.slot(tensor.name, tensor.nbytes), 0)

    def read(self, tensor: Tensor | None) -> None:
        if tensor in self.places:
            self.touch(self.places[tensor][0])

    def touch(self, slot: int) -> None:
        self.slots[slot].last = max(self.slots[slot].last, self.step)

    def idle(self, graph: Graph) -> None:
        """Tensors that the file lists and nothing uses; TFLM gives them memory too."""
        for tensor in tensor_order(graph):
            if tensor.data is None and not tensor.variable and tensor not in self.places:
                self.places[tensor] = (self.slot(tensor.name, tensor.nbytes), 0)

    # Ops outside stages.

    def op(self, op: Op) -> None:
        self.step += 1
        source = op.inputs[0] if op.inputs else None
        for tensor in op.inputs:
            self.read(tensor)
        if op.kind in TFLM_VIEWS and source in self.places and source.nbytes == op.output.nbytes:
            self.places[op.output] = self.places[source]
            return
        for tensor in op.outputs:
            self.write(tensor)
        self.in_place(op)
        scratch = tflm_scratch(op, self.kernels)
        if scratch:
            self.slot(f"scratch of {op.kind}", scratch)

    def in_place(self, op: Op) -> None:
        out = self.places[op.outputs[0]][0] if op.outputs[0] in self.places else None
        for position, tensor in enumerate(op.inputs):
            masked = op.kind == "MINIMUM" and tensor is not None and tensor.shape == op.output.shape
            # A place that is in use already holds more than the output: see `tflm_joins`.
            if out is None or tensor not in self.places or self.slots[out].first < self.step:
                continue
            if masked or in_place_in_tflm(op, position):
                slot, away = self.places[tensor]
                distance = max(0, self.places[op.outputs[0]][1] - away)
                self.wishes.append((out, slot, self.step, distance))

    # Stages.

    def stage(self, stage: Stage) -> None:
        self.step += 1
        begin = self.step
        joined = self.joined(stage)
        if stage.graph is None:
            self.copies(stage, joined)
            return
        self.keep(stage)
        self.parts(stage)
        self.windows(stage)
        for step, op in zip(stage.body.steps, stage.graph.ops, strict=True):
            self.step += 1
            for piece in step.inputs:
                self.read(stage.places[piece])
            for tensor in op.inputs:
                self.read(tensor)
            self.write(stage.places[step.output])
            self.in_place(op)
        self.copy(stage, joined)
        self.scratch(stage.graph, begin)

    def scratch(self, body: Graph, begin: int) -> None:
        """One hole for the scratch of all ops of the body, as long as the stage runs."""
        size = sum(tflm_scratch(op, self.kernels) for op in body.ops)
        if size:
            self.slots.append(_Slot(f"scratch of {body.name}", size, begin, self.step))

    def copies(self, stage: Stage, joined: bool) -> None:
        """Ops as in any graph, but for bands, whose places are known."""
        bands = {tensor for tensor, _ in stage.bands}
        for op in stage.ops:
            if op.output in bands and op.output in self.places:
                self.step += 1
                for tensor in (*op.inputs, op.output):
                    self.read(tensor)
                scratch = tflm_scratch(op, self.kernels)
                if scratch:
                    self.slot(f"scratch of {op.kind}", scratch)
            else:
                self.op(op)
        if joined:
            self.over(stage)

    def joined(self, stage: Stage) -> bool:
        """Give the result and its bands their places; False if bands must lie apart from it."""
        result = stage.result
        row = result.nbytes // result.shape[1]
        fits = stage.body.band * row % ALIGNMENT == 0
        if fits:
            self.write(result)
        for tensor, first in stage.bands:
            if tensor in self.places:
                continue
            if fits:
                self.places[tensor] = (self.places[result][0], first * row)
            elif tensor is not result:
                self.write(tensor)
        return fits

    def keep(self, stage: Stage) -> None:
        """One place for what a call returns and the next one gets, as long as the stage runs."""
        for kept, tensors in zip(stage.body.kept, stage.kept, strict=True):
            after = stage.places[kept.after]
            self.write(after)
            self.places.update(dict.fromkeys(tensors, self.places[after]))

    def parts(self, stage: Stage) -> None:
        for window in stage.windows:
            if window.parts:
                size = max(part.nbytes for part in window.parts)
                slot = self.slot(f"part of {window.piece.tensor.name}", size)
                self.places.update({part: (slot, 0) for part in window.parts})

    def windows(self, stage: Stage) -> None:
        begins = {join.line[0]: join for join in joins(stage.body)}
        for window in stage.windows:
            self.step += 1
            source = window.piece.tensor
            self.read(source)
            for part in window.parts:
                self.read(part)
            if window.piece in begins:
                self.join(stage, begins.pop(window.piece))
            self.write(window.inner)
            for tensor in window.tensors:
                if tensor is not source:
                    self.places[tensor] = self.places[window.inner]
        self.enter(stage, begins.values())

    def enter(self, stage: Stage, begins: Iterable[Join]) -> None:
        """The step at which a call's inputs are copied to where its body reads them."""
        self.step += 1
        for window in stage.windows:
            self.read(window.inner)
        for mask in stage.masks:
            self.write(mask)
        for join in begins:
            self.join(stage, join)
        for kept in stage.body.kept:
            self.write(stage.places[kept.held])

    def join(self, stage: Stage, join: Join) -> None:
        """One place for joined rows, the kept ones, and all that the new ones are made of."""
        whole = stage.places[join.kept.whole]
        self.write(whole)
        slot = self.places[whole][0]
        self.places[stage.places[join.kept.held]] = (slot, join.held)
        self.places.update({stage.places[piece]: (slot, join.fresh) for piece in join.line})

    def copy(self, stage: Stage, joined: bool) -> None:
        self.step += 1
        result, body = stage.result, stage.places[stage.body.result]
        self.read(body)
        for kept in stage.body.kept:
            self.read(stage.places[kept.after])
        if stage.last is not None:
            self.places[stage.last] = self.places[body]
        for tensor, _ in stage.bands:
            self.read(tensor)
        for window in stage.windows:
            self.read(window.piece.tensor)
        if joined:
            self.over(stage)
            return
        self.step += 1
        self.write(result)
        for tensor, _ in stage.bands:
            self.read(tensor)

    def over(self, stage: Stage) -> None:
        """Let the result lie over rows of the stage's inputs that no later window reads."""
        out = self.places[stage.result][0]
        for window in stage.windows:
            source = window.piece.tensor
            slot, away = self.places[source]
            # A copy's first op may read the input itself, while it writes the result.
            direct = stage.graph is None and source in window.tensors
            if slot != out and not away and not direct:
                pair = (slot, out) if stage.body.upwards else (out, slot)
                last = self.slots[slot].last
                self.covers.append((pair, slot, last, safe_distance(stage.body, window.piece)))


def safe_distance(made: Body, piece: Piece) -> int:
    """Bytes between a stage's result and an input, so that the one may lie over the other.

    Downwards, the result must begin at least so far below the input: what the calls have
    written must not reach what later windows read. Upwards, so far above it.
    """
    source, span, result = piece.tensor, piece.span, made.ops[-1].output
    row, size = source.nbytes // source.shape[1], made.band * result.nbytes // result.shape[1]
    apart = [0]
    for number in range(made.bands - 1):
        if made.upwards:  # band number + 1 is there, and window `number` is still to be cut
            stop = min(source.shape[1], number * span.step + span.hi)
            apart.append(stop * row - (number + 1) * size)
        else:  # and the other way round
            start = max(0, (number + 1) * span.step + span.lo)
            apart.append((number + 1) * size - start * row)
    return max(apart)
