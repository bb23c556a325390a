"""Constraints that ops must meet. Each docstring is the sentence that the user sees.

A constraint takes an op and returns None where it holds, else a `Broken` that says what is there
instead. Constraints with parameters are made by functions that set the docstring. They run in
the order in which the table lists them, and may rely on those before.
"""

from __future__ import annotations

import numpy as np

from ..ir import Op, Tensor
from .spec import Broken, Constraint, axis_of, integers

RE_EXPORT = "Convert the model again with full int8 quantization (tflm_opt.quant does it)"


def _named(function: Constraint, sentence: str) -> Constraint:
    function.__doc__ = sentence
    return function


def _inputs(op: Op, *indices: int) -> list[Tensor]:
    chosen = [op.inputs[i] for i in indices if i < len(op.inputs)]
    return [tensor for tensor in chosen if tensor is not None]


def input_is(index: int, what: str, *dtypes: str) -> Constraint:
    """Input `index` has one of the element types."""

    def constraint(op: Op) -> Broken | None:
        for tensor in _inputs(op, index):
            if tensor.dtype not in dtypes:
                return Broken(f"it is {tensor.dtype}", tensor, dtype_remedy(tensor))
        return None

    return _named(constraint, f"The {what} is {' or '.join(dtypes)}.")


def inputs_are(*dtypes: str) -> Constraint:
    """All inputs have one of the element types."""

    def constraint(op: Op) -> Broken | None:
        for tensor in op.inputs:
            if tensor is not None and tensor.dtype not in dtypes:
                return Broken(f"it is {tensor.dtype}", tensor, dtype_remedy(tensor))
        return None

    return _named(constraint, f"All inputs are {' or '.join(dtypes)}.")


def outputs_are(*dtypes: str) -> Constraint:
    def constraint(op: Op) -> Broken | None:
        for tensor in op.outputs:
            if tensor.dtype not in dtypes:
                return Broken(f"it is {tensor.dtype}", tensor, dtype_remedy(tensor))
        return None

    return _named(constraint, f"Outputs are {' or '.join(dtypes)}.")


# Ops of which TFLM takes int4 filters.
INT4_FILTERS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


def dtype_remedy(tensor: Tensor) -> str:
    if tensor.dtype == "uint8":
        return "uint8 files come from old converters. " + RE_EXPORT
    if tensor.dtype in ("float32", "float16", "float64"):
        return "The model is not, or only partly, quantized. " + RE_EXPORT
    if tensor.dtype == "int16":
        return f"This op has no int16 form here. {RE_EXPORT}"
    if tensor.dtype in ("int64", "int4"):
        return f"{tensor.dtype} is not supported here yet. {RE_EXPORT}"
    return RE_EXPORT


def same_dtype(*indices: int) -> Constraint:
    def constraint(op: Op) -> Broken | None:
        want = op.outputs[0].dtype
        for tensor in (*_inputs(op, *indices), *op.outputs):
            if tensor.dtype != want:
                return Broken(f"{tensor.dtype} and {want}", tensor)
        return None

    return _named(constraint, "Data inputs and outputs have the same element type.")


def constant(index: int, what: str) -> Constraint:
    def constraint(op: Op) -> Broken | None:
        for tensor in _inputs(op, index):
            if tensor.data is None and tensor.elements:
                return Broken("it is computed when the model runs", tensor)
        return None

    return _named(constraint, f"The {what} is constant.")


def activations_quantized(op: Op) -> Broken | None:
    """int8 data has one positive scale and a zero point from -128 to 127."""
    for tensor in (*op.inputs, *op.outputs):
        if tensor is None or tensor.dtype != "int8" or _is_weights(op, tensor):
            continue
        quant = tensor.quant
        if quant is None:
            return Broken("it has no quantization parameters", tensor, RE_EXPORT)
        if quant.per_channel:
            return Broken(f"it has {quant.scale.size} scales", tensor, RE_EXPORT)
        if quant.scale[0] <= 0:
            return Broken(f"its scale is {quant.scale[0]}", tensor, RE_EXPORT)
        if not -128 <= int(quant.zero_point[0]) <= 127:
            return Broken(f"its zero point is {quant.zero_point[0]}", tensor, RE_EXPORT)
    return None


