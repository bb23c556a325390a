"""A plan as plain data: what lies where and when, and what of the arena each op uses.

    {"target": "engine", "size": 48120, "bound": 48120, "steps": ["inputs", ...],
     "buffers": [{"name": ..., "kind": "inner", "offset": 0, "size": 64, "start": 1, "stop": 3}],
     "stages": [{"stage": 3, "start": 4, "stop": 7, "band": 6.0}]}

Steps are the plan's: 0 is when the inputs are written, then one an op, then the outputs. `start`
and `stop` are half-open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..arena import Plan
    from ..graph import Op


def plan_data(plan: Plan) -> dict[str, Any]:
    """The plan, with buffers of no bytes left out."""
    from ..arena.lifetimes import SCRATCH

    def kind(position: int, name: str) -> str:
        if name.startswith(SCRATCH):
            return "scratch"
        return "port" if position in plan.ports else "inner"

    return {
        "target": plan.target,
        "size": plan.peak,
        "bound": plan.bound,
        "steps": list(plan.steps),
        "buffers": [
            {
                "name": buffer.name,
                "kind": kind(position, buffer.name),
                "offset": plan.places[position],
                "size": buffer.size,
                "start": buffer.start,
                "stop": buffer.stop,
            }
            for position, buffer in enumerate(plan.problem.buffers)
            if buffer.size
        ],
        "stages": stages_data(plan),
    }


def stages_data(plan: Plan) -> list[dict[str, Any]]:
    """The stages that run band by band: their steps, half-open, and their numbers."""
    found, step = [], 1
    for number, stage in enumerate(plan.schedule.stages):
        if stage.band is not None:
            stop = step + len(stage.ops)
            found.append({"stage": number, "start": step, "stop": stop, "band": float(stage.band)})
        step += len(stage.ops)
    return found


def op_steps(plan: Plan) -> dict[Op, int]:
    """The step of each op."""
    ops = (op for stage in plan.schedule.stages for op in stage.ops)
    return {op: step for step, op in enumerate(ops, 1)}


def stage_numbers(plan: Plan) -> dict[Op, int]:
    """The stage of each op that runs band by band."""
    return {
        op: number
        for number, stage in enumerate(plan.schedule.stages)
        if stage.band is not None
        for op in stage.ops
    }


def used_at(plan: Plan, step: int) -> int:
    """Bytes of the arena that hold something at a step; what two buffers share counts once."""
    spans = sorted(
        (offset, offset + buffer.size)
        for offset, buffer in zip(plan.places, plan.problem.buffers, strict=True)
        if buffer.start <= step < buffer.stop
    )
    used = end = 0
    for start, stop in spans:
        used += max(stop - max(start, end), 0)
        end = max(end, stop)
    return used
