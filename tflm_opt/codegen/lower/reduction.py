"""MEAN, SUM, REDUCE_MAX and REDUCE_MIN over any axes.

TFLM's mean folds 1 / count into the factor: the multiplier is shifted left as far as the count
has bits and divided by it, so its precision depends on the count. The same is done here.
"""

from __future__ import annotations

from tflm_opt.codegen import require
from tflm_opt.codegen.axes import reduction
from tflm_opt.codegen.call import Call, Lowered, Pointer, Struct
from tflm_opt.codegen.lower import lowers
from tflm_opt.errors import UnsupportedModel
from tflm_opt.graph.ir import Op, Tensor
from tflm_opt.graph.options import ReducerOptions
from tflm_opt.quant.numerics import mean_multiplier, quantize_multiplier


@lowers("MEAN")
def mean(op: Op) -> Lowered:
    """The sum times 1 / count."""
    source, output, axes = _operands(op)
    count = 1
    for axis in axes:
        count *= source.shape[axis]
    return _sum(source, output, axes, mean_multiplier(source.scale / output.scale, count))


@lowers("SUM")
def sum_(op: Op) -> Lowered:
    """The sum, requantized."""
    source, output, axes = _operands(op)
    return _sum(source, output, axes, quantize_multiplier(source.scale / output.scale))


@lowers("REDUCE_MAX")
def reduce_max(op: Op) -> Lowered:
    """The greatest element."""
    return _extreme("tflm_opt_reduce_max_s8", op)


@lowers("REDUCE_MIN")
def reduce_min(op: Op) -> Lowered:
    """The least element."""
    return _extreme("tflm_opt_reduce_min_s8", op)


def _operands(op: Op) -> tuple[Tensor, Tensor, frozenset[int]]:
    source = require.int8(require.present(op, 0, "input"), "input")
    output = require.int8(op.output, "output")
    rank = len(source.shape)
    axes_tensor = require.present(op, 1, "list of axes")
    listed = [int(axis) for axis in require.constant(axes_tensor, "list of axes").reshape(-1)]
    if axes_tensor.dtype != "int32" or any(not -rank <= axis < rank for axis in listed):
        raise UnsupportedModel(
            f"its axes {listed} ({axes_tensor.dtype}) are not axes of {list(source.shape)}",
            tensor=axes_tensor.name,
        )
    axes = frozenset(axis % rank for axis in listed)
    keep = isinstance(op.options, ReducerOptions) and op.options.keep_dims
    made = tuple(
        1 if i in axes else size for i, size in enumerate(source.shape) if keep or i not in axes
    )
    elements = 1
    for size in made:
        elements *= size
    if elements != output.elements or source.elements < 1:
        raise UnsupportedModel(
            f"its output is {list(output.shape)} where its axes make {list(made)}",
            tensor=output.name,
        )
    return source, output, axes


def _sum(source: Tensor, output: Tensor, axes: frozenset[int], factor: tuple[int, int]) -> Lowered:
    params = Struct(
        "tflm_opt_reduce_params", "params", (-source.zero_point, output.zero_point, factor)
    )
    shape = reduction("shape", source.shape, axes)
    return Lowered((Call("tflm_opt_sum_s8", (params, shape, Pointer(source), Pointer(output))),))


def _extreme(function: str, op: Op) -> Lowered:
    source, output, axes = _operands(op)
    if source.scale != output.scale or source.zero_point != output.zero_point:
        raise UnsupportedModel(
            "its input and output have different scales or zero points, and TFLM refuses that",
            tensor=output.name,
            remedy="Quantize the float model again",
        )
    shape = reduction("shape", source.shape, axes)
    return Lowered((Call(function, (shape, Pointer(source), Pointer(output))),))
