"""BATCH_MATMUL: products of matrices that are computed, as in attention."""

from __future__ import annotations

from tflm_opt.codegen.axes import broadcast_shape, strides
from tflm_opt.codegen.call import Call, Lowered, Pointer, Struct
from tflm_opt.codegen.lower import lowers
from tflm_opt.errors import UnsupportedModel
from tflm_opt.graph.ir import Op
from tflm_opt.graph.operands import int8, of_rank, product, source
from tflm_opt.graph.options import BatchMatMulOptions
from tflm_opt.quant.numerics import RANGES, product_multiplier

_RANKS = (2, 3, 4, 5)


@lowers("BATCH_MATMUL")
def batch_matmul(op: Op) -> Lowered:
    """[..., rows, depth] by [..., depth, columns]; adj_x and adj_y say which lie transposed."""
    left, right = (of_rank(op, int8(op, source(op, i)), *_RANKS) for i in (0, 1))
    output = int8(op, op.output)
    if not isinstance(op.options, BatchMatMulOptions):
        raise UnsupportedModel("its options are missing", remedy="Export the model again")
    left_shape, right_shape = ((1,) * (5 - len(t.shape)) + t.shape for t in (left, right))
    rows, depth = _matrix(left_shape, op.options.adj_x)
    right_depth, columns = _matrix(right_shape, op.options.adj_y)
    batch = broadcast_shape(left_shape[:3], right_shape[:3])
    if batch is None or depth != right_depth or product((*batch, rows, columns)) != output.elements:
        raise UnsupportedModel(
            f"sides of shapes {list(left.shape)} and {list(right.shape)} don't make an output of "
            f"{list(output.shape)}",
            tensor=output.name,
        )
    left_row, left_step = _matrix(strides(left_shape), op.options.adj_x)
    right_step, right_column = _matrix(strides(right_shape), op.options.adj_y)
    shape = (
        batch,
        _batch_steps(left_shape),
        _batch_steps(right_shape),
        rows,
        columns,
        depth,
        left_row,
        left_step,
        right_column,
        right_step,
    )
    params = (
        -left.zero_point,
        -right.zero_point,
        output.zero_point,
        product_multiplier(left.scale, right.scale, output.scale),
        RANGES["int8"],
    )
    arguments = (
        Struct("tflm_opt_matmul_params", "params", params),
        Struct("tflm_opt_matmul", "shape", shape),
        Pointer(left),
        Pointer(right),
        Pointer(output),
    )
    return Lowered((Call("tflm_opt_batch_matmul_s8", arguments),))


def _matrix(values: tuple[int, ...], transposed: bool) -> tuple[int, int]:
    """The last two of a shape or of its strides, as rows and columns are meant."""
    first, second = values[-2:]
    return (second, first) if transposed else (first, second)


def _batch_steps(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(0 if shape[i] == 1 else strides(shape)[i] for i in range(3))
