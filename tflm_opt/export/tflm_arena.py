"""The arena that stock TFLM needs on a 32-bit target, for a file and a set of kernels.

TFLM's arena has a *head*, where tensors and scratch are, and a *tail*, what TFLM keeps of the
model. `MicroInterpreter` takes the tail from the arena's end, piece by piece and in a fixed order:

    the allocator, the planner     an eval tensor a tensor       options and state of each op
    records of inputs, outputs     handles of scratch            multipliers and shifts a channel

The head is what TFLM's own allocator reports here (`runtime.tflm`): tensors are as large on every
machine. With others than its reference kernels, ops with their scratch stand in
(`arena.stand_in`). The tail is added up from the sizes of TFLM's records (`tflm_structs`), which
hold pointers. Tests compare the same sums for this 64-bit host with TFLM's figure.

Before a plan is made, the head holds what it is made from. A model of many small tensors needs
more for that than for its tensors, and `arena_used_bytes()` does not show it; it is counted here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from tflm_opt import graph as graphs
from tflm_opt.arena.cmsis_scratch import INSTRUCTIONS
from tflm_opt.arena.problem import align_up
from tflm_opt.arena.stand_in import with_scratch
from tflm_opt.arena.tflm_scratch import KERNELS, REFERENCE, scratch_sizes
from tflm_opt.export import tflm_structs as structs
from tflm_opt.export.tflm_structs import ARM, OTHER_32, WHEEL, Target
from tflm_opt.graph.ir import Graph, Op, Tensor
from tflm_opt.runtime import tflm

ALIGNMENT = 16
LIBRARIES = (REFERENCE, "cmsis_nn", "tflm_opt")


@dataclass(frozen=True, slots=True)
class Needs:
    """Bytes of arena, for one set of kernels on one kind of target.

    Attributes:
        kernels: one of `arena.tflm_scratch.KERNELS`.
        head: tensors and scratch. `planning`: what the plan is made from, in the same place.
        tail: what TFLM keeps. `before`: as much of it as there is when the plan is made.
    """

    kernels: str
    head: int
    tail: int
    planning: int
    before: int

    @property
    def total(self) -> int:
        """The smallest arena in which TFLM starts, a multiple of 16."""
        planned = self.planning + align_up(self.before, ALIGNMENT)
        return align_up(max(self.head + self.tail, planned), ALIGNMENT)


@dataclass(frozen=True, slots=True)
class Arena:
    """What TFLM needs of a file: by core and kernels.

    Attributes:
        needs: on 32-bit cores, by their instructions ("c", "dsp", "mve") and a library of kernels
            ("reference", "cmsis_nn", "tflm_opt").
        host: on this 64-bit computer, with the reference kernels.
        unknown: kinds of ops whose state has no listed size; with any, the tails are those of a
            64-bit computer, which are larger.
    """

    needs: Mapping[tuple[str, str], Needs]
    host: Needs
    unknown: tuple[str, ...] = ()

    def total(self, instructions: str, library: str = "") -> int:
        """Bytes on a core with some instructions, with one library or, by default, with any.

        Example:
            >>> needs.total("dsp"), needs.total("dsp", "cmsis_nn")
        """
        rows = [row for (i, name), row in self.needs.items() if i == instructions]
        return self.needs[instructions, library].total if library else max(r.total for r in rows)


def arena(graph: Graph) -> Arena:
    """The arena of a file for stock TFLM, as `graph.read` reads it: `arena(g).total("dsp")`.

    Raises:
        MissingTool: no wheel `tflite-micro`, whose allocator places tensors.
        ToolFailed: TFLM refuses the model.
    """
    others = [name for name in KERNELS if name != REFERENCE]
    files = [graphs.write(graph), *(graphs.write(with_scratch(graph, k)) for k in others)]
    measured = tflm.allocations_many(files)
    heads = dict(zip((REFERENCE, *others), (one.head for one in measured), strict=True))
    tail = measured[0].tail
    unknown = tuple(sorted({op.kind for g in _all(graph) for op in g.ops} - structs.KNOWN))
    rows = {}
    for instructions in INSTRUCTIONS:
        for library in LIBRARIES:
            kernels = REFERENCE if library == REFERENCE else f"{library}_{instructions}"
            if unknown:
                row = _bound(graph, kernels, heads[kernels], tail)
            else:
                # Other cores than Arm's have neither DSP nor Helium instructions.
                targets = (ARM, OTHER_32) if instructions == "c" else (ARM,)
                found = [
                    needs(graph, kernels, heads[kernels], replace(target, later=True))
                    for target in targets
                ]
                row = max(found, key=lambda one: one.total)
            rows[instructions, library] = row
    return Arena(rows, _bound(graph, REFERENCE, heads[REFERENCE], tail), unknown)


def needs(graph: Graph, kernels: str, head: int, target: Target) -> Needs:
    """What TFLM needs of a graph whose head is known: `needs(g, "reference", 864, ARM).total`.

    Args:
        graph: whose ops are all in `tflm_structs.KNOWN`.
    """
    tail = _Tail(target)
    ops = [op for g in _all(graph) for op in g.ops]
    more = target.wheel
    tail.add(structs.ALLOCATOR + (structs.WRITTEN_DOWN if more else ""))
    tail.add(structs.PLANNER)
    tail.add(structs.MICRO_ALLOCATOR + (structs.WRITTEN_BY_KIND if more else ""))
    tail.add(structs.BUILTIN_ALLOCATOR)
    tail.add(structs.SUBGRAPH + (structs.COMPRESSED if more else ""), len(_all(graph)))
    for g in _all(graph):
        tail.add(structs.EVAL_TENSOR, len(graphs.tensor_order(g)))
    for g in _all(graph):
        tail.add(structs.NODE, len(g.ops))
    for op in ops:
        tail.add(structs.OPTIONS.get(op.kind, ""))
        tail.take(structs.LATER.get(op.kind, 0) if target.later else 0, 1)
    for op in ops:
        tail.take(structs.state(op.kind, kernels, target), ALIGNMENT)
    for op in ops:
        for size in _prepared(op, kernels, target):
            tail.take(size, ALIGNMENT)
    requests = sum(_requests(op, kernels) for op in ops)
    tail.add(structs.HANDLE, requests)
    before = tail.used
    for ports in (graph.inputs, graph.outputs):
        tail.take(target.pointer * len(ports), ALIGNMENT)
        for tensor in ports:
            _port(tail, tensor)
    planning = _planning(graph, requests, target)
    return Needs(kernels, head, tail.used, planning, before)


class _Tail:
    """The arena's end, taken from piece by piece."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.used = 0

    def add(self, fields: str, count: int = 1) -> None:
        """Take `count` records."""
        size, alignment = self.target.layout(fields)
        self.take(size * count, alignment)

    def take(self, size: int, alignment: int) -> None:
        if size:
            self.used = align_up(self.used + size, alignment)


