"""(Graph, Plan) -> C: the engine, without an interpreter.

sources = codegen.generate(graph, plan, name="digits")
codegen.write(sources, "build/digits")
"""

from __future__ import annotations

from tflm_opt.codegen.generate import access, generate, scratch
from tflm_opt.codegen.sources import Port, Sources, load_record, write

__all__ = ["Port", "Sources", "access", "generate", "load_record", "scratch", "write"]
