"""Remove channels that carry no information, through the ops they pass, bit for bit.

A channel is dead if it holds one constant at every position and all who mix it into their sums
can hold its share in their bias, or if they give it no weight at all. Training with ReLU leaves
many: 971 of the 1 496 pointwise output channels of MLPerf Tiny's person detector.

    conv ─▶ depthwise ─▶ conv        channel 3 of the first convolution has only zero weights:
     3          3          3         it goes, with its filter in the depthwise one, and the next
                                     convolution's bias takes over what it added

Three steps: `channel_ties` says which channels go only together, `constant_channels` which are
constant; a class of tied channels goes if every convolution or fully connected op that reads one
of its channels can do without. The share of a constant channel with value c is
(c - zero point) * (sum of its weights), exact in int32; where padding cuts windows it is the same
at every position only for c = zero point.

No open engine does this; that the best closed ones do is a guess from their published figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..graph import ir
from .channel_ties import Classes, channels_of, classes
from .constant_channels import Channels, analyse
from .drop_channels import drop
from .linear import Linear, fits_int32, linear


@dataclass(frozen=True, slots=True)
class DeadChannels:
    """Drop constant and unread channels. Every tensor keeps at least one."""

    name: ClassVar[str] = "dead_channels"

    def __call__(self, graph: ir.Graph) -> ir.Graph:
        known = analyse(graph)
        tied = classes(graph)
        dead = ~tied.frozen
        for op in graph.ops:
            sums = linear(op)
            source = op.inputs[0] if sums is not None else None
            if sums is not None and source is not None and source in tied.ids:
                given = known.get(source) or Channels.unknown(source)
                needed = ~_can_go(sums, given)
                dead[tied.ids[source][needed]] = False
        _keep_some(graph, tied, dead)
        keep = {tensor: ~dead[ids] for tensor, ids in tied.ids.items()}
        if all(kept.all() for kept in keep.values()):
            return graph
        return drop(graph, keep, known)


def _can_go(sums: Linear, given: Channels) -> np.ndarray:
    """Which input channels this op can do without."""
    unread = ~sums.weights.any(axis=(0, 1))
    movable = sums.same_everywhere(given.values, given.known)
    # Whichever of them go, no bias may leave the int32 range.
    reach = np.abs(sums.shares(given.values, movable)).sum(axis=1) + np.abs(sums.bias)
    return unread | (movable if fits_int32(reach).all() else np.zeros_like(movable))


def _keep_some(graph: ir.Graph, tied: Classes, dead: np.ndarray) -> None:
    """Bring classes back until every tensor has a channel left, a fully connected op's two.

    Two, since TFLM takes weights with one scale for quantized per tensor, and a fully connected
    op rounds its factor differently then.
    """
    least = dict.fromkeys(tied.ids, 1)
    for op in graph.ops:
        if op.kind == "FULLY_CONNECTED" and op.outputs[0] in least:
            least[op.outputs[0]] = min(2, channels_of(op.outputs[0]))
    for tensor, ids in tied.ids.items():
        missing = least[tensor] - int((~dead[ids]).sum())
        if missing > 0:
            gone = dict.fromkeys(ids[dead[ids]].tolist())
            dead[list(gone)[:missing]] = False
