"""What a net costs on a microcontroller, from the planner that would deploy it.

A search that estimates memory by a formula of its own finds nets that don't fit. Here the passes,
the schedule search and the arena planner of `optimize` are asked, so the arena is the one that
ships, to the byte. MCUNet (Lin et al., 2020) calls this the co-design of net and runtime.
"""

from __future__ import annotations

from dataclasses import dataclass

from .. import boards, graph, passes
from ..api import DEFAULT_BOARD, SLOWDOWN
from ..furnish import Furnishing
from ..graph import Graph
from ..graph.geometry import macs, weights_bytes
from ..kernels.table import tier_of


@dataclass(frozen=True, slots=True)
class Cost:
    """A net's needs under its best schedule.

    Attributes:
        arena: bytes of RAM for tensors and kernel scratch, as deployed.
        weights: bytes of all constants that the ops read.
        macs: multiply-accumulates of one inference.
        instructions: of one inference on the board's core: an estimate, of kernels with weights.
    """

    arena: int
    weights: int
    macs: int
    instructions: int


def cost(
    model: bytes | Graph, *, input: str = "resident", board: str = DEFAULT_BOARD, seed: int = 0
) -> Cost:
    """What an int8 model costs; no TensorFlow, no compiler.

    Example:
        >>> cost(Path("model.tflite").read_bytes()).arena
        24736

    Args:
        model: the bytes of a `.tflite`, or a graph.
        input: "resident" or "streamed", as in `optimize`.
        board: whose core it is for.
        seed: of the planner's search.

    Raises:
        InvalidModel, UnsupportedModel, UnknownBoard: as `optimize`.
    """
    original = model if isinstance(model, Graph) else graph.read(model)
    optimized = passes.run(original, passes.default_pipeline())
    runs = Furnishing(
        optimized, tier_of(boards.get(board).core), input=input, slowdown=SLOWDOWN, seed=seed
    )
    chosen = runs.found().chosen
    return Cost(chosen.peak, weights_bytes(optimized), macs(optimized), chosen.work)
