"""Figures as plain data: dictionaries that `json` takes, the contract that scripts rely on."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..boards import Board
    from ..graph import Graph, Tensor
    from ..result import Result
    from ..runtime.tflm import Allocations
    from ..runtime.vectors import Difference


def result_data(result: Result) -> dict[str, Any]:
    """An optimization's figures; all sizes in bytes."""
    sram, flash = result.sram, result.flash
    tflm = result.tflm
    return {
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
        "arena_bound": result.plan.bound,
        "macs": result.macs,
        "macs_before": result.macs_before,
        "extra_macs": result.extra_macs,
        "bit_exact": result.bit_exact,
        "vectors": result.vectors,
        "tflm": None
        if tflm is None
        else {"before": allocations_data(tflm.before), "after": allocations_data(tflm.after)},
        "inputs": [tensor_data(t) for t in result.graph.inputs],
        "outputs": [tensor_data(t) for t in result.graph.outputs],
        "ops": len(result.graph.ops),
        "warnings": list(result.warnings),
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
