"""How many bytes a stage must hold at once, wherever they lie: why no layout needs less.

Between two rows of its result, a stage that computes nothing twice holds at least

- of what it eats, the rows that are still to be read;
- of its results, the rows that are there;
- of every tensor inside, the rows that are there and that somebody reads again;
- and whole, whatever else is made before and read after.

Rows that are being made, kernel scratch, alignment and the shapes of holes come on top, so every
plan of the stage in this order of rows needs more. It is a bound on what can be reached, not an
estimate of it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tflm_opt.graph.ir import Graph, Op, Tensor
from tflm_opt.patch_split.regions import ROW_AXIS
from tflm_opt.patch_split.schedule import Stage
from tflm_opt.patch_split.walk import Walk, row_bytes, walk


def live_bytes(graph: Graph, stage: Stage, *, streamed: bool = False) -> int:
    """Bytes alive at once in a stage whose result is made row by row, at least.

    Example:
        >>> live_bytes(graph, schedule.stages[0])
        95680

    Args:
        graph: which the stage is part of, in the order in which its ops run.
        stage: its band doesn't matter: rows of the last op are made one by one.
        streamed: whether the graph's input comes by callback.

    Raises:
        NotStreamable: an op of the stage can't run on rows.
    """
    steps = walk(graph, replace(stage, band=1, columns=None), streamed=streamed)
    held = np.zeros(steps.steps + 1, np.int64)
    for tensor in steps.windows:
        made = steps.made[tensor]
        again = made - np.minimum(steps.needed[tensor], made)
        again[0] = again[-1] = 0
        held += again * row_bytes(tensor)
    for tensor in steps.results:
        rows = (
            steps.made[tensor] if tensor.shape[ROW_AXIS] > 1 else np.minimum(steps.made[tensor], 1)
        )
        held += rows * row_bytes(tensor)
    around = 0
    for tensor in _before(graph, stage.ops[0], steps):
        if _read_after(graph, stage.ops[-1], tensor) or tensor not in steps.needed:
            around += tensor.nbytes
        else:
            height = tensor.shape[ROW_AXIS]
            held += (height - np.minimum(steps.needed[tensor], height)) * row_bytes(tensor)
    return around + int(held.max())


def _before(graph: Graph, first: Op, steps: Walk) -> list[Tensor]:
    """What is there when the stage begins and is read in it or later."""
    at = graph.ops.index(first)
    made = [t for op in graph.ops[:at] for t in op.outputs]
    inputs = [t for t in graph.inputs if t is not steps.source]
    wanted = {t for op in graph.ops[at:] for t in op.inputs} | set(graph.outputs)
    return [t for t in (*inputs, *made) if t in wanted]


def _read_after(graph: Graph, last: Op, tensor: Tensor) -> bool:
    later = graph.ops[graph.ops.index(last) + 1 :]
    return tensor in graph.outputs or any(tensor in op.inputs for op in later)
