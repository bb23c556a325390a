"""Figures as plain data: dictionaries that `json` takes, the contract that scripts rely on.

What a result's has to look like is in report.schema.json, beside this file.
"""

from __future__ import annotations

import dataclasses
import hashlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..arena import Plan
    from ..boards import Board
    from ..errors import DoesNotFit
    from ..graph import Graph, Tensor
    from ..patch_split.schedule import Schedule
    from ..patch_split.search import Point
    from ..quant import FloatModel
    from ..result import Accuracy, OutputError, Result
    from ..runtime.tflm import Allocations
    from ..runtime.vectors import Difference

FORMAT = 1  # of report.json: goes up when a key changes its meaning or goes away


def result_data(result: Result) -> dict[str, Any]:
    """An optimization's figures; all sizes in bytes."""
    from .memory import plan_data

    sram, flash = result.sram, result.flash
    tflm, found = result.tflm, result.findings
    return {
        "format": FORMAT,
        "name": result.name,
        "runtime": result.runtime,
        "board": result.board.id,
        "core": result.board.core,
        "fits": result.fits,
        "budget": result.budget,
        "sram": {
            "total": sram.total,
            "arena": sram.arena,
            "runtime": sram.runtime,
            "stack": sram.stack,
            "reserve": sram.reserve,
            "estimated": list(sram.estimated),
        },
        "flash": {
            "total": flash.total,
            "weights": flash.weights,
            "code": flash.code,
            "estimated": list(flash.estimated),
        },
        "flash_budget": result.flash_budget,
        "mixed": None if result.mixed is None else result.mixed.to_dict(),
        "arena_bound": result.plan.bound,
        "schedule_bound": result.bound,
        "schedule": schedule_data(result.graph, result.schedule),
        "whole": [dataclasses.asdict(whole) for whole in result.whole],
        "front": [point_data(point) for point in result.front],
        "macs": result.macs,
        "macs_before": result.macs_before,
        "extra_macs": result.extra_macs,
        "bit_exact": result.bit_exact,
        "vectors": result.vectors,
        "tflm": None
        if tflm is None
        else {
            "before": allocations_data(tflm.before),
            "after": allocations_data(tflm.after),
            "kernels": tflm.kernels,
        },
        "inputs": [tensor_data(t) for t in result.graph.inputs],
        "outputs": [tensor_data(t) for t in result.graph.outputs],
        "ops": len(result.graph.ops),
        "layers": layers_data(result.graph, result.plan),
        "arena": plan_data(result.plan),
        "accuracy": None if found.accuracy is None else accuracy_data(found.accuracy),
        "quantization": [error_data(error) for error in found.errors],
        "diagnosis": None if found.diagnosis is None else found.diagnosis.to_dict(),
        "float_parameters": _parameters(result.float_model),
        "profile": None if found.profile is None else found.profile.to_dict(),
        "request": None if result.request is None else dict(result.request),
        "original": {
            "bytes": len(result.original),
            "sha256": hashlib.sha256(result.original).hexdigest(),
        },
        "warnings": list(result.warnings),
    }


def layers_data(graph: Graph, plan: Plan) -> list[dict[str, Any]]:
    """What each op of a graph is, makes and uses, in the graph's order; `profile` reads it."""
    from ..graph.geometry import op_macs
    from .memory import op_steps, stage_numbers, used_at

    steps, stages = op_steps(plan), stage_numbers(plan)
    return [
        {
            "index": index,
            "kind": op.kind,
            "name": op.outputs[0].name,
            "inputs": [list(t.shape) for t in op.inputs if t is not None and t.data is None],
            "shape": list(op.outputs[0].shape),
            "macs": op_macs(op),
            "constants": sum(t.nbytes for t in op.inputs if t is not None and t.constant),
            "stage": stages.get(op),
            "step": steps[op],
            "arena": used_at(plan, steps[op]),
        }
        for index, op in enumerate(graph.ops)
    ]


def _parameters(model: FloatModel | None) -> int | None:
    """How many numbers the float model holds; None where it doesn't tell (a SavedModel)."""
    count = None if model is None else getattr(model.origin, "count_params", None)
    return None if count is None else int(count())


