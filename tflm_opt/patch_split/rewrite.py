"""A graph as a `.tflite` for stock TFLM, its arena plan inside.

The promise is that TFLM never needs more for our file than for the one that came in, so
several candidates are measured in TFLM's own allocator and the smallest is taken: the rewritten
graph with our plan, the rewritten graph planned by TFLM, and the file as it came.
"""

from __future__ import annotations

from dataclasses import dataclass

from .. import arena, graph, passes
from ..graph import Graph
from ..result import TflmMemory
from ..runtime import tflm
from .schedule import layer_by_layer


@dataclass(frozen=True, slots=True)
class Stock:
    """A file for stock TFLM.

    Attributes:
        tflite: the file.
        plan: the plan inside it; None where TFLM plans better itself.
        memory: TFLM's arena before and after; None without the `tflite-micro` wheel.
    """

    tflite: bytes
    plan: arena.Plan | None
    memory: TflmMemory | None


def for_tflm(optimized: Graph, original: bytes, *, seed: int = 0) -> Stock:
    """Write the optimized graph for stock TFLM; its arena is never larger than `original`'s."""
    legal = passes.Legalize()(optimized)
    plan = arena.plan(legal, layer_by_layer(legal), target="tflm", seed=seed)
    planned = graph.write(arena.offline.attach(legal, plan))
    if not tflm.available():
        return Stock(planned, plan, None)
    candidates: list[tuple[bytes, arena.Plan | None]] = [
        (planned, plan),
        (graph.write(legal), None),
    ]
    if _same_ports(optimized, graph.read(original)):
        candidates.append((original, None))
    sizes = tflm.allocations_many([original, *(file for file, _ in candidates)])
    before, *after = sizes
    best = min(range(len(candidates)), key=lambda i: (after[i].total, i))
    tflite, its_plan = candidates[best]
    return Stock(tflite, its_plan, TflmMemory(before, after[best]))


def _same_ports(a: Graph, b: Graph) -> bool:
    def ports(g: Graph) -> list[tuple[tuple[int, ...], str]]:
        return [(t.shape, t.dtype) for t in (*g.inputs, *g.outputs)]

    return ports(a) == ports(b)
