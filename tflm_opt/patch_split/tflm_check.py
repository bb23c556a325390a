"""The checker of plans inside files for stock TFLM: runs a file on paper, byte by byte.

Every byte of the arena has a number that is new with each write, but for copies to where the byte
is already, and every tensor remembers the numbers that its bytes had when it was written. Ops are
walked in the order in which TFLM runs them, calls included, and whatever an op reads must still
have the numbers of the tensor that it reads. It knows nothing of stages, windows or lifetimes, only
of the file and of what each op reads: `SLICE` some rows, all others everything.

What one op reads and writes may share bytes only where TFLM's kernels and CMSIS-NN's allow it:
elementwise in place, and copies whose bytes stay where they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import prod

import numpy as np

from ..arena.lifetimes import TFLM_VIEWS
from ..arena.offline import AT_RUN_TIME, read
from ..arena.overlap import in_place_in_tflm
from ..graph import tensor_order
from ..graph.ir import Graph, Op, Tensor


def violations(graph: Graph) -> tuple[str, ...]:
    """What is wrong with the plan inside a file, one sentence a broken rule.

    Example:
        >>> violations(graph.read(tflite))
        ()

    Args:
        graph: as read from a file, subgraphs and the plan in its metadata included.
    """
    plan = read(graph)
    if plan is None:
        return ("there is no plan",)
    graphs = (graph, *graph.model.subgraphs)
    every = [tensor for g in graphs for tensor in tensor_order(g)]
    if len(every) != len(plan.offsets):
        return (f"the plan is for {len(plan.offsets)} tensors, the file has {len(every)}",)
    return _Walk(graphs, dict(zip(every, plan.offsets, strict=True))).run()


@dataclass(slots=True)
class _Walk:
    """One run; lives for one call of `violations`."""

    graphs: tuple[Graph, ...]
    offsets: dict[Tensor, int]
    contents: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    written: dict[Tensor, np.ndarray] = field(default_factory=dict)
    writes: int = 0
    found: list[str] = field(default_factory=list)

    def run(self) -> tuple[str, ...]:
        top = 0
        for tensor, offset in self.offsets.items():
            if tensor.data is not None or tensor.variable:
                if offset != AT_RUN_TIME:
                    self.found.append(f"{tensor.name!r} is constant, and has an offset")
            elif offset < 0 or offset % 16:
                self.found.append(f"{tensor.name!r} lies at {offset}")
            else:
                top = max(top, offset + tensor.nbytes)
        if self.found:
            return tuple(self.found)
        self.contents = np.full(top, -1, np.int64)
        main = self.graphs[0]
        for tensor in main.inputs:
            self.write(tensor)
        self.ops(main)
        for tensor in main.outputs:
            self.expect(tensor, "at the end")
        return tuple(self.found)

    def ops(self, graph: Graph) -> None:
        for op in graph.ops:
            where = f"by {op.kind} {op.outputs[0].name!r}"
            if op.kind == "IF":
                self.call(op, where)
                continue
            for tensor in op.inputs:
                if tensor is not None and tensor.data is None:
                    self.expect(tensor, where, *_rows(op, tensor))
            if op.kind == "MINIMUM" and not _read_alike(op):
                self.found.append(f"CMSIS-NN reads other values of its mask, {where}")
            for out in op.outputs:
                self.apart(op, out, where)
            for out in op.outputs:
                self.write(out, _copied(op) if out is op.outputs[0] else ())

    def call(self, op: Op, where: str) -> None:
        """`IF` with a constant condition: copies in, the subgraph, copies out."""
        table = getattr(op.options, "table", None)
        condition = op.inputs[0]
        if table is None or condition is None or condition.data is None:
            self.found.append(f"an IF that is no call, {where}")
            return
        taken = table.thenSubgraphIndex if condition.data.all() else table.elseSubgraphIndex
        body = self.graphs[taken]
        for outer, inner in zip(op.inputs[1:], body.inputs, strict=True):
            if outer is not None and outer.data is None:
                self.expect(outer, where)
                self.copy(outer, inner, where)
                self.write(inner, ((outer, 0, 0),))
            else:
                self.write(inner)
        self.ops(body)
        for outer, inner in zip(op.outputs, body.outputs, strict=True):
            self.expect(inner, where)
            self.copy(inner, outer, where)
            self.write(outer, ((inner, 0, 0),))

    def copy(self, source: Tensor, target: Tensor, where: str) -> None:
        apart = abs(self.offsets[source] - self.offsets[target])
        if 0 < apart < max(source.nbytes, target.nbytes):
            self.found.append(f"{source.name!r} is copied onto itself, {where}")

    def apart(self, op: Op, out: Tensor, where: str) -> None:
        """Whether the op may write `out` while it reads its inputs."""
        begin, end = self.offsets[out], self.offsets[out] + out.nbytes
        stays = 0
        for position, tensor in enumerate(op.inputs):
            if tensor is None or tensor.data is not None or tensor.variable:
                continue
            first, size = _rows(op, tensor)
            low = self.offsets[tensor] + first
            if op.kind == "CONCATENATION" and _by_rows(op):
                in_place = low == begin + stays
                stays += tensor.nbytes
            elif op.kind == "SLICE" or op.kind in TFLM_VIEWS:
                in_place = low == begin
            else:
                in_place = low >= begin and _elementwise(op, position)
            if low < end and begin < low + size and not in_place:
                self.found.append(f"{out.name!r} is written over {tensor.name!r}, {where}")

    def write(self, tensor: Tensor, copied: Iterable[tuple[Tensor, int, int]] = ()) -> None:
        """`copied` as `_copied` says: bytes that don't change if they are there already."""
        if tensor.variable:
            return
        begin = self.offsets[tensor]
        changes = np.ones(tensor.nbytes, bool)
        for source, first, to in copied:
            if source in self.offsets and self.offsets[source] + first == begin + to:
                changes[to : to + source.nbytes - first] = False
        self.writes += 1
        held = self.contents[begin : begin + tensor.nbytes]
        held[changes] = self.writes
        self.written[tensor] = held.copy()

    def expect(self, tensor: Tensor, where: str, first: int = 0, size: int = -1) -> None:
        if tensor.variable:
            return
        begin = self.offsets[tensor] + first
        size = tensor.nbytes - first if size < 0 else size
        held = self.contents[begin : begin + size]
        written = self.written.get(tensor)
        lost = size if written is None else int((held != written[first : first + size]).sum())
        if lost:
            self.found.append(f"{lost} of {held.size} bytes of {tensor.name!r} are lost, {where}")


