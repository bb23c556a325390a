"""SOFTMAX over the last axis, int8 to int8."""

from __future__ import annotations

from tflm_opt.codegen.call import Call, Lowered, Pointer
from tflm_opt.codegen.lower import lowers, wide
from tflm_opt.errors import UnsupportedModel
from tflm_opt.graph.ir import Op
from tflm_opt.graph.operands import int8, source
from tflm_opt.graph.options import SoftmaxOptions
from tflm_opt.quant.numerics import softmax_parameters


@lowers("SOFTMAX")
def softmax(op: Op) -> Lowered:
    """The output's scale is 1/256 and its zero point -128, or TFLM refuses."""
    if wide.is_wide(op):
        return wide.softmax(op)
    logits = int8(op, source(op))
    output = int8(op, op.output)
    if not isinstance(op.options, SoftmaxOptions):
        raise UnsupportedModel("its options are missing", remedy="Export the model again")
    if output.scale != 1.0 / 256 or output.zero_point != -128:
        raise UnsupportedModel(
            f"its output has scale {output.scale:g} and zero point {output.zero_point}, and "
            "softmax needs 1/256 and -128",
            tensor=output.name,
            remedy="Quantize the float model again",
        )
    if not logits.shape or logits.shape != output.shape:
        raise UnsupportedModel(
            f"its input is {list(logits.shape)} and its output {list(output.shape)}",
            tensor=output.name,
        )
    row = logits.shape[-1]
    params = softmax_parameters(op.options.beta, logits.scale)
    return Lowered(
        (
            Call(
                "arm_softmax_s8",
                (
                    Pointer(logits),
                    logits.elements // row,
                    row,
                    params.multiplier,
                    params.shift,
                    params.diff_min,
                    Pointer(output),
                ),
                status=False,
            ),
        )
    )
