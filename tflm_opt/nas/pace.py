"""From estimated work to instructions and time: constants that were measured."""

from __future__ import annotations

from ..boards import Board
from ..graph.geometry import op_macs
from ..graph.ir import Graph, Op

# Cycles an instruction takes, by core: what `tflm_opt.measure` estimates for nets of a search, as
# `python benchmarks/nas_cost.py` prints. Waits for the flash memory are not in it.
CYCLES = {"cortex-m4": 1.6, "cortex-m7": 1.13, "cortex-m55": 1.58}
_USUAL = 1.6

# Instructions an output element, of ops without weights.
PER_ELEMENT = {"ADD": 12.6, "MEAN": 7.0}
_PER_ELEMENT = 12.0


def others(graph: Graph) -> float:
    """Estimated instructions of the ops that the planner's own estimate leaves out."""
    return sum(_alone(op) for op in graph.ops if not op_macs(op))


def _alone(op: Op) -> float:
    source = op.inputs[0] if op.inputs else None
    elements = max(op.outputs[0].elements, 0 if source is None else source.elements)
    return PER_ELEMENT.get(op.kind, _PER_ELEMENT) * elements


def cycles(instructions: float, board: Board) -> float:
    """Estimated cycles."""
    return instructions * CYCLES.get(board.core, _USUAL)


def instructions_in(milliseconds: float, board: Board) -> float:
    """How many instructions a board runs in that time, by the same estimate."""
    return milliseconds / 1000 * board.clock_hz / cycles(1, board)
