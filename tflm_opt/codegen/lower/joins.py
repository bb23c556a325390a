"""Ops that put tensors together or put borders around them: CONCATENATION, PACK, PAD, PADV2."""

from __future__ import annotations

import numpy as np

from tflm_opt.codegen.call import Call, Constant, Lowered, Pointer, Pointers, Struct, dims
from tflm_opt.codegen.lower import lowers
from tflm_opt.errors import UnsupportedModel
from tflm_opt.graph.ir import Op, Tensor
from tflm_opt.graph.operands import (
    axis_of,
    constant,
    has_shape,
    moved,
    of_type,
    per_tensor,
    product,
    source,
)
from tflm_opt.graph.options import ConcatenationOptions, PackOptions

MAX_INPUTS = 10  # of TFLM's CONCATENATION


@lowers("CONCATENATION")
def concatenation(op: Op) -> Lowered:
    """CONCATENATION of up to ten tensors; int8 ones all quantized like the output."""
    options = op.options if isinstance(op.options, ConcatenationOptions) else ConcatenationOptions()
    if options.activation != "NONE":
        raise UnsupportedModel(
            f"CONCATENATION with a fused {options.activation}", tensor=op.output.name
        )
    if len(op.inputs) > MAX_INPUTS:
        raise UnsupportedModel(
            f"TFLM joins at most {MAX_INPUTS} tensors at once, and these are {len(op.inputs)}",
            tensor=op.output.name,
            remedy="Concatenate in two steps",
        )
    axis = axis_of(op, options.axis, len(op.output.shape))
    tensors = tuple(_joined(op, index, axis) for index in range(len(op.inputs)))
    if sum(tensor.shape[axis] for tensor in tensors) != op.output.shape[axis]:
        raise UnsupportedModel("the parts do not add up to the output", tensor=op.output.name)
    runs = [product(tensor.shape[axis:]) * tensor.itemsize for tensor in tensors]
    return _join(op.output, tensors, runs, product(op.output.shape[:axis]))


def _joined(op: Op, index: int, axis: int) -> Tensor:
    """Input `index`, of the output's shape but for the axis, and quantized like it."""
    tensor = moved(op, index, "int8", "int16", "int32", "int64", "float32", "bool")
    size = tensor.shape[axis] if axis < len(tensor.shape) else 0
    shape = op.output.shape
    has_shape(op, tensor, (*shape[:axis], size, *shape[axis + 1 :]))
    if tensor.dtype == "int8":
        here, there = per_tensor(op, tensor).quant, per_tensor(op, op.output).quant
        if here is None or not here.same_as(there):
            raise UnsupportedModel(
                "TFLM joins int8 tensors only if all have the output's scale and zero point",
                tensor=tensor.name,
                remedy="Convert with TFLite's quantizer, which makes them equal",
            )
    if tensor.dtype == "int16" and tensor.quant is not None and tensor.zero_point != 0:
        raise UnsupportedModel("int16 tensors must have zero point 0", tensor=tensor.name)
    return tensor


@lowers("PACK")
def pack(op: Op) -> Lowered:
    """PACK: tensors of one shape along a new axis."""
    options = op.options if isinstance(op.options, PackOptions) else PackOptions()
    axis = axis_of(op, options.axis, len(op.output.shape))
    shape = op.output.shape
    tensors = []
    for index in range(len(op.inputs)):
        tensor = moved(op, index, "int8", "int16", "int32", "int64", "float32")
        has_shape(op, tensor, shape[:axis] + shape[axis + 1 :])
        tensors.append(tensor)
    if len(tensors) != shape[axis]:
        raise UnsupportedModel(
            f"PACK has {len(tensors)} inputs for an axis of {shape[axis]}", tensor=op.output.name
        )
    run = product(shape[axis + 1 :]) * op.output.itemsize
    return _join(op.output, tuple(tensors), [run] * len(tensors), product(shape[:axis]))


