"""The search for a schedule over more than one order of the ops.

`search` cuts the ops of a graph into stages in the graph's order. Where another order needs less
memory layer by layer (see `arena.order`), both are searched and the better schedule stays: an
order that is best for whole tensors may part ops that would have streamed together, so neither is
better for sure. A graph without branches has one order and is searched once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tflm_opt.arena.order import has_choice, order
from tflm_opt.arena.plan import Access
from tflm_opt.errors import UnsupportedModel
from tflm_opt.graph.ir import Graph, Op
from tflm_opt.patch_split.schedule import Schedule
from tflm_opt.patch_split.search import Found, Search, pareto
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
    """Choose an order, stages and bands.

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
            Search(
                g,
                input=input,
                scratch=scratch,
                access=access,
                max_extra_macs=max_extra_macs,
                progress=progress,
                seed=seed,
            )
            for g in orders(graph, scratch=scratch, access=access)
        ]

    def found(self, budget: int | None = None) -> Found:
        """See `search`."""
        results, refused = [], []
        for run in self._runs:
            try:
                results.append(run.found(budget))
            except UnsupportedModel as error:
                refused.append(error)
        if not results:
            raise refused[0]
        if len(results) == 1:
            return results[0]
        fitting = [f for f in results if budget is not None and f.peak <= budget]
        best = (
            min(fitting, key=lambda f: (f.chosen.work, f.peak))
            if fitting
            else min(results, key=lambda f: (f.peak, f.chosen.work))
        )
        front = pareto([point for found in results for point in found.front])
        return replace(best, front=front, bound=min(found.bound for found in results))


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
