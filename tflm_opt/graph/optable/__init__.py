"""The table of ops: what the toolkit knows of each kind of op that it runs.

    spec = OPS["CONV_2D"]
    spec.shapes(op)                       # ((1, 48, 48, 8),): what TFLM will make
    spec.reach(op, 0, 1).needs(4, 8)      # input rows that output rows 4 to 7 read
    spec.macs(op)                         # multiply-accumulates
    rows()                                # for `tflm-opt ops`
    page()                                # docs/ops.md

The table is the one place for this knowledge: `graph.check` reads its constraints and shape
rules, `geometry` its costs, `patch_split` its receptive fields, and the docs page is made from
it. The engine's lowerings must cover exactly these kinds; a test compares the two.
"""

from __future__ import annotations

from .page import Row, page, rows
from .reach import Reach
from .spec import Broken, Constraint, OpSpec, ShapeError
from .table import OPS

__all__ = [
    "OPS",
    "Broken",
    "Constraint",
    "OpSpec",
    "Reach",
    "Row",
    "ShapeError",
    "page",
    "rows",
]
