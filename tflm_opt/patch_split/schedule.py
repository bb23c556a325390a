"""The order in which the ops run, cut into stages: what every search returns.

A *stage* is one op, or connected ops that run together, band by band; a *schedule* is the stages,
in order. Layer by layer, each op is a stage of its own, in the file's order.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from tflm_opt.graph.ir import Graph, Op

INPUTS = ("resident", "streamed")


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns of its last op's output a stage makes at a time.

    Example:
        >>> Stage((expand, depthwise, project), band=1, columns=Columns(4))

    Attributes:
        width: columns of the last op's output.
        kept: True to go through these columns within every step, from left to right, and keep the
            columns of the step's new rows that the next ones read again. False for *strips*: all
            steps for the first columns, then all for the next ones; what two strips both read
            of the tensors inside is computed twice.

    Raises:
        ValueError: a width below 1.
    """

    width: int
    kept: bool = True

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"{self.width} columns at a time")


@dataclass(frozen=True, slots=True)
class Stage:
    """Ops that run together, in a valid order.

    Example:
        >>> Stage((expand, depthwise, project), band=2)     # two rows of `project` a step

    Attributes:
        ops: consecutive in the schedule's order.
        band: None for one op that makes its whole output at once. Else the rows of the last op's
            output that each step makes; all other ops make, in each step, the rows that this
            asks of them, and keep what the next step needs again (see `walk`). A fraction is
            right behind strides: where one row of the last op takes 16 rows of the first one,
            a band of 1/16 makes the stage take them one by one, and the last op work in every
            sixteenth step.
        columns: None to make whole rows.

    Raises:
        ValueError: no ops, several ops without a band, a band of 0 or less, or columns without
            a band.
    """

    ops: tuple[Op, ...]
    band: int | Fraction | None = None
    columns: Columns | None = None

    def __post_init__(self) -> None:
        if not self.ops:
            raise ValueError("a stage holds one op at least")
        if self.band is None and len(self.ops) > 1:
            raise ValueError(f"a stage of {len(self.ops)} ops needs a band")
        if self.band is not None and self.band <= 0:
            raise ValueError(f"a band of {self.band} rows")
        if self.columns is not None and self.band is None:
            raise ValueError("a stage that makes some columns at a time needs a band")


@dataclass(frozen=True, slots=True)
class Schedule:
    """Stages in the order in which they run; together they hold every op of a graph once.

    Attributes:
        stages: in order.
        input: "resident": the caller writes whole inputs; "streamed": the rows of the model's
            only input come by callback, as the stage that reads it asks for them.
    """

    stages: tuple[Stage, ...]
    input: str = "resident"

    def __post_init__(self) -> None:
        if self.input not in INPUTS:
            raise ValueError(f"input is {self.input!r}; it is one of {', '.join(INPUTS)}")

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
