"""A graph with stages for stock TFLM, planned and checked: what `tflm_cost` proposes, carried out.

for candidate in candidates(graph, max_extra_macs=0.1):
    tflm.allocations(candidate.tflite).total
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from .. import graph as tflite
from ..arena.tflm_scratch import REFERENCE
from ..graph import geometry
from ..graph.check import BANDS_METADATA
from ..graph.edit import rebuild
from ..graph.ir import Graph, Tensor
from ..passes import Legalize
from .tflm_banded import Banded, banded
from .tflm_calls import Stage
from .tflm_check import violations
from .tflm_cost import Way, ways, widened
from .tflm_layout import Layout, attach, layout


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """One file.

    Attributes:
        tflite: the file, its plan inside.
        way: what it does.
        stages: its stages, in order.
        layout: the plan.
        graph: what was written, without the plan.
        extra_macs: as a share of the graph's.
    """

    tflite: bytes
    way: Way
    stages: tuple[Stage, ...]
    layout: Layout
    graph: Graph
    extra_macs: float


def candidates(
    graph: Graph, max_extra_macs: float = 0.0, *, kernels: str = REFERENCE, seed: int = 0
) -> list[Candidate]:
    """Files for the most promising ways to run a graph in bands; empty if there is none.

    Args:
        graph: as the passes leave it.
        max_extra_macs: as a share of the graph's.
        kernels: whose scratch to leave room for, one of `arena.tflm_scratch.KERNELS`.
        seed: of the planner's search.
    """
    if graph.model.subgraphs or any(op.kind in ("IF", "WHILE") for op in graph.ops):
        return []
    macs = geometry.macs(graph)
    return [
        candidate(graph, way, way.macs / macs if macs else 0.0, kernels=kernels, seed=seed)
        for way in ways(graph, max_extra_macs, kernels=kernels)
        if way.bodies or any(part.taps for part in way.parts)
    ]


def candidate(
    graph: Graph,
    way: Way,
    extra_macs: float = 0.0,
    *,
    kernels: str = REFERENCE,
    seed: int = 0,
    work: int | None = None,
) -> Candidate:
    """The file that one way makes; `work` limits the planner's search, as in `arena.solve`.

    Raises:
        ValueError: its plan is wrong, which would be an error of ours.
        Unfit: the way does not fit the graph.
    """
    made = banded(_with_taps(graph, way), way.bodies)
    made = Banded(Legalize()(made.graph), made.stages)
    plan = layout(made, kernels=kernels, seed=seed, work=work)
    data = tflite.write(attach(_marked(made.graph), plan.offsets))
    broken = violations(tflite.read(data))
    if broken:
        raise ValueError(f"the plan of a rewritten graph is wrong: {broken[0]}")
    return Candidate(data, way, made.stages, plan, made.graph, extra_macs)


def _marked(graph: Graph) -> Graph:
    """With the metadata that tells us our own files."""
    rows = (*graph.model.metadata, (BANDS_METADATA, b"1"))
    return replace(graph, model=replace(graph.model, metadata=rows))


def _with_taps(graph: Graph, way: Way) -> Graph:
    ops = list(graph.ops)
    for part in way.parts:
        wider = widened(ops[part.start]) if part.taps else None
        if wider is not None:
            ops[part.start] = wider
    return rebuild(graph, ops=ops)


def up_to(made: Candidate, tensor: Tensor) -> bytes:
    """The file cut off behind the op that makes `tensor`, which becomes its output.

    Every offset stays, so TFLM does until there what it does in the whole file: the way to see a
    tensor at a stage's boundary, where an overwritten input would show.
    """
    ops = made.graph.ops
    stop = next(i for i, op in enumerate(ops) if tensor in op.outputs) + 1
    model = replace(made.graph.model, signatures=())
    short = replace(made.graph, ops=ops[:stop], outputs=(tensor,), tensors=(), model=model)
    return tflite.write(attach(short, made.layout.offsets))
