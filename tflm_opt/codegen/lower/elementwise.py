"""ADD, SUB, MUL and SQUARED_DIFFERENCE, of equal shapes or with broadcasting."""

from __future__ import annotations

from collections.abc import Callable

from tflm_opt.codegen.axes import broadcast
from tflm_opt.codegen.call import Call, Lowered, Pointer, Struct
from tflm_opt.codegen.lower import lowers, wide
from tflm_opt.errors import UnsupportedModel
from tflm_opt.graph.ir import Op, Tensor
from tflm_opt.graph.operands import int8, source
from tflm_opt.graph.options import (
    AddOptions,
    BandAddOptions,
    BandMulOptions,
    MulOptions,
    SubOptions,
)
from tflm_opt.quant.numerics import (
    RANGES,
    SumParameters,
    activation_range,
    add_parameters,
    mul_parameters,
    squared_difference_parameters,
    sub_parameters,
)


@lowers("ADD")
def add(op: Op) -> Lowered:
    """Sum; factors in float64."""
    if wide.is_wide(op):
        return _wide_sum("tflm_opt_broadcast_add_s16", op, add_parameters)
    first, second, output = _operands(op)
    factors = add_parameters(first.scale, second.scale, output.scale)
    low, high = _activation(op)
    if isinstance(op.options, BandAddOptions) or not _alike(op):
        return _broadcast_sum("tflm_opt_broadcast_add_s8", op, factors, (low, high))
    params = _sum(op, factors, (low, high))
    data = Pointer(first), Pointer(second), output.elements, Pointer(output)
    return Lowered((Call("tflm_opt_add_s8", (params, *data), status=False),))


@lowers("SUB")
def sub(op: Op) -> Lowered:
    """Difference; factors in float32."""
    if wide.is_wide(op):
        return _wide_sum("tflm_opt_broadcast_sub_s16", op, sub_parameters)
    first, second, output = _operands(op)
    factors = sub_parameters(first.scale, second.scale, output.scale)
    return _broadcast_sum("tflm_opt_broadcast_sub_s8", op, factors, _activation(op))


@lowers("MUL")
def mul(op: Op) -> Lowered:
    """Product."""
    if wide.is_wide(op):
        scales = source(op, 0).scale, source(op, 1).scale, op.output.scale
        return wide.product(op, mul_parameters(*scales), _fused(op))
    first, second, output = _operands(op)
    factor = mul_parameters(first.scale, second.scale, output.scale)
    activation = _activation(op)
    if _alike(op) and not isinstance(op.options, BandMulOptions):
        call = Call(
            "arm_elementwise_mul_s8",
            (
                Pointer(first),
                Pointer(second),
                -first.zero_point,
                -second.zero_point,
                Pointer(output),
                output.zero_point,
                *factor,
                *activation,
                output.elements,
            ),
        )
    else:
        params = Struct(
            "tflm_opt_product_params",
            "params",
            (-first.zero_point, -second.zero_point, output.zero_point, factor, activation),
        )
        call = _broadcast("tflm_opt_broadcast_mul_s8", params, first, second, output)
    return Lowered((call,))


@lowers("SQUARED_DIFFERENCE")
def squared_difference(op: Op) -> Lowered:
    """The difference's square; no activation."""
    first, second, output = _operands(op)
    factors = squared_difference_parameters(first.scale, second.scale, output.scale)
    return _broadcast_sum("tflm_opt_squared_difference_s8", op, factors, RANGES["int8"])


def _operands(op: Op) -> tuple[Tensor, Tensor, Tensor]:
    return int8(op, source(op, 0)), int8(op, source(op, 1)), int8(op, op.output)


def _alike(op: Op) -> bool:
    return source(op, 0).shape == source(op, 1).shape == op.output.shape


def _wide_sum(function: str, op: Op, parameters: Callable[..., SumParameters]) -> Lowered:
    scales = source(op, 0).scale, source(op, 1).scale, op.output.scale
    return wide.pair(function, op, parameters(*scales, left_shift=15), _fused(op))


def _fused(op: Op) -> str:
    if not isinstance(op.options, AddOptions | SubOptions | MulOptions):
        raise UnsupportedModel("its options are missing", remedy="Export the model again")
    return op.options.activation


def _activation(op: Op) -> tuple[int, int]:
    return activation_range(_fused(op), op.output.scale, op.output.zero_point)


def _broadcast_sum(
    function: str, op: Op, factors: SumParameters, activation: tuple[int, int]
) -> Lowered:
    return Lowered((_broadcast(function, _sum(op, factors, activation), *_operands(op)),))


def _sum(op: Op, factors: SumParameters, activation: tuple[int, int]) -> Struct:
    first, second, output = _operands(op)
    return Struct(
        "tflm_opt_sum_params",
        "params",
        (
            factors.left_shift,
            -first.zero_point,
            factors.input1,
            -second.zero_point,
            factors.input2,
            output.zero_point,
            factors.output,
            activation,
        ),
    )


def _broadcast(
    function: str, params: Struct, first: Tensor, second: Tensor, output: Tensor
) -> Call:
    shape = broadcast("shape", first.shape, second.shape, output.shape)
    return Call(function, (params, shape, Pointer(first), Pointer(second), Pointer(output)))
