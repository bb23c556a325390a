"""The search for a schedule over more than one order of the ops.

`search` cuts the ops of a graph into stages in the graph's order. Where another order needs less
memory layer by layer (see `arena.order`), both are searched and the better schedule stays: an
order that is best for whole tensors may part ops that would have streamed together, so neither is
better for sure. A graph without branches has one order and is searched once. In every order,
tensors may be made twice (see `recompute`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tflm_opt.arena.order import has_choice, order
from tflm_opt.arena.plan import Access
from tflm_opt.graph.ir import Graph, Op
from tflm_opt.patch_split.recompute import Recomputing
from tflm_opt.patch_split.schedule import Schedule
from tflm_opt.patch_split.search import Found, best_found
from tflm_opt.progress import Progress


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
    """Choose an order, stages, bands and tensors that are made twice.

    Example:
        >>> found = search(graph, scratch=codegen.scratch, access=codegen.access)
        >>> found.peak, found.schedule.ops == graph.ops
        (21440, False)

    Arguments and errors are those of `patch_split.search.search`; `found.bound` is that of
    schedules in any of the orders searched.
    """
    return Orders(
        graph,
        input=input,
        scratch=scratch,
        access=access,
        max_extra_macs=max_extra_macs,
        progress=progress,
        seed=seed,
    ).found(budget)


class Orders:
    """One graph searched for several budgets, in every order that may be the best.

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
        Schedule((), input)  # refuses other words before anything is computed
        self._runs = [
            Recomputing(
                g,
                input=input,
                scratch=scratch,
                access=access,
                max_extra_macs=max_extra_macs,
                progress=progress,
                seed=seed,
            )
            # Of schedules alike, the first stays: the order of less memory leaves more to scratch.
            for g in reversed(orders(graph, scratch=scratch, access=access))
        ]

    def found(self, budget: int | None = None) -> Found:
        """See `search`."""
        return best_found((run.found for run in self._runs), budget)


def orders(
    graph: Graph,
    *,
    target: str = "engine",
    scratch: Callable[[Op], int] | None = None,
    access: Access | None = None,
) -> tuple[Graph, ...]:
    """The graph, and where an order of less memory is found, the graph in that order.

    Args:
        graph: after all passes.
        target, scratch, access: as `arena.plan`.
    """
    if not has_choice(graph):
        return (graph,)
    found = order(graph, target=target, scratch=scratch, access=access)
    return (graph,) if found.ops == graph.ops else (graph, replace(graph, ops=found.ops))
