"""A graph as a `.tflite` for stock TFLM, its arena plan inside.

The promise is that TFLM never needs more for our file than for the one that came in, so
several candidates are measured in TFLM's own allocator and the smallest is taken: graphs with
some stages run in bands (`tflm_cost` proposes them, `tflm_stages` writes and checks them), the
optimized graph with our plan, the optimized graph planned by TFLM, and the file as it came. Where
another order of the ops needs less memory, our graphs are made in that order too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from .. import arena, graph, passes
from ..arena.stand_in import with_scratch
from ..arena.tflm_scratch import REFERENCE, tflm_scratch
from ..graph import Graph, Op
from ..result import TflmMemory
from ..runtime import tflm
from ..runtime.tflm import Allocations
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
    optimized: Graph,
    original: bytes,
    *,
    max_extra_macs: float = 0.0,
    kernels: str = REFERENCE,
    seed: int = 0,
) -> Stock:
    """Write the optimized graph for stock TFLM; its arena is never larger than `original`'s.

    Example:
        >>> for_tflm(g, data, max_extra_macs=0.1).memory.after.total

    Args:
        optimized: as the passes leave it.
        original: the file that came in.
        max_extra_macs: how many more multiply-accumulates bands may take, as a share of the
            graph's. With 0, only stages are cut into bands that compute nothing twice.
        kernels: with which TFLM will run it, one of `arena.tflm_scratch.KERNELS`: their scratch
            is left room for, and counted in `memory`.
        seed: of the planner's search.
    """
    scratch = partial(tflm_scratch, kernels=kernels)
    legal = orders(passes.Legalize()(optimized), target="tflm", scratch=scratch)
    planned = [_planned(g, scratch, seed) for g in legal]
    if not tflm.available():
        return min(planned, key=lambda option: option[0])[1]
    options = [option for _, option in planned]
    options += [Stock(graph.write(g), None, None) for g in legal]
    if _same_ports(optimized, graph.read(original)):
        options.append(Stock(original, None, None))
    for g in orders(optimized, target="tflm", scratch=scratch):
        for found in candidates(g, max_extra_macs, kernels=kernels, seed=seed):
            options.append(Stock(found.tflite, None, None, found.extra_macs, found))
    before, *after = allocations([original, *(option.tflite for option in options)], kernels)
    best = min(range(len(options)), key=lambda i: (after[i].total, options[i].extra_macs, i))
    return replace(options[best], memory=TflmMemory(before, after[best], kernels))


def allocations(files: Sequence[bytes], kernels: str = REFERENCE) -> list[Allocations]:
    """What TFLM's allocator uses for each file with some kernels, on this host.

    Example:
        >>> allocations([data], "cmsis_nn_dsp")[0].head

    With others than the wheel's own, the head is that of stand-ins (`arena.stand_in`).
    """
    if kernels == REFERENCE:
        return tflm.allocations_many(files)
    others = [graph.write(with_scratch(graph.read(file), kernels)) for file in files]
    measured = tflm.allocations_many([*files, *others])
    heads = [stand_in.head for stand_in in measured[len(files) :]]
    return [
        replace(plain, head=head, total=head + plain.tail)
        for plain, head in zip(measured, heads, strict=False)
    ]


def _planned(legal: Graph, scratch: Callable[[Op], int], seed: int) -> tuple[int, Stock]:
    """The graph layer by layer with its plan inside, and the plan's peak."""
    plan = arena.plan(legal, layer_by_layer(legal), target="tflm", scratch=scratch, seed=seed)
    return plan.peak, Stock(graph.write(arena.offline.attach(legal, plan)), plan, None)


def _same_ports(a: Graph, b: Graph) -> bool:
    def ports(g: Graph) -> list[tuple[tuple[int, ...], str]]:
        return [(t.shape, t.dtype) for t in (*g.inputs, *g.outputs)]

    return ports(a) == ports(b)
