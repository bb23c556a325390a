"""Ops on two broadcast int8 tensors that need no common scale: MINIMUM, MAXIMUM, PRELU."""

from __future__ import annotations

from tflm_opt.codegen.axes import broadcast_axes
from tflm_opt.codegen.call import Call, Lowered, Pointer, Scratch, Struct, dims
from tflm_opt.codegen.lower import lowers
from tflm_opt.graph.ir import Op, Tensor
from tflm_opt.graph.operands import addressable, of_type, per_tensor, source
from tflm_opt.quant.numerics import quantize_multiplier

Shape = tuple[int, ...]


@lowers("MINIMUM", "MAXIMUM")
def extreme(op: Op) -> Lowered:
    """The smaller or larger of the stored values, whatever their scales, as TFLM does."""
    first, second = (of_type(op, source(op, i), "int8") for i in (0, 1))
    of_type(op, op.output, "int8")
    one, two, out = _shapes(op, first, second)
    arguments = (
        Scratch(),
        Pointer(first),
        dims("input_1_dims", one),
        Pointer(second),
        dims("input_2_dims", two),
        Pointer(op.output),
        dims("output_dims", out),
    )
    return Lowered((Call(f"arm_{op.kind.lower()}_s8", arguments),))


@lowers("PRELU")
def prelu(op: Op) -> Lowered:
    """Values below zero multiplied by alpha, which is broadcast (usually one per channel)."""
    tensor, alpha = (per_tensor(op, of_type(op, source(op, i), "int8")) for i in (0, 1))
    target = per_tensor(op, of_type(op, op.output, "int8"))
    one, two, out = _shapes(op, tensor, alpha)
    fields = (
        -tensor.zero_point,
        -alpha.zero_point,
        target.zero_point,
        quantize_multiplier(tensor.scale / target.scale),
        quantize_multiplier(tensor.scale * alpha.scale / target.scale),
    )
    arguments = (
        Struct("tflm_opt_prelu_params", "params", fields),
        Pointer(tensor),
        dims("input_dims", one),
        Pointer(alpha),
        dims("alpha_dims", two),
        Pointer(target),
        dims("output_dims", out),
    )
    return Lowered((Call("tflm_opt_prelu_s8", arguments),))


def _shapes(op: Op, first: Tensor, second: Tensor) -> tuple[Shape, Shape, Shape]:
    """Shapes of at most four axes with the same broadcasting: first, second and the output.

    Raises:
        UnsupportedModel: the shapes don't broadcast to the output's, or not in four axes.
    """
    axes = broadcast_axes(first.shape, second.shape, addressable(op, op.output).shape, most=4)
    one, two = (tuple(a.size if a.strides[i] else 1 for a in axes) for i in (0, 1))
    return one, two, tuple(axis.size for axis in axes)
