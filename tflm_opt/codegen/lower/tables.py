"""Unary ops on int8 as tables, and conversions between types: QUANTIZE and DEQUANTIZE."""

from __future__ import annotations

from tflm_opt.codegen.call import Call, Constant, Lowered, Pointer, Struct
from tflm_opt.codegen.lower import lowers, wide
from tflm_opt.errors import UnsupportedModel
from tflm_opt.graph.ir import Op
from tflm_opt.graph.operands import addressable, has_shape, of_type, per_tensor, source
from tflm_opt.quant import tables
from tflm_opt.quant.numerics import quantize_multiplier

# What TFLM's QUANTIZE can do, beside tables and floats.
_RESCALES = {
    ("int8", "int16"),
    ("int8", "int32"),
    ("int16", "int8"),
    ("int16", "int16"),
    ("int16", "int32"),
    ("int32", "int8"),
    ("int32", "int16"),
}
_SUFFIX = {"int8": "s8", "uint8": "u8", "int16": "s16"}


@lowers(*(kind for kind in tables.KINDS if kind != "QUANTIZE"))
def unary(op: Op) -> Lowered:
    """An op that maps every int8 to an int8; some also int16."""
    tensor = source(op)
    _same_size(op)
    if wide.is_wide(op) and op.kind in wide.UNARY:
        return wide.unary(op)
    table = Constant("table", tables.table(op))
    arguments = (Pointer(tensor), table, tensor.elements, Pointer(op.output))
    return Lowered((Call("tflm_opt_lut_s8", arguments, status=False),))


def _same_size(op: Op) -> None:
    has_shape(op, addressable(op, op.output), source(op).shape)


@lowers("QUANTIZE")
def quantize(op: Op) -> Lowered:
    """QUANTIZE from float to int8 or int16, and between integers."""
    tensor, target = source(op), op.output
    _same_size(op)
    per_tensor(op, target)
    pair = (tensor.dtype, target.dtype)
    if pair in {("int8", "int8"), ("int8", "uint8"), ("uint8", "int8")}:
        return unary(op)
    if pair in {("float32", "int8"), ("float32", "int16")}:
        function = f"tflm_opt_quantize_f32_{_SUFFIX[target.dtype]}"
        numbers = (target.scale, target.zero_point, tensor.elements)
        call = Call(function, (Pointer(tensor), *numbers, Pointer(target)), status=False)
        return Lowered((call,))
    if pair not in _RESCALES:
        raise UnsupportedModel(
            f"TFLM's QUANTIZE does not turn {tensor.dtype} into {target.dtype}", tensor=target.name
        )
    multiplier, shift = quantize_multiplier(per_tensor(op, tensor).scale / target.scale)
    fields = (
        tensor.itemsize,
        target.itemsize,
        multiplier,
        shift,
        tensor.zero_point,
        target.zero_point,
    )
    params = Struct("tflm_opt_rescale_params", "params", fields)
    arguments = (params, Pointer(tensor), tensor.elements, Pointer(target))
    return Lowered((Call("tflm_opt_rescale", arguments, status=False),))


@lowers("DEQUANTIZE")
def dequantize(op: Op) -> Lowered:
    """DEQUANTIZE to float."""
    tensor = per_tensor(op, of_type(op, source(op), "int8", "uint8", "int16"))
    target = of_type(op, op.output, "float32")
    _same_size(op)
    function = f"tflm_opt_dequantize_{_SUFFIX[tensor.dtype]}_f32"
    numbers = (tensor.scale, tensor.zero_point, tensor.elements)
    call = Call(function, (Pointer(tensor), *numbers, Pointer(target)), status=False)
    return Lowered((call,))
