"""AVERAGE_POOL_2D and MAX_POOL_2D: windows with explicit padding, which is never counted."""

from __future__ import annotations

from tflm_opt.codegen.call import Call, Lowered, Pointer, Scratch, Struct, dims
from tflm_opt.codegen.lower import lowers, wide
from tflm_opt.codegen.row_sums import row_sums
from tflm_opt.errors import UnsupportedModel
from tflm_opt.graph.ir import Op, Tensor
from tflm_opt.graph.operands import int8, of_rank, source
from tflm_opt.graph.options import PoolOptions, RowSumOptions, out_size
from tflm_opt.quant.numerics import activation_range

_SCALE_TOLERANCE = 1.0e-6  # TFLM's


@lowers("AVERAGE_POOL_2D")
def average_pool_2d(op: Op) -> Lowered:
    """Rounded to nearest, halves away from zero."""
    if isinstance(op.options, RowSumOptions):
        return _rows("tflm_opt_average_rows_s8", op, op.options, size=4)
    return _pool("arm_avgpool", op)


@lowers("MAX_POOL_2D")
def max_pool_2d(op: Op) -> Lowered:
    """The greatest element of each window."""
    if isinstance(op.options, RowSumOptions):
        return _rows("tflm_opt_max_rows_s8", op, op.options, size=1)
    return _pool("arm_max_pool", op)


def _rows(function: str, op: Op, part: RowSumOptions, size: int) -> Lowered:
    rows, output = int8(op, source(op)), int8(op, op.output)
    _check_quantization(rows, output)
    assert isinstance(part.whole, PoolOptions)
    limits = activation_range(part.whole.activation, output.scale, output.zero_point)
    activation = Struct("cmsis_nn_activation", "activation", limits)
    return row_sums(function, part, activation, rows, output, size)


def _pool(function: str, op: Op) -> Lowered:
    data = wide.int16 if wide.is_wide(op) else int8
    image = of_rank(op, data(op, source(op)), 4)
    output = of_rank(op, data(op, op.output), 4)
    options = op.options
    if not isinstance(options, PoolOptions):
        raise UnsupportedModel("its options are missing", remedy="Export the model again")
    _check(image, output, options)
    pad = options.padding
    params = Struct(
        "cmsis_nn_pool_params",
        "params",
        (
            (options.stride[1], options.stride[0]),
            (pad.left, pad.top),
            activation_range(options.activation, output.scale, output.zero_point, output.dtype),
        ),
    )
    return Lowered(
        (
            Call(
                function + ("_s16" if output.dtype == "int16" else "_s8"),
                (
                    Scratch(),
                    params,
                    dims("input_dims", image.shape),
                    Pointer(image),
                    dims("filter_dims", (*options.kernel, 1)),
                    dims("output_dims", output.shape),
                    Pointer(output),
                ),
            ),
        )
    )


def _check(image: Tensor, output: Tensor, options: PoolOptions) -> None:
    """Sizes fit, no window is empty, and both tensors have one quantization."""
    pad = options.padding
    sides = ((pad.top, pad.bottom), (pad.left, pad.right))
    if min(*options.kernel, *options.stride) < 1 or min(*sides[0], *sides[1]) < 0:
        raise UnsupportedModel("its window, stride or padding is out of range")
    if any(max(sides[i]) >= options.kernel[i] for i in range(2)):
        raise UnsupportedModel(
            "its padding is as large as its window, so a window would hold nothing",
            remedy="Pad with a PAD op instead",
        )
    made = tuple(
        out_size(image.shape[1 + i], options.kernel[i], options.stride[i], 1, *sides[i])
        for i in range(2)
    )
    if (image.shape[0], *made, image.shape[3]) != output.shape:
        raise UnsupportedModel(
            f"its output is {list(output.shape)} where its options make {list(made)} "
            "rows and columns",
            tensor=output.name,
        )
    _check_quantization(image, output)


def _check_quantization(image: Tensor, output: Tensor) -> None:
    if abs(image.scale - output.scale) > _SCALE_TOLERANCE or image.zero_point != output.zero_point:
        raise UnsupportedModel(
            f"its input has scale {image.scale:g} and zero point {image.zero_point}, its output "
            f"{output.scale:g} and {output.zero_point}, and pooling can't requantize",
            tensor=output.name,
            remedy="Quantize the float model again",
        )