def _all(graph: Graph) -> list[Graph]:
    return [graph, *graph.model.subgraphs]


def _port(tail: _Tail, tensor: Tensor) -> None:
    """The record of an input or output."""
    tail.add(structs.TENSOR)
    if tensor.quant is not None and tensor.quant.scale.size and tensor.quant.zero_point.size:
        tail.add(structs.QUANTIZATION)
        tail.add("i" * (1 + tensor.quant.scale.size))


def _requests(op: Op, kernels: str) -> int:
    """How many buffers of scratch an op asks for; a transposed convolution, even for none."""
    if op.kind == "TRANSPOSE_CONV" and kernels != REFERENCE:
        return 2
    return len(scratch_sizes(op, kernels))


def _prepared(op: Op, kernels: str, target: Target) -> Iterator[int]:
    """Bytes of each piece that an op keeps beside its state."""
    if op.kind in ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV"):
        weights = op.inputs[1]
        assert weights is not None
        channels = weights.shape[3 if op.kind == "DEPTHWISE_CONV_2D" else 0]
        yield from (4 * channels,) * 2
    elif op.kind == "FULLY_CONNECTED":
        yield from _fully_connected(op, kernels)
    elif op.kind in ("GATHER", "DEPTH_TO_SPACE", "SPACE_TO_DEPTH"):
        yield 4 * (1 + len(op.output.shape))
    elif op.kind == "BATCH_MATMUL":
        yield from _batch_matmul(op, target)


def _fully_connected(op: Op, kernels: str) -> Iterator[int]:
    weights = op.inputs[1]
    assert weights is not None
    scales = weights.quant.scale.size if weights.quant is not None else 1
    if scales > 1:
        yield from (4 * scales,) * 2
    if kernels == "cmsis_nn_mve":  # sums of weights, unless TFLM is built for size
        yield 4 * op.output.shape[-1]


def _batch_matmul(op: Op, target: Target) -> Iterator[int]:
    left, right = op.inputs[0], op.inputs[1]
    assert left is not None
    assert right is not None
    turned = [left] if getattr(op.options, "adj_x", False) else []
    turned += [] if getattr(op.options, "adj_y", False) else [right]
    yield 7 * 4
    yield 4 * (1 + len(op.output.shape))
    for tensor in turned:
        yield target.layout(structs.EVAL_TENSOR)[0]
        yield 4 * (1 + len(tensor.shape))
        yield tensor.nbytes


def _planning(graph: Graph, requests: int, target: Target) -> int:
    """Bytes from the arena's start that making the plan takes."""
    tensors = [t for g in _all(graph) for t in graphs.tensor_order(g)]
    placed = sum(t.data is None and not t.variable for t in tensors)
    kept = target.layout(structs.REQUEST)[0] * (requests + structs.MOST_REQUESTS)
    offsets = align_up(kept, target.pointer) + target.pointer * len(_all(graph))
    records = target.layout(structs.ALLOCATION)[0] * (len(tensors) + requests)
    return align_up(offsets + records, ALIGNMENT) + structs.PLANNED * (placed + requests)


def _bound(graph: Graph, kernels: str, head: int, tail: int) -> Needs:
    """With a tail measured on this 64-bit host, and handles of other kernels' scratch."""
    requests = sum(_requests(op, kernels) for g in _all(graph) for op in g.ops)
    tail += align_up(8 * requests, ALIGNMENT)
    return Needs(kernels, head, tail, _planning(graph, requests, WHEEL), tail)