def _join(target: Tensor, tensors: tuple[Tensor, ...], runs: list[int], outer: int) -> Lowered:
    arguments = (
        Pointers("inputs", tensors),
        Constant("runs", np.array(runs, np.int32)),
        len(tensors),
        outer,
        Pointer(target),
    )
    return Lowered((Call("tflm_opt_concat", arguments, status=False),))


@lowers("PAD", "PADV2")
def pad(op: Op) -> Lowered:
    """PAD with the output's zero point, PADV2 with a constant; up to five axes."""
    tensor = moved(op, 0, "int8", "int16", "int32", "float32", rank=5)
    border = constant(op, 1, "paddings", 2 * len(tensor.shape))
    if min(border, default=0) < 0:
        raise UnsupportedModel(f"{op.kind} with negative paddings", tensor=tensor.name)
    pads = list(zip(border[::2], border[1::2], strict=True))
    shape = tuple(a + size + b for size, (a, b) in zip(tensor.shape, pads, strict=True))
    has_shape(op, op.output, shape)
    sizes, pads = _merge(tensor.shape, pads)
    fill = _fill(op, tensor)
    if tensor.dtype == "int8" and len(sizes) <= 4:
        return Lowered((_pad_image(op, tensor, sizes, pads, int(fill[0])),))
    missing = 5 - len(sizes)
    params = Struct(
        "tflm_opt_pad_params",
        "params",
        (
            tensor.itemsize,
            (1,) * missing + tuple(sizes),
            (0,) * missing + tuple(a for a, _ in pads),
            (0,) * missing + tuple(b for _, b in pads),
        ),
    )
    arguments = (params, Pointer(tensor), Constant("fill", fill), Pointer(op.output))
    return Lowered((Call("tflm_opt_pad", arguments, status=False),))


def _pad_image(
    op: Op, tensor: Tensor, sizes: list[int], pads: list[tuple[int, int]], fill: int
) -> Call:
    missing = (0,) * (4 - len(sizes))
    arguments = (
        Pointer(tensor),
        Pointer(op.output),
        fill,
        dims("input_size", tuple(sizes)),
        dims("pre_pad", missing + tuple(a for a, _ in pads)),
        dims("post_pad", missing + tuple(b for _, b in pads)),
    )
    return Call("arm_pad_s8", arguments)


def _merge(
    shape: tuple[int, ...], pads: list[tuple[int, int]]
) -> tuple[list[int], list[tuple[int, int]]]:
    """The same borders on fewer axes: one without borders joins the one before it.

    >>> _merge((1, 8, 8, 3), [(0, 0), (1, 1), (2, 2), (0, 0)])
    ([8, 24], [(1, 1), (6, 6)])
    """
    sizes: list[int] = []
    merged: list[tuple[int, int]] = []
    for size, (before, after) in zip(shape, pads, strict=True):
        if sizes and before == after == 0:
            sizes[-1] *= size
            merged[-1] = (merged[-1][0] * size, merged[-1][1] * size)
        elif sizes and sizes[-1] == 1 and merged[-1] == (0, 0):
            sizes[-1], merged[-1] = size, (before, after)
        else:
            sizes.append(size)
            merged.append((before, after))
    return sizes, merged


def _fill(op: Op, tensor: Tensor) -> np.ndarray:
    """The value around the input, as an array of one element."""
    if len(op.inputs) < 3 or op.inputs[2] is None:
        value = per_tensor(op, op.output).zero_point if tensor.dtype == "int8" else 0
        return np.array([value], tensor.dtype)
    value = of_type(op, source(op, 2), tensor.dtype)
    if value.data is None or value.elements != 1:
        raise UnsupportedModel(
            f"the value that {op.kind} pads with must be one constant", tensor=value.name
        )
    if tensor.dtype == "int8" and not _like(op, value):
        raise UnsupportedModel(
            f"the value that {op.kind} pads with must be quantized like the output",
            tensor=value.name,
        )
    return value.data.reshape(1)


def _like(op: Op, value: Tensor) -> bool:
    quant = per_tensor(op, value).quant
    return quant is not None and quant.same_as(op.output.quant)