def int16_symmetric(op: Op) -> Broken | None:
    """int16 data has one positive scale and zero point 0."""
    for tensor in (*op.inputs, *op.outputs):
        if tensor is None or tensor.dtype != "int16":
            continue
        quant = tensor.quant
        if quant is None:
            return Broken("it has no quantization parameters", tensor, RE_EXPORT)
        if quant.per_channel or quant.scale[0] <= 0 or quant.zero_point[0] != 0:
            said = f"scale {quant.scale[0]} and zero point {quant.zero_point[0]}"
            return Broken(f"it has {said}", tensor, RE_EXPORT)
    return None


WEIGHT_INPUTS = {
    "CONV_2D": 1,
    "DEPTHWISE_CONV_2D": 1,
    "TRANSPOSE_CONV": 1,
    "FULLY_CONNECTED": 1,
}


def _is_weights(op: Op, tensor: Tensor) -> bool:
    index = WEIGHT_INPUTS.get(op.kind)
    return index is not None and index < len(op.inputs) and op.inputs[index] is tensor


def weights_quantized(axis: int) -> Constraint:
    """Weights are symmetric, per tensor or per output channel."""

    def constraint(op: Op) -> Broken | None:
        weights = op.inputs[1]
        if weights is None or weights.quant is None:
            return Broken("they have no quantization parameters", weights, RE_EXPORT)
        quant = weights.quant
        if np.any(quant.zero_point != 0):
            return Broken("they are not symmetric", weights, RE_EXPORT)
        if quant.per_channel and (quant.axis != axis or quant.scale.size != weights.shape[axis]):
            return Broken(
                f"{quant.scale.size} scales along axis {quant.axis} of {list(weights.shape)}",
                weights,
                RE_EXPORT,
            )
        return None

    return _named(
        constraint,
        f"Weights have zero point 0, and one scale or one for each output channel (axis {axis}).",
    )


def int4_of_int8_data(op: Op) -> Broken | None:
    """A filter of int16 data is int8."""
    filters = op.inputs[1]
    if filters is not None and filters.dtype == "int4" and op.outputs[0].dtype == "int16":
        return Broken("it is int4", filters, "Keep its weights int8, or its data")
    return None


def int4_of_one_scale(op: Op) -> Broken | None:
    """An int4 filter has one scale."""
    filters = op.inputs[1]
    if filters is None or filters.dtype != "int4" or filters.quant is None:
        return None
    if filters.quant.per_channel:
        remedy = "Quantize it per tensor, or keep it int8"
        return Broken(f"it has {filters.quant.scale.size}", filters, remedy)
    return None


def bias_int32(index: int, *, wide: tuple[str, ...] = ("int32", "int64")) -> Constraint:
    """`wide`: what it may be where the data is int16."""

    def constraint(op: Op) -> Broken | None:
        allowed = wide if op.outputs[0].dtype == "int16" else ("int32",)
        for tensor in _inputs(op, index):
            if tensor.dtype not in allowed:
                return Broken(f"it is {tensor.dtype}", tensor, RE_EXPORT)
        return None

    return _named(constraint, f"The bias is int32, that of int16 data {' or '.join(wide)}.")


def rank_at_most(limit: int, *indices: int) -> Constraint:
    def constraint(op: Op) -> Broken | None:
        for tensor in (*_inputs(op, *(indices or (0,))), *op.outputs):
            if len(tensor.shape) > limit:
                return Broken(f"it has {len(tensor.shape)}", tensor)
        return None

    return _named(constraint, f"Data has at most {limit} dimensions.")


def rank_is(rank: int, index: int = 0) -> Constraint:
    def constraint(op: Op) -> Broken | None:
        for tensor in _inputs(op, index):
            if len(tensor.shape) != rank:
                return Broken(f"it has {len(tensor.shape)}", tensor)
        return None

    return _named(constraint, f"The input has {rank} dimensions.")


def activation_among(*names: str) -> Constraint:
    def constraint(op: Op) -> Broken | None:
        activation = getattr(op.options, "activation", "NONE")
        return None if activation in names else Broken(f"it is {activation}")

    return _named(constraint, f"The fused activation is one of {', '.join(n for n in names)}.")


def nearly_same_quantization(op: Op) -> Broken | None:
    """Input and output have the same zero point, and scales within 0.000001."""
    source, output = op.inputs[0], op.outputs[0]
    if source is None or source.quant is None or output.quant is None:
        return None
    same_zero = source.zero_point == output.zero_point
    if not same_zero or abs(source.scale - output.scale) > 1e-6:
        return Broken("they differ", output, RE_EXPORT)
    return None


