"""Which stage makes an arena's peak, and what the arena would be at another resolution.

The estimate takes the plan at hand, step by step: whole images shrink with height and width,
windows of rows with the width (a kernel needs as many rows of a small image; but where a step makes
several rows, it may make fewer), sums and vectors not at all. The cuts stay the same; a search at
that resolution may find better ones.
"""

from __future__ import annotations

from dataclasses import dataclass

from .arena import Plan
from .arena.bound import live_at, step_bounds
from .arena.lifetimes import SCRATCH
from .arena.moves import MOVED
from .graph import Graph, Op
from .graph.text import short_name
from .patch_split.schedule import Stage
from .patch_split.walk import walks

_MOST_NAMED = 4
_CLOSE = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class Bottleneck:
    """What makes the peak of a plan.

    Attributes:
        number: of the stage in the schedule, from 0; None where only inputs or outputs are alive.
        stage: what runs.
        op: which of its ops runs at the peak.
        ops: positions of the stage's first and last op in the graph.
        stages: of the schedule, how many.
        buffers: (bytes, name) of what is alive then, largest first.
    """

    number: int | None
    stage: Stage | None
    op: Op | None
    ops: tuple[int, int]
    stages: int
    buffers: tuple[tuple[int, str], ...]

    def __str__(self) -> str:
        """`stage 1 of 47 (ops 0:CONV_2D to 13:ADD, 1 row a step)`"""
        if self.number is None or self.stage is None:
            return "the inputs or outputs themselves"
        first, last = self.stage.ops[0], self.stage.ops[-1]
        span = f"op {self.ops[0]}:{first.kind}"
        if first is not last:
            span = f"ops {self.ops[0]}:{first.kind} to {self.ops[1]}:{last.kind}"
        return f"stage {self.number + 1} of {self.stages} ({span}, {pace(self.stage)})"

    @property
    def largest(self) -> tuple[str, ...]:
        """The largest buffers, as text."""
        named = self.buffers[:_MOST_NAMED]
        return tuple(f"{size:,} bytes of {short_name(name)}" for size, name in named)


def pace(stage: Stage) -> str:
    """How many rows and columns a stage makes at a time.

    >>> pace(Stage((conv,))), pace(Stage((conv,), 3)), pace(Stage((conv,), 1, Columns(2)))
    ('run whole', '3 rows a step', '1 row a step, 2 columns at a time')
    """
    if stage.band is None:
        return "run whole"
    rows = f"{stage.band} {'row' if stage.band <= 1 else 'rows'} a step"
    if stage.columns is None:
        return rows
    width = stage.columns.width
    columns = f"{width} {'column' if width == 1 else 'columns'}"
    return f"{rows}, {columns} at a time" if stage.columns.kept else f"{rows}, strips of {columns}"


def bottleneck(graph: Graph, plan: Plan) -> Bottleneck:
    """The stage that makes a plan's peak.

    Example:
        >>> print(bottleneck(result.graph, result.plan))
        stage 1 of 4 (ops 0:CONV_2D to 12:AVERAGE_POOL_2D, 1 row a step)
    """
    step = plan.peak_step()
    stages = plan.schedule.stages
    position = {op: i for i, op in enumerate(graph.ops)}
    at = 0
    for number, stage in enumerate(stages):
        if at < step <= at + len(stage.ops):
            ops = position[stage.ops[0]], position[stage.ops[-1]]
            op = stage.ops[step - at - 1]
            return Bottleneck(number, stage, op, ops, len(stages), plan.binding())
        at += len(stage.ops)
    return Bottleneck(None, None, None, (0, 0), len(stages), plan.binding())


def at_scale(graph: Graph, plan: Plan, scale: float) -> float:
    """Bytes of arena, estimated, with height and width of all images times `scale`.

    Example:
        >>> at_scale(result.graph, result.plan, 0.5)
        7412.0
    """
    lines = {
        t.name
        for stage, walk in walks(graph, plan.schedule).items()
        for t in walk.windows
        if stage.band is not None and stage.band <= 1
    }
    images = {
        t.name
        for t in (*graph.inputs, *(t for op in graph.ops for t in op.outputs))
        if len(t.shape) == 4 and max(t.shape[1:3]) > 1
    }

    def factor(buffer: str) -> float:
        name = buffer.removesuffix(MOVED)
        if name.startswith(SCRATCH) or name not in images:
            return 1.0
        return scale if name in lines else scale**2

    worst = 0.0
    for step, need in step_bounds(plan.problem).items():
        buffers = [plan.problem.buffers[i] for i in live_at(plan.problem, step)]
        total = sum(buffer.size for buffer in buffers)
        scaled = sum(buffer.size * factor(buffer.name) for buffer in buffers)
        worst = max(worst, need * scaled / max(total, 1))
    # What the plan needs above its bound, it is taken to need at any size.
    return worst * plan.peak / max(max(step_bounds(plan.problem).values(), default=1), 1)


def fitting_scale(graph: Graph, plan: Plan, room: int) -> float | None:
    """The factor for height and width at which `room` bytes of arena do, estimated.

    None if no factor does, since what doesn't depend on the resolution is too large; 1 at most.
    """
    if at_scale(graph, plan, 0.0) > room:
        return None
    low, high = 0.0, 1.0
    if at_scale(graph, plan, high) <= room:
        return high
    while high - low > _CLOSE:
        middle = (low + high) / 2
        low, high = (middle, high) if at_scale(graph, plan, middle) <= room else (low, middle)
    return low
