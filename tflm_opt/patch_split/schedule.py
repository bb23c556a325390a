"""The order in which the ops run, cut into stages: what every search returns.

A *stage* is one op, or a chain of ops that will run together; a *schedule* is the stages, in
order. Layer by layer, each op is a stage of its own, in the file's order.
"""

from __future__ import annotations

from dataclasses import dataclass

from tflm_opt.graph.ir import Graph, Op


@dataclass(frozen=True, slots=True)
class Stage:
    """Ops that run together, in a valid order. One op: it makes its whole output at once."""

    ops: tuple[Op, ...]


@dataclass(frozen=True, slots=True)
class Schedule:
    """Stages in the order in which they run; together they hold every op of a graph once."""

    stages: tuple[Stage, ...]

    @property
    def ops(self) -> tuple[Op, ...]:
        """All ops, in the order in which they start."""
        return tuple(op for stage in self.stages for op in stage.ops)


def layer_by_layer(graph: Graph) -> Schedule:
    """Every op a stage, in the graph's order.

    Example:
        >>> [len(stage.ops) for stage in layer_by_layer(graph).stages]
        [1, 1, 1]
    """
    return Schedule(tuple(Stage((op,)) for op in graph.ops))
