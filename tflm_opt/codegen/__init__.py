"""(Graph, Plan) -> C: the engine, without an interpreter.

sources = codegen.generate(graph, plan, name="digits")
codegen.write(sources, "build/digits")
"""

from __future__ import annotations

from tflm_opt.codegen.generate import generate
from tflm_opt.codegen.rooms import Kernels
from tflm_opt.codegen.sources import Port, Sources, load_record, write

__all__ = [
    "Kernels",
    "Port",
    "Sources",
    "access",
    "generate",
    "load_record",
    "scratch",
    "write",
]

# What `arena.plan` asks for, where no op gets scratch that it can do without.
scratch = Kernels().scratch
access = Kernels().access
