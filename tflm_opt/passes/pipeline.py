"""Run passes in order, and the order that `optimize` uses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, Protocol

from .. import graph as graph_room
from ..errors import UnsupportedModel
from ..graph import ir
from ..graph.check import COMPRESSION_METADATA
from .borders import Borders
from .dead_channels import DeadChannels
from .fold_constants import FoldConstants
from .fold_pad import FoldPad
from .fuse_activation import FuseActivation
from .identities import Identities
from .prune import Prune

IO = Literal["int8", "float32"]
_MAX_ROUNDS = 20


class Pass(Protocol):
    """What a pass is: a name for messages, and a rewrite that keeps every output bit."""

    name: ClassVar[str]

    def __call__(self, graph: ir.Graph, /) -> ir.Graph: ...


def default_pipeline(io: IO = "int8") -> tuple[Pass, ...]:
    """The passes of `optimize`, in order.

    Args:
        io: "int8" takes QUANTIZE and DEQUANTIZE off the model's inputs and outputs, "float32"
            leaves inputs and outputs as they are.
    """
    if io not in ("int8", "float32"):
        raise ValueError(f"io={io!r}: write 'int8' or 'float32'")
    return (
        FoldConstants(),
        *((Borders(),) if io == "int8" else ()),
        Identities(),
        FuseActivation(),
        FoldPad(),
        DeadChannels(),
        Prune(),
    )


def run(graph: ir.Graph, passes: Sequence[Pass], *, check: bool = True) -> ir.Graph:
    """The graph after every pass, repeated until none changes it.

    One pass uncovers work for another (a folded constant makes a branch dead), so the sequence
    is run again as long as something changes; the result is a fixed point of every pass.

    Args:
        check: verify the result with `graph.check`. A graph that is valid at first is verified
            after every pass, so that a pass that breaks it is named; one that is not may become
            valid (ops that TFLM lacks but that compute constants).

    Raises:
        UnsupportedModel: compressed weights; or what `graph.check` refuses in the result.
    """
    if any(name == COMPRESSION_METADATA for name, _ in graph.model.metadata):
        raise UnsupportedModel(
            f"the weights are compressed for TFLM ({COMPRESSION_METADATA})",
            remedy="Optimize the uncompressed file, and compress the result",
        )
    valid = check and _complaint(graph) is None
    for _ in range(_MAX_ROUNDS):
        before = graph
        for each in passes:
            after = each(graph)
            if valid and after is not graph and (complaint := _complaint(after)):
                raise RuntimeError(f"the pass {each.name} broke the graph: {complaint}")
            graph = after
        if graph is before:
            if check and not valid:
                graph_room.check(graph)
            return graph
    names = ", ".join(each.name for each in passes)
    raise RuntimeError(f"passes undo each other without end: {names}")


def _complaint(graph: ir.Graph) -> UnsupportedModel | None:
    try:
        graph_room.check(graph)
    except UnsupportedModel as error:
        return error
    return None
