"""Tensors made twice, where they are read once to be folded into a pixel and once again after it.

A squeeze-and-excitation block needs all of a tensor before it can use any of it:

    x ── expand ── depthwise ── t ──────────────────────────────── MUL ── project
                                \\_ MEAN ── FC ── FC ── sigmoid ____/

so `t` lies in memory whole, though it is the largest tensor of the block. Made again, it never
does: the first time its rows end in running sums, the second time in the product, and both
stages stream from `x`, which is small:

    x ── expand ── depthwise ── t ── MEAN ── FC ── FC ── sigmoid ────────┐
    x ── expand (again) ── depthwise (again) ── t (again) ──────────── MUL ── project

This module clones those ops in the graph, and lets the search run on it as on any other graph.
For each such tensor, the clones go back to where least has to be kept for them. Tensors are taken
largest first, as long as the extra multiply-accumulates are allowed and the memory falls.

The trade is that of checkpointing in training (Chen et al., 2016) and of MCUNetV2's patches, which
compute overlapping rows twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from tflm_opt.arena.plan import Access
from tflm_opt.graph.edit import consumers
from tflm_opt.graph.geometry import macs, op_macs
from tflm_opt.graph.ir import Graph, Op, Tensor
from tflm_opt.patch_split import cuts
from tflm_opt.patch_split.cost import MAC_WORK
from tflm_opt.patch_split.cuts import FAR
from tflm_opt.patch_split.regions import ROW_AXIS, sum_reaches
from tflm_opt.patch_split.search import Found, Point, Search, best_found
from tflm_opt.progress import Progress

AGAIN = " (again)"


def search(
    graph: Graph,
    *,
    budget: int | None = None,
    input: str = "resident",
    scratch: Callable[[Op], int] | None = None,
    access: Access | None = None,
    max_extra_macs: float = 0.0,
    progress: Progress | None = None,
    seed: int = 0,
) -> Found:
    """Choose stages and bands, and tensors that are made twice.

    Example:
        >>> found = search(graph, max_extra_macs=0.3, access=codegen.access)
        >>> found.peak, found.chosen.extra_macs, found.chosen.graph is graph
        (9472, 0.21, False)

    Arguments and errors are those of `patch_split.search.search`; a point's schedule is one of
    its own `graph`. The bound holds for all graphs that were tried.
    """
    return Recomputing(
        graph,
        input=input,
        scratch=scratch,
        access=access,
        max_extra_macs=max_extra_macs,
        progress=progress,
        seed=seed,
    ).found(budget)


class Recomputing:
    """One graph searched for several budgets, as it is and with tensors made twice.

    Arguments and errors are those of `patch_split.search.Search`.
    """

    def __init__(
        self,
        graph: Graph,
        *,
        input: str = "resident",
        scratch: Callable[[Op], int] | None = None,
        access: Access | None = None,
        max_extra_macs: float = 0.0,
        progress: Progress | None = None,
        seed: int = 0,
    ) -> None:
        self.macs = macs(graph)
        self._points: dict[Point, Point] = {}

        def run(candidate: Graph) -> Search:
            left = self.macs * (1 + max_extra_macs) - macs(candidate)
            return Search(
                candidate,
                input=input,
                scratch=scratch,
                access=access,
                max_extra_macs=max(left / max(macs(candidate), 1), 0.0),
                progress=progress,
                seed=seed,
            )

        self._runs = _runs(graph, int(self.macs * max_extra_macs), run)

    def found(self, budget: int | None = None) -> Found:
        """See `search`."""

        def counted(run: Search) -> Callable[[int | None], Found]:
            return lambda limit: self._counted(run.found(limit))

        return best_found(map(counted, self._runs), budget)

    def _counted(self, found: Found) -> Found:
        front = tuple(self._point(point) for point in found.front)
        return replace(found, chosen=self._point(found.chosen), front=front)

    def _point(self, point: Point) -> Point:
        """A point of a graph with clones, measured against the graph without."""
        every = macs(point.graph)
        if every == self.macs:
            return point
        if point not in self._points:
            again = every - self.macs
            extra = (again + point.extra_macs * every) / max(self.macs, 1)
            work = point.work + again * MAC_WORK
            self._points[point] = replace(point, extra_macs=extra, work=work)
        return self._points[point]


def _runs(graph: Graph, limit: int, run: Callable[[Graph], Search]) -> list[Search]:
    """Searches of the graph, and of graphs with more and more clones that need less and less.

    In the last one, which needs least, nothing is made twice that could as well be made once.
    """
    runs = [run(graph)]
    spots = spots_of(graph) if limit else ()
    if not spots:
        return runs
    best, current, chosen = _least(runs[0]), graph, list[Tensor]()
    used: tuple[Tensor, ...] = ()
    for tensor in spots:
        further = with_again(current, tensor, limit - (macs(current) - macs(graph)))
        if further is None:
            continue
        current, chosen = further, [*chosen, tensor]
        candidate = run(current)
        peak = _least(candidate)
        if peak < best:
            best, used = peak, tuple(chosen)
            runs.append(candidate)
    for tensor in used:
        fewer = tuple(t for t in used if t is not tensor)
        less = _with_all(graph, fewer, limit)
        candidate = run(less)
        if _least(candidate) <= best:
            used, runs[-1] = fewer, candidate
    return runs


def _with_all(graph: Graph, tensors: tuple[Tensor, ...], limit: int) -> Graph:
    current = graph
    for tensor in tensors:
        current = with_again(current, tensor, limit - (macs(current) - macs(graph))) or current
    return current


def _least(run: Search) -> int:
    """Bytes of the worst stage of the best schedule."""
    path = cuts.least(run.costs)
    return FAR if path is None else cuts.peak(path)


def spots_of(graph: Graph) -> tuple[Tensor, ...]:
    """Tensors that are folded into a pixel and read again after that, the largest first.

    Example:
        >>> [tensor.name for tensor in spots_of(mobilenet_v3)]
        ['b1/depthwise', 'b2/depthwise']
    """
    made = {tensor for op in graph.ops for tensor in op.outputs}
    found = [t for t in made if _later(graph, t) and t not in graph.outputs]
    return tuple(sorted(found, key=lambda t: (-t.nbytes, t.name)))


def _later(graph: Graph, tensor: Tensor) -> tuple[Op, ...]:
    """Readers of a tensor after the last one that folds it; none if nobody does."""
    readers = consumers(graph).get(tensor, ())
    folds = [k for k, op in enumerate(readers) if sum_reaches(op) is not None]
    return readers[folds[-1] + 1 :] if folds else ()


@dataclass(frozen=True, slots=True)
class Chain:
    """Ops that are run again to make one tensor again.

    Attributes:
        ops: in order; the last one makes the tensor.
        held: bytes of what they read, as far as it would not be there anyway.
        macs: multiply-accumulates.
    """

    ops: tuple[Op, ...]
    held: int
    macs: int


def with_again(graph: Graph, tensor: Tensor, limit: int) -> Graph | None:
    """The graph in which readers after the last fold of a tensor read one that is made again.

    The clones stand just before the first of those readers, and their names end in "(again)".
    They go back to where least has to be kept for them, and among those, as few as possible.

    Args:
        graph: that makes the tensor.
        tensor: one of `spots_of(graph)`.
        limit: multiply-accumulates that the clones may have.

    Returns:
        None if no chain of clones is allowed and keeps less than the tensor.
    """
    chains = [c for c in chains_of(graph, tensor) if c.macs <= limit and c.held < tensor.nbytes]
    later = _later(graph, tensor)
    if not chains or not later:
        return None
    best = min(chains, key=lambda chain: (chain.held, chain.macs))
    swap: dict[Tensor, Tensor] = {}
    clones: list[Op] = []
    for op in best.ops:
        outputs = tuple(replace(t, name=t.name + AGAIN, carried=None) for t in op.outputs)
        clones.append(replace(op, inputs=_swapped(op, swap), outputs=outputs, carried=None))
        swap.update(zip(op.outputs, outputs, strict=True))
    only = {tensor: swap[tensor]}
    ops: list[Op] = []
    for op in graph.ops:
        if op is later[0]:
            ops += clones
        ops.append(replace(op, inputs=_swapped(op, only)) if op in later else op)
    return replace(graph, ops=tuple(ops))


def _swapped(op: Op, swap: dict[Tensor, Tensor]) -> tuple[Tensor | None, ...]:
    return tuple(None if t is None else swap.get(t, t) for t in op.inputs)


def chains_of(graph: Graph, tensor: Tensor) -> Iterator[Chain]:
    """Chains that make a tensor, from its maker alone back to the first op that it depends on.

    What is one pixel high is never made again: it is small, and may be what a fold has made.
    """
    maker = next(k for k, op in enumerate(graph.ops) if tensor in op.outputs)
    last = max(k for k, op in enumerate(graph.ops) if tensor in op.inputs)
    stays = {t for op in graph.ops[last:] for t in op.inputs} | set(graph.outputs)
    ops: list[Op] = []
    count = 0
    for k in range(maker, -1, -1):
        op = graph.ops[k]
        reads = {t for member in ops for t in member.inputs}
        if ops and (reads.isdisjoint(op.outputs) or not all(map(_is_image, op.outputs))):
            continue
        if any(t is not None and t.variable for t in op.inputs):
            return
        ops.insert(0, op)
        count += op_macs(op)
        made = {t for member in ops for t in member.outputs}
        outer = {
            t
            for member in ops
            for t in member.inputs
            if t is not None and t.data is None and t not in made
        }
        yield Chain(tuple(ops), sum(t.nbytes for t in outer if t not in stays), count)


def _is_image(tensor: Tensor) -> bool:
    return len(tensor.shape) == 4 and tensor.shape[ROW_AXIS] > 1
