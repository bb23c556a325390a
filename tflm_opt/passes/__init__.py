"""Rewrites of a graph, each bit-exact: TFLM computes the same outputs before and after.

A pass is a frozen dataclass whose fields are its options, with a `name` and
`__call__(graph) -> Graph`; the graph is valid before and after.

>>> from tflm_opt import graph, passes
>>> smaller = passes.run(graph.read(data), passes.default_pipeline())

The shape of this room is xDSL's: passes are values, and a pipeline is a tuple of them.
"""

from __future__ import annotations

from .dead_channels import DeadChannels
from .fold_pad import FoldPad
from .legalize import Legalize
from .pipeline import Pass, default_pipeline, run

__all__ = ["DeadChannels", "FoldPad", "Legalize", "Pass", "default_pipeline", "run"]
