"""Ops that give a tensor another shape and move nothing: the output is the input's memory."""

from __future__ import annotations

from tflm_opt.codegen.call import Lowered
from tflm_opt.codegen.lower import lowers
from tflm_opt.errors import UnsupportedModel
from tflm_opt.graph.ir import Op
from tflm_opt.graph.operands import moved, of_type, source


@lowers("RESHAPE", "SQUEEZE")
def view(op: Op) -> Lowered:
    """RESHAPE and SQUEEZE of any type; the shape is the output tensor's."""
    tensor = moved(op, 0, source(op).dtype)
    if op.output.elements != tensor.elements:
        raise UnsupportedModel(
            f"{op.kind} turns {tensor.elements} values into {op.output.elements}",
            tensor=op.output.name,
            remedy="Export the model again with fixed shapes",
        )
    return Lowered(view=True)


@lowers("EXPAND_DIMS")
def expand_dims(op: Op) -> Lowered:
    """EXPAND_DIMS of what TFLM takes."""
    of_type(op, source(op), "int8", "int16", "float32")
    return view(op)
