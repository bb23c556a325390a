"""A graph with some of its ops run band by band: stages as calls or as copies, put in place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..graph.edit import rebuild
from ..graph.ir import Graph, Op
from ..passes.rewrite import without_positional_metadata
from .tflm_bands import Body, Unfit
from .tflm_calls import Constants, Stage, StageWriter
from .tflm_copies import CopyWriter


@dataclass(frozen=True, slots=True, eq=False)
class Banded:
    """A graph whose stages are calls, and the stages, in order."""

    graph: Graph
    stages: tuple[Stage, ...]


def banded(graph: Graph, bodies: Sequence[Body]) -> Banded:
    """The graph with some of its ops run band by band.

    Example:
        >>> banded(g, [body(g.ops[:6], band=2)]).graph.model.subgraphs[0].name
        'stage 0: b1/expand to b2/project, 2 rows at a time'

    Args:
        graph: without other subgraphs.
        bodies: of consecutive ops of `graph`, in order, no op in two of them.

    Raises:
        Unfit: the graph has subgraphs, or uses what a stage keeps inside.
    """
    if graph.model.subgraphs:
        raise Unfit("the model has subgraphs")
    constants = Constants()
    stages: list[Stage] = []
    number = 0
    for made in bodies:
        writer = CopyWriter(-1, made, constants) if made.copied else None
        stages.append((writer or StageWriter(number, made, constants)).stage())
        number += not made.copied
    ends = {stage.body.ops[-1]: stage for stage in stages}
    inside = {op for stage in stages for op in stage.body.ops}
    ops: list[Op] = []
    for op in graph.ops:
        if op in ends:
            ops.extend(ends[op].ops)
        elif op not in inside:
            ops.append(op)
    _check_reads(graph, ops)
    clean = without_positional_metadata(graph)
    main = rebuild(clean, ops=ops)
    called = tuple(stage.graph for stage in stages if stage.graph is not None)
    model = replace(main.model, subgraphs=called)
    return Banded(replace(main, model=model), tuple(stages))


def _check_reads(graph: Graph, ops: Sequence[Op]) -> None:
    made = {t for op in ops for t in op.outputs} | set(graph.inputs)
    read = {t for op in ops for t in op.inputs if t is not None} | set(graph.outputs)
    missing = [t.name for t in read - made if t.data is None and not t.variable]
    if missing:
        raise Unfit(f"{missing[0]!r} is used outside its stage")