def accuracy_data(accuracy: Accuracy) -> dict[str, Any]:
    return {
        "float": accuracy.float,
        "int8": accuracy.int8,
        "engine": accuracy.engine,
        "samples": accuracy.samples,
        "intervals": {
            which: None if (one := accuracy.interval(which)) is None else dataclasses.asdict(one)
            for which in ("float", "int8", "engine")
        },
        "change": None if accuracy.change is None else dataclasses.asdict(accuracy.change),
    }


def error_data(error: OutputError) -> dict[str, Any]:
    return dataclasses.asdict(error)


def misfit_data(misfit: DoesNotFit) -> dict[str, Any]:
    """Why a budget isn't met, and what would help: beside the best result, in `optimize --json`."""
    return {
        "what": misfit.what,
        "need": misfit.need,
        "have": misfit.have,
        "binding": list(misfit.binding),
        "limit": misfit.limit or None,
        "remedies": list(misfit.remedies),
    }


def schedule_data(graph: Graph, schedule: Schedule) -> dict[str, Any]:
    """How the engine runs: stages with a band, by the positions of their ops in the graph."""
    from ..patch_split.recompute import AGAIN
    from ..patch_split.walk import walks

    index = {op: i for i, op in enumerate(graph.ops)}
    steps = {stage: walk.steps for stage, walk in walks(graph, schedule).items()}
    return {
        "input": schedule.input,
        "stages": len(schedule.stages),
        "streamed": [
            {
                "ops": [index[op] for op in stage.ops],
                "band": None if stage.band is None else float(stage.band),
                "steps": steps[stage],
                "columns": None if stage.columns is None else dataclasses.asdict(stage.columns),
            }
            for stage in schedule.stages
            if stage.band is not None
        ],
        "made_again": [
            tensor.name.removesuffix(AGAIN)
            for op in graph.ops
            for tensor in op.outputs
            if tensor.name.endswith(AGAIN)
        ],
    }


def point_data(point: Point) -> dict[str, Any]:
    """A point of the front; `instructions` is an estimate, of all its kernels."""
    return {
        "arena": point.peak,
        "extra_macs": point.extra_macs,
        "extra_calls": point.calls,
        "moved": point.moved,
        "instructions": point.work,
        "streamed_stages": sum(stage.band is not None for stage in point.schedule.stages),
    }


def allocations_data(allocations: Allocations) -> dict[str, int]:
    return {
        "head": allocations.head,
        "tail": allocations.tail,
        "total": allocations.total,
    }


def tensor_data(tensor: Tensor) -> dict[str, Any]:
    quantized = tensor.quant is not None and not tensor.quant.per_channel
    return {
        "name": tensor.name,
        "shape": list(tensor.shape),
        "dtype": tensor.dtype,
        "scale": tensor.scale if quantized else None,
        "zero_point": tensor.zero_point if quantized else None,
    }


def difference_data(difference: Difference) -> dict[str, Any]:
    return {
        "bit_exact": difference.equal,
        "max_difference": difference.maximum,
        "agreement": difference.agreement,
        "vectors": difference.samples,
        "first": difference.first or None,
    }


def board_data(board: Board) -> dict[str, Any]:
    return dataclasses.asdict(board)


def graph_data(graph: Graph) -> dict[str, Any]:
    """A graph's shape, its cost and its ops, for `inspect --json`."""
    from ..graph import text
    from ..graph.geometry import macs, op_macs

    lines = text.dump(graph).splitlines()
    return {
        "macs": macs(graph),
        "inputs": [tensor_data(t) for t in graph.inputs],
        "outputs": [tensor_data(t) for t in graph.outputs],
        "ops": [
            {
                "index": i,
                "kind": op.kind,
                "outputs": [tensor_data(t) for t in op.outputs],
                "macs": op_macs(op),
            }
            for i, op in enumerate(graph.ops)
        ],
        "metadata": [name for name, _ in graph.model.metadata],
        "text": lines,
    }
