"""(Graph, Plan) -> C: the engine, without an interpreter.

sources = codegen.generate(graph, plan, name="digits")
codegen.write(sources, "build/digits")
"""

from __future__ import annotations

from tflm_opt.codegen.copying import copy
from tflm_opt.codegen.generate import generate
from tflm_opt.codegen.rooms import Kernels
from tflm_opt.codegen.sources import RECORD, Port, Sources, load_record, write

__all__ = [
    "RECORD",
    "Kernels",
    "Port",
    "Sources",
    "access",
    "copy",
    "generate",
    "load_record",
    "scratch",
    "write",
]

# What `arena.plan` asks for, where no op gets scratch that it can do without.
scratch = Kernels().scratch
access = Kernels().access
