"""What a stage that makes some columns at a time needs and does: bytes, calls, moves, MACs."""

from __future__ import annotations

from tflm_opt.arena.plan import ALIGNMENT
from tflm_opt.arena.problem import align_up
from tflm_opt.graph.optable import OPS
from tflm_opt.patch_split.columns import ColumnWalk
from tflm_opt.patch_split.regions import COLUMN_AXIS


def column_bytes(columns: ColumnWalk) -> int:
    """Bytes of rings and fronts at the worst op of the stage, at least."""
    ops = columns.walk.stage.ops
    made = {t: k for k, op in enumerate(ops) for t in op.outputs}
    read = {t: k for k, op in enumerate(ops) for t in op.inputs}
    always, spans = 0, []
    for tensor, lines in columns.lines.items():
        first = made.get(tensor, 0)
        last = read.get(tensor, first)
        ring = align_up(lines.ring_bytes, ALIGNMENT)
        front = align_up(lines.front_bytes, ALIGNMENT)
        if lines.rows_kept:
            always += ring
        else:
            spans.append((first, last, ring))
        if lines.columns_kept:
            always += front
        else:
            spans.append((first, len(ops) if lines.rows_kept else last, front))
    worst = max(
        (sum(size for first, last, size in spans if first <= k <= last) for k in range(len(ops))),
        default=0,
    )
    return always + worst


def column_calls(columns: ColumnWalk) -> int:
    """Kernel calls of the stage beyond one an op."""
    calls = 0
    for op in columns.walk.stage.ops:
        tensor = op.outputs[0]
        made = columns.made[tensor]
        rows = int(columns.walk.made[tensor][-1])
        calls += rows * int((made[:, 1] > made[:, 0]).sum()) - 1
    return calls


def column_moves(columns: ColumnWalk) -> int:
    """Bytes that move within the fronts, and from them to the rings."""
    total = 0
    for tensor, lowest in columns.lowest.items():
        lines, made = columns.lines[tensor], columns.made[tensor]
        left = int((made[:, 1] - lowest[1:]).sum())
        gone = int(made[-1, 1]) if lines.ring_rows else 0
        total += (left + gone) * int(columns.walk.made[tensor][-1]) * lines.pixel
    return total


def macs_again(columns: ColumnWalk) -> int:
    """Multiply-accumulates that strips compute beyond once."""
    again = 0
    if columns.kept:
        return again
    for op in columns.walk.stage.ops:
        count = OPS[op.kind].macs
        made = columns.made[op.outputs[0]]
        done = int((made[:, 1] - made[:, 0]).sum())
        once = int(made[:, 1].max() - made[:, 0].min())
        if count is not None and done > once:
            again += -(-count(op) * (done - once) // op.outputs[0].shape[COLUMN_AXIS])
    return again
