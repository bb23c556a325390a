"""What a net costs on a microcontroller, from the planner that would deploy it.

A search that estimates memory by a formula of its own finds nets that don't fit. Here the passes,
the schedule search and the arena planner of `optimize` are asked, so the arena is the one that
ships, to the byte. MCUNet (Lin et al., 2020) calls this the co-design of net and runtime.
"""

from __future__ import annotations

from dataclasses import dataclass

from .. import codegen, graph, passes
from ..graph import Graph
from ..graph.geometry import macs, weights_bytes
from ..patch_split.orders import search


@dataclass(frozen=True, slots=True)
class Cost:
    """A net's needs under its best schedule.

    Attributes:
        arena: bytes of RAM for tensors and kernel scratch, as deployed.
        weights: bytes of all constants that the ops read.
        macs: multiply-accumulates of one inference.
    """

    arena: int
    weights: int
    macs: int


def cost(model: bytes | Graph, *, input: str = "resident", seed: int = 0) -> Cost:
    """What an int8 model costs; no TensorFlow, no compiler.

    Example:
        >>> cost(Path("model.tflite").read_bytes()).arena
        20896

    Args:
        model: the bytes of a `.tflite`, or a graph.
        input: "resident" or "streamed", as in `optimize`.
        seed: of the planner's search.

    Raises:
        InvalidModel, UnsupportedModel: as `optimize`.
    """
    original = model if isinstance(model, Graph) else graph.read(model)
    optimized = passes.run(original, passes.default_pipeline())
    found = search(
        optimized, input=input, scratch=codegen.scratch, access=codegen.access, seed=seed
    )
    return Cost(found.peak, weights_bytes(optimized), macs(optimized))
