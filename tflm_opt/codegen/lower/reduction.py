"""MEAN, SUM, REDUCE_MAX and REDUCE_MIN over any axes.

TFLM's mean folds 1 / count into the factor: the multiplier is shifted left as far as the count
has bits and divided by it, so its precision depends on the count. The same is done here.
"""

from __future__ import annotations

from tflm_opt.codegen.axes import reduction
from tflm_opt.codegen.call import Call, Lowered, Pointer, Struct
from tflm_opt.codegen.lower import lowers, wide
from tflm_opt.codegen.row_sums import row_sums
from tflm_opt.errors import UnsupportedModel
from tflm_opt.graph.ir import Op, Tensor
from tflm_opt.graph.operands import axis_of, constant, int8, of_type, product, source
from tflm_opt.graph.options import ReducerOptions, RowSumOptions
from tflm_opt.quant.numerics import RANGES, mean_multiplier, quantize_multiplier

# Channels that the general kernel takes together.
_TOGETHER = 4


@lowers("MEAN")
def mean(op: Op) -> Lowered:
    """The sum times 1 / count."""
    if isinstance(op.options, RowSumOptions):
        return _mean_rows(op, op.options)
    tensor, output, axes = _operands(op)
    count = product(tuple(tensor.shape[axis] for axis in axes))
    factor = mean_multiplier(tensor.scale / output.scale, count)
    return wide.total(op, axes, factor) if wide.is_wide(op) else _sum(tensor, output, axes, factor)


@lowers("SUM")
def sum_(op: Op) -> Lowered:
    """The sum, requantized."""
    if isinstance(op.options, RowSumOptions):
        return _sum_rows(op, op.options)
    tensor, output, axes = _operands(op)
    factor = quantize_multiplier(tensor.scale / output.scale)
    return wide.total(op, axes, factor) if wide.is_wide(op) else _sum(tensor, output, axes, factor)


@lowers("REDUCE_MAX")
def reduce_max(op: Op) -> Lowered:
    """The greatest element."""
    if isinstance(op.options, RowSumOptions):
        return _max_rows(op, op.options)
    return _extreme("tflm_opt_reduce_max_s8", op)


@lowers("REDUCE_MIN")
def reduce_min(op: Op) -> Lowered:
    """The least element."""
    return _extreme("tflm_opt_reduce_min_s8", op)


def _operands(op: Op) -> tuple[Tensor, Tensor, frozenset[int]]:
    data = wide.int16 if wide.is_wide(op) and op.kind in ("MEAN", "SUM") else int8
    tensor = data(op, source(op))
    output = data(op, op.output)
    of_type(op, source(op, 1), "int32")
    listed = constant(op, 1, "list of axes")
    axes = frozenset(axis_of(op, axis, len(tensor.shape)) for axis in listed)
    keep = isinstance(op.options, ReducerOptions) and op.options.keep_dims
    made = tuple(
        1 if i in axes else size for i, size in enumerate(tensor.shape) if keep or i not in axes
    )
    if product(made) != output.elements:
        raise UnsupportedModel(
            f"its output is {list(output.shape)} where its axes make {list(made)}",
            tensor=output.name,
        )
    return tensor, output, axes


def _mean_rows(op: Op, part: RowSumOptions) -> Lowered:
    rows, output, _ = _operands(op)
    params = _params(rows, output, mean_multiplier(rows.scale / output.scale, part.count))
    return row_sums("tflm_opt_mean_rows_s8", part, params, rows, output, size=4)


def _sum_rows(op: Op, part: RowSumOptions) -> Lowered:
    """As a mean whose factor does not divide by the count."""
    rows, output, _ = _operands(op)
    params = _params(rows, output, quantize_multiplier(rows.scale / output.scale))
    return row_sums("tflm_opt_mean_rows_s8", part, params, rows, output, size=4)


def _max_rows(op: Op, part: RowSumOptions) -> Lowered:
    rows, output, _ = _operands(op)
    _check_alike(rows, output)
    limits = Struct("cmsis_nn_activation", "activation", RANGES["int8"])
    return row_sums("tflm_opt_max_rows_s8", part, limits, rows, output, size=1)


def _sum(tensor: Tensor, output: Tensor, axes: frozenset[int], factor: tuple[int, int]) -> Lowered:
    params = _params(tensor, output, factor)
    shape = reduction("shape", tensor.shape, axes)
    arguments = params, shape, Pointer(tensor), Pointer(output)
    if _in_runs(shape):
        return Lowered((Call("tflm_opt_sum_runs_s8", arguments, status=False),))
    return Lowered((Call("tflm_opt_sum_s8", arguments),))


def _in_runs(shape: Struct) -> bool:
    """Whether outputs make one line, of runs, and no four are neighbours as their elements are."""
    kept, steps, folded, _ = (field for field in shape.fields if isinstance(field, tuple))
    count = kept[-1]
    alone = isinstance(count, int) and (steps[-1] != 1 or count < _TOGETHER)
    return alone and {*kept[:-1], *folded[:-1]} == {1}


def _params(tensor: Tensor, output: Tensor, factor: tuple[int, int]) -> Struct:
    fields = (-tensor.zero_point, output.zero_point, factor)
    return Struct("tflm_opt_reduce_params", "params", fields)


def _extreme(function: str, op: Op) -> Lowered:
    tensor, output, axes = _operands(op)
    _check_alike(tensor, output)
    shape = reduction("shape", tensor.shape, axes)
    return Lowered((Call(function, (shape, Pointer(tensor), Pointer(output))),))


def _check_alike(tensor: Tensor, output: Tensor) -> None:
    if tensor.scale != output.scale or tensor.zero_point != output.zero_point:
        raise UnsupportedModel(
            "its input and output have different scales or zero points, and TFLM refuses that",
            tensor=output.name,
            remedy="Quantize the float model again",
        )
