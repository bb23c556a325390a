"""Ops on two broadcast int8 tensors that need no common scale: MINIMUM, MAXIMUM, PRELU."""

from __future__ import annotations

from tflm_opt.codegen.call import Call, Lowered, Pointer, Scratch, Struct, dims
from tflm_opt.codegen.lower import lowers
from tflm_opt.errors import UnsupportedModel
from tflm_opt.graph.ir import Op, Tensor
from tflm_opt.graph.operands import addressable, has_shape, of_type, per_tensor, source
from tflm_opt.quant.numerics import quantize_multiplier

Shape = tuple[int, ...]


@lowers("MINIMUM", "MAXIMUM")
def extreme(op: Op) -> Lowered:
    """The smaller or larger of the stored values, whatever their scales, as TFLM does."""
    first, second = (of_type(op, source(op, i), "int8") for i in (0, 1))
    of_type(op, op.output, "int8")
    one, two, out = broadcast(op, first, second)
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
    one, two, out = broadcast(op, tensor, alpha)
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


def broadcast(op: Op, first: Tensor, second: Tensor) -> tuple[Shape, Shape, Shape]:
    """Shapes of at most four axes with the same broadcasting: first, second and the output.

    Raises:
        UnsupportedModel: the shapes don't broadcast to the output's, or not in four axes.
    """
    rank = len(addressable(op, op.output).shape)
    if max(len(first.shape), len(second.shape)) > rank:
        has_shape(op, op.output, max(first.shape, second.shape, key=len))
    one = (1,) * (rank - len(first.shape)) + first.shape
    two = (1,) * (rank - len(second.shape)) + second.shape
    for a, b, full in zip(one, two, op.output.shape, strict=True):
        if full != max(a, b) or a not in (1, full) or b not in (1, full):
            raise UnsupportedModel(
                f"{list(first.shape)} and {list(second.shape)} do not broadcast to "
                f"{list(op.output.shape)}",
                tensor=op.output.name,
            )
    axes: list[tuple[int, int]] = []
    for a, b in zip(one, two, strict=True):
        if a == b == 1:
            continue
        before = axes[-1] if axes else (1, 1)
        if axes and (before[0] == 1) == (a == 1) and (before[1] == 1) == (b == 1):
            axes[-1] = (before[0] * a, before[1] * b)
        else:
            axes.append((a, b))
    if len(axes) > 4:
        raise UnsupportedModel(
            f"{op.kind} broadcasts over {len(axes)} groups of axes, and the engine takes 4",
            tensor=op.output.name,
            remedy="Reshape the inputs",
        )
    return (
        tuple(a for a, _ in axes),
        tuple(b for _, b in axes),
        tuple(max(pair) for pair in axes),
    )