def same_quantization(op: Op) -> Broken | None:
    """All int8 inputs and the output have the same scale and zero point."""
    output = op.outputs[0]
    if output.dtype != "int8" or output.quant is None:
        return None
    for tensor in op.inputs:
        if tensor is not None and tensor.dtype == "int8" and not output.quant.same_as(tensor.quant):
            return Broken("they differ", tensor, RE_EXPORT)
    return None


def fixed_output(zero_point: int, scale: float | None = None) -> Constraint:
    """TFLM's kernels assume an output quantization that depends on the op alone."""

    def constraint(op: Op) -> Broken | None:
        output = op.outputs[0]
        if output.dtype == "int16":  # see fixed_int16_output
            return None
        if output.zero_point != zero_point:
            return Broken(f"its zero point is {output.zero_point}", output, RE_EXPORT)
        if scale is not None and output.scale != scale:
            return Broken(f"its scale is {output.scale}", output, RE_EXPORT)
        return None

    scale_words = f"scale 1/{round(1 / scale)} and " if scale is not None else ""
    return _named(constraint, f"The output has {scale_words}zero point {zero_point}.")


def fixed_int16_output(op: Op) -> Broken | None:
    """int16 outputs have scale 1/32768."""
    output = op.outputs[0]
    if output.dtype == "int16" and output.scale != 1 / 32768:
        return Broken(f"its scale is {output.scale}", output, RE_EXPORT)
    return None


def corners_or_centers(op: Op) -> Broken | None:
    """align_corners and half_pixel_centers are not both set."""
    both = getattr(op.options, "align_corners", False) and getattr(
        op.options, "half_pixel_centers", False
    )
    return Broken("both are set") if both else None


def default_weights_format(op: Op) -> Broken | None:
    """Weights are stored in the default, row by row format."""
    number = getattr(op.options, "weights_format", 0)
    return Broken(f"the format is number {number}") if number else None


def no_offset(op: Op) -> Broken | None:
    """The option `offset` is not set, and neither are the masks for new axes and ellipsis."""
    for name in ("offset", "new_axis_mask", "ellipsis_mask"):
        if getattr(op.options, name, 0):
            return Broken(f"{name} is set")
    return None


def inputs_at_most(limit: int) -> Constraint:
    def constraint(op: Op) -> Broken | None:
        return None if len(op.inputs) <= limit else Broken(f"there are {len(op.inputs)}")

    return _named(constraint, f"There are at most {limit} inputs.")


QUANTIZE_PAIRS = {
    ("float32", "int8"),
    ("int8", "int8"),
    ("int8", "uint8"),
    ("uint8", "int8"),
    ("float32", "int16"),
    ("int8", "int16"),
    ("int16", "int8"),
    ("int16", "int16"),
}
DEQUANTIZE_PAIRS = {("int8", "float32"), ("uint8", "float32"), ("int16", "float32")}


def quantize_types(op: Op) -> Broken | None:
    """It turns float32, int8 or int16 into int8 or int16, or int8 into uint8 or back."""
    return _type_pair(op, QUANTIZE_PAIRS)


def dequantize_types(op: Op) -> Broken | None:
    """It turns int8, uint8 or int16 into float32."""
    return _type_pair(op, DEQUANTIZE_PAIRS)


def _type_pair(op: Op, allowed: set[tuple[str, str]]) -> Broken | None:
    source, output = op.inputs[0], op.outputs[0]
    if source is None:
        return Broken("its input is missing")
    if (source.dtype, output.dtype) in allowed:
        return None
    return Broken(f"it turns {source.dtype} into {output.dtype}", output, dtype_remedy(output))


def neighbouring_axes(op: Op) -> Broken | None:
    """The reversed axes follow each other."""
    source = op.inputs[0]
    rank = len(source.shape) if source is not None else 0
    axes = sorted(axis_of(axis, rank) for axis in integers(op, 1))
    if not axes or axes != list(range(axes[0], axes[0] + len(axes))):
        return Broken(f"they are {axes}", source)
    return None


def pads_with_zero(op: Op) -> Broken | None:
    """Without padding, or with an output whose zero point is 0: TFLM pads with stored zeros."""
    output = op.outputs[0]
    if any(integers(op, 2)) and output.quant is not None and output.zero_point != 0:
        return Broken(
            f"it pads, and the zero point is {output.zero_point}",
            output,
            "Pad with PAD before it, or use a dilated convolution",
        )
    return None


def sentence(constraint: Constraint) -> str:
    """The sentence of a constraint: the first paragraph of its docstring, on one line."""
    return " ".join((constraint.__doc__ or "").split("\n\n")[0].split())
