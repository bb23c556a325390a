"""Rewrites of a graph, each bit-exact: TFLM computes the same outputs before and after.

A pass is a frozen dataclass whose fields are its options, with a `name` and
`__call__(graph) -> Graph`; the graph is valid before and after, and a pass that finds nothing to
do returns the graph it got.

>>> from tflm_opt import graph, passes
>>> smaller = passes.run(graph.read(data), passes.default_pipeline())
>>> tflite = graph.write(passes.Legalize()(smaller))

The shape of this room is xDSL's: passes are values, and a pipeline is a tuple of them.
"""

from __future__ import annotations

from .borders import Borders
from .dead_channels import DeadChannels
from .fold_constants import FoldConstants
from .fold_pad import FoldPad
from .fuse_activation import FuseActivation
from .identities import Identities
from .legalize import Legalize
from .pipeline import Pass, default_pipeline, run
from .prune import Prune

__all__ = [
    "Borders",
    "DeadChannels",
    "FoldConstants",
    "FoldPad",
    "FuseActivation",
    "Identities",
    "Legalize",
    "Pass",
    "Prune",
    "default_pipeline",
    "run",
]