def _rows(op: Op, tensor: Tensor) -> tuple[int, int]:
    """First byte and bytes that the op reads of an input."""
    whole = (0, tensor.nbytes)
    if op.kind != "SLICE" or tensor is not op.inputs[0] or len(tensor.shape) != 4:
        return whole
    begin, size = (t.data if t is not None else None for t in op.inputs[1:3])
    if begin is None or size is None or tuple(size[2:]) != tensor.shape[2:]:
        return whole
    row = tensor.nbytes // tensor.shape[1]
    return int(begin[1]) * row, int(size[1]) * row


def _copied(op: Op) -> Iterator[tuple[Tensor, int, int]]:
    """(input, its first byte that the output holds, that byte's place there), of ops that copy."""
    place = 0
    for tensor in op.inputs:
        if tensor is None or tensor.data is not None or tensor.variable:
            place += 0 if tensor is None else tensor.nbytes
        elif op.kind == "CONCATENATION" and _by_rows(op):
            yield tensor, 0, place
            place += tensor.nbytes
        elif op.kind in TFLM_VIEWS or (op.kind == "SLICE" and tensor is op.inputs[0]):
            first, size = _rows(op, tensor)
            if size == op.output.nbytes:
                yield tensor, first, 0


def _read_alike(op: Op) -> bool:
    """Whether CMSIS-NN's kernel broadcasts as TFLM's: over channels, or a single value.

    `arm_minimum_s8` and `arm_maximum_s8` advance twice at the end of a row that is one value.
    """
    shapes = [t.shape for t in op.inputs if t is not None]
    return 1 in map(prod, shapes) or len({shape[:-1] for shape in shapes}) == 1


def _by_rows(op: Op) -> bool:
    """Whether the inputs of a CONCATENATION lie in its output one behind the other."""
    out = op.output.shape
    axis = getattr(op.options, "axis", 0) % len(out)
    return all(size == 1 for size in out[:axis])


def _elementwise(op: Op, position: int) -> bool:
    if op.kind == "MINIMUM":
        source = op.inputs[position]
        return source is not None and source.shape == op.output.shape
    return in_place_in_tflm(op, position)
