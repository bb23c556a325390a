"""The order of a graph's ops that needs the least memory layer by layer.

In a graph with branches, many orders are valid, and the one that came in is seldom chosen with
memory in mind. Two convolutions of different width that read one tensor, for example: the one
whose tensor stays should run last.

What counts here is what the planner's bound counts: at each step, what is alive, with outputs
over inputs as far as safe distances allow. Views share a buffer, constants cost nothing. Ops that
keep a state or may (variables, resources, custom ops, other subgraphs) stay in their order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tflm_opt.arena.downsets import Step, Steps, parts
from tflm_opt.arena.lifetimes import TFLM_VIEWS, VIEWS, Lifetimes, lifetimes
from tflm_opt.arena.order_search import EFFORT, least_peak, peak_of
from tflm_opt.arena.plan import ALIGNMENT, TARGETS, Access, engine_distance, tflm_distance
from tflm_opt.arena.problem import align_up
from tflm_opt.arena.tflm_scratch import tflm_scratch
from tflm_opt.graph.ir import Graph, Op
from tflm_opt.patch_split.schedule import layer_by_layer

_STATEFUL = frozenset({"CUSTOM", "CALL_ONCE", "IF", "WHILE"})


@dataclass(frozen=True, slots=True, eq=False)
class Ordered:
    """An order of ops.

    Attributes:
        ops: of the graph, in the order found; in the graph's own where none is better.
        peak: bytes alive at the worst step, each buffer rounded up to the alignment.
        before: the same for the graph's own order.
        bound: no order has a lower peak.
    """

    ops: tuple[Op, ...]
    peak: int
    before: int
    bound: int

    @property
    def is_optimal(self) -> bool:
        """True if the peak is known to be the least possible one."""
        return self.peak == self.bound


def order(
    graph: Graph,
    *,
    target: str = "engine",
    scratch: Callable[[Op], int] | None = None,
    access: Access | None = None,
    effort: int = EFFORT,
) -> Ordered:
    """The order of least memory; exact unless the graph is large and wide.

    Example:
        >>> found = order(graph, scratch=codegen.scratch, access=codegen.access)
        >>> found.before, found.peak, found.is_optimal
        (36864, 24576, True)

    Parts of the graph that gain nothing keep their order. The result is a function of the
    arguments alone.

    Args:
        graph: after all passes.
        target, scratch, access: as `arena.plan`.
        effort: steps that the search may try; the default takes about a second at most.

    Raises:
        ValueError: an unknown target.
    """
    if target not in TARGETS:
        raise ValueError(f"target is {target!r}; it is one of {', '.join(TARGETS)}")
    stock = target == "tflm"
    lives = lifetimes(
        graph,
        layer_by_layer(graph),
        views=TFLM_VIEWS if stock else VIEWS,
        scratch=scratch or (tflm_scratch if stock else None),
        variables=not stock,
    )
    work = _steps(graph, lives, tflm_distance if stock else engine_distance(access))
    found = least_peak(work, effort=effort)
    ops = tuple(graph.ops[i] for i in found.order)
    return Ordered(ops, found.peak, peak_of(work), found.bound)


def has_choice(graph: Graph) -> bool:
    """Whether the ops can run in another order at all; a look at the branches, no search."""
    lives = lifetimes(graph, layer_by_layer(graph))
    return any(len(part.members) > 1 for part in parts(_steps(graph, lives, lambda *_: None)))


def _steps(graph: Graph, lives: Lifetimes, distance: Callable[[Op, int], int | None]) -> Steps:
    held = lives.tensors
    sizes = [align_up(b.size, ALIGNMENT) for b in lives.buffers]
    states = {t for op in graph.ops for t in op.inputs if t is not None and t.variable}
    given = {held[t] for t in (*graph.inputs, *states) if t in held}
    kept = {held[t] for t in (*graph.outputs, *states) if t in held}
    begun = set(given)
    steps = []
    for op, waits in zip(graph.ops, _waits(graph.ops), strict=True):
        made = tuple(dict.fromkeys(held[t] for t in op.outputs if t in held))
        read = tuple(dict.fromkeys(held[t] for t in op.inputs if t in held))
        fresh = tuple(buffer for buffer in made if buffer not in begun)
        begun.update(fresh)
        room = sizes[lives.scratch[op]] if op in lives.scratch else 0
        over = _distances(op, lives, distance) if len(op.outputs) == len(fresh) == 1 else {}
        steps.append(Step(waits, fresh, read, over, room))
    return Steps(tuple(steps), tuple(sizes), frozenset(given), frozenset(kept))


def _distances(
    op: Op, lives: Lifetimes, distance: Callable[[Op, int], int | None]
) -> dict[int, int]:
    """How far below each buffer that it reads an op's output lies, where they may overlap."""
    found: dict[int, int | None] = {}
    for position, tensor in enumerate(op.inputs):
        if tensor is not None and tensor in lives.tensors:
            buffer, apart = lives.tensors[tensor], distance(op, position)
            known = found.get(buffer, apart)
            found[buffer] = None if apart is None or known is None else max(apart, known)
    return {b: align_up(d, ALIGNMENT) for b, d in found.items() if d is not None}


def _waits(ops: Sequence[Op]) -> list[int]:
    """By op, those that must run before it, as bits."""
    maker = {t: index for index, op in enumerate(ops) for t in op.outputs}
    found, state = [], None
    for index, op in enumerate(ops):
        before = {maker[t] for t in op.inputs if t is not None and t in maker}
        if _has_state(op):
            before.update(() if state is None else (state,))
            state = index
        found.append(sum(1 << i for i in before))
    return found


def _has_state(op: Op) -> bool:
    """Whether an op may keep something from one run to the next, or do more than its outputs."""
    tensors = [t for t in (*op.inputs, *op.outputs) if t is not None]
    state = any(t.variable or t.dtype == "resource" for t in tensors)
    return state or not op.outputs or op.kind in _STATEFUL
