"""A graph as a `.tflite` for stock TFLM, its arena plan inside.

The promise is that TFLM never needs more for our file than for the one that came in, so
several candidates are measured in TFLM's own allocator and the smallest is taken: graphs with
some stages run in bands (`tflm_cost` proposes them, `tflm_stages` writes and checks them), the
optimized graph with our plan, the optimized graph planned by TFLM, and the file as it came. Where
another order of the ops needs less memory, our graphs are made in that order too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from .. import arena, graph, passes
from ..graph import Graph
from ..result import TflmMemory
from ..runtime import tflm
from .orders import orders
from .schedule import layer_by_layer
from .tflm_stages import Candidate, candidates


@dataclass(frozen=True, slots=True)
class Stock:
    """A file for stock TFLM.

    Attributes:
        tflite: the file.
        plan: the plan of a file without bands; None where bands need less, or where TFLM plans
            better itself.
        memory: TFLM's arena before and after; None without the `tflite-micro` wheel.
        extra_macs: of bands, which compute some rows twice; as a share of the optimized graph's.
        banded: the file's stages and their plan; None for a file without bands.
    """

    tflite: bytes
    plan: arena.Plan | None
    memory: TflmMemory | None
    extra_macs: float = 0.0
    banded: Candidate | None = None


def for_tflm(
    optimized: Graph, original: bytes, *, max_extra_macs: float = 0.0, seed: int = 0
) -> Stock:
    """Write the optimized graph for stock TFLM; its arena is never larger than `original`'s.

    Example:
        >>> for_tflm(g, data, max_extra_macs=0.1).memory.after.total

    Args:
        optimized: as the passes leave it.
        original: the file that came in.
        max_extra_macs: how many more multiply-accumulates bands may take, as a share of the
            graph's. With 0, only stages are cut into bands that compute nothing twice.
        seed: of the planner's search.
    """
    legal = orders(passes.Legalize()(optimized), target="tflm")
    planned = [_planned(g, seed) for g in legal]
    if not tflm.available():
        return min(planned, key=lambda option: option[0])[1]
    options = [option for _, option in planned]
    options += [Stock(graph.write(g), None, None) for g in legal]
    if _same_ports(optimized, graph.read(original)):
        options.append(Stock(original, None, None))
    for g in orders(optimized, target="tflm"):
        for found in candidates(g, max_extra_macs, seed=seed):
            options.append(Stock(found.tflite, None, None, found.extra_macs, found))
    before, *after = tflm.allocations_many([original, *(option.tflite for option in options)])
    best = min(range(len(options)), key=lambda i: (after[i].total, options[i].extra_macs, i))
    return replace(options[best], memory=TflmMemory(before, after[best]))


def _planned(legal: Graph, seed: int) -> tuple[int, Stock]:
    """The graph layer by layer with its plan inside, and the plan's peak."""
    plan = arena.plan(legal, layer_by_layer(legal), target="tflm", seed=seed)
    return plan.peak, Stock(graph.write(arena.offline.attach(legal, plan)), plan, None)


def _same_ports(a: Graph, b: Graph) -> bool:
    def ports(g: Graph) -> list[tuple[tuple[int, ...], str]]:
        return [(t.shape, t.dtype) for t in (*g.inputs, *g.outputs)]

    return ports(a) == ports(b)
