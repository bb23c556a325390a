"""Checks that lowering functions share: each raises `UnsupportedModel`, or hands back the tensor.

A reason is a full sentence for the user; `codegen.generate` adds which op it was.
"""

from __future__ import annotations

import numpy as np

from tflm_opt.errors import UnsupportedModel
from tflm_opt.graph.ir import Op, Tensor

_QUANTIZE = "Convert the model to full int8 (tflm_opt.quant.quantize does)"


def present(op: Op, index: int, what: str) -> Tensor:
    """Input `index` of an op, which must be there."""
    tensor = op.inputs[index] if index < len(op.inputs) else None
    if tensor is None:
        raise UnsupportedModel(f"its {what} is missing", remedy="Export the model again")
    return tensor


def optional(op: Op, index: int) -> Tensor | None:
    """Input `index` of an op, or None if it is left out."""
    return op.inputs[index] if index < len(op.inputs) else None


def int8(tensor: Tensor, what: str) -> Tensor:
    """An int8 tensor quantized per tensor, with a positive scale and a zero point of int8."""
    if tensor.dtype != "int8":
        raise UnsupportedModel(
            f"its {what} is {tensor.dtype}, and the engine's kernel takes int8",
            tensor=tensor.name,
            remedy=_QUANTIZE,
        )
    quant = tensor.quant
    if quant is None or quant.scale.size != 1:
        raise UnsupportedModel(
            f"its {what} is not quantized per tensor", tensor=tensor.name, remedy=_QUANTIZE
        )
    scale, zero_point = float(quant.scale[0]), int(quant.zero_point[0])
    if not (np.isfinite(scale) and scale > 0.0) or not -128 <= zero_point <= 127:
        raise UnsupportedModel(
            f"its {what} has scale {scale} and zero point {zero_point}, which int8 can't have",
            tensor=tensor.name,
            remedy=_QUANTIZE,
        )
    return tensor


def rank(tensor: Tensor, ranks: tuple[int, ...], what: str) -> Tensor:
    """A tensor with one of these numbers of axes, none of them empty."""
    if len(tensor.shape) not in ranks or any(size < 1 for size in tensor.shape):
        wanted = " or ".join(map(str, ranks))
        raise UnsupportedModel(
            f"its {what} has shape {list(tensor.shape)}, and {wanted} non-empty axes are taken",
            tensor=tensor.name,
        )
    return tensor


def constant(tensor: Tensor, what: str) -> np.ndarray:
    """The values of a tensor that must be constant."""
    if tensor.data is None:
        raise UnsupportedModel(
            f"its {what} is computed at run time, and the engine's kernel takes a constant",
            tensor=tensor.name,
            remedy="Make it a constant of the model",
        )
    return tensor.data


def weights(tensor: Tensor, axis: int) -> np.ndarray:
    """int8 filter values, quantized symmetrically, per tensor or per slice of `axis`."""
    data = constant(tensor, "filter")
    quant = tensor.quant
    if tensor.dtype != "int8" or quant is None:
        raise UnsupportedModel(
            f"its filter is {tensor.dtype} and must be quantized int8",
            tensor=tensor.name,
            remedy=_QUANTIZE,
        )
    if not np.all(np.isfinite(quant.scale)) or np.any(quant.scale < 0):
        raise UnsupportedModel("its filter has a scale that is no number", tensor=tensor.name)
    if np.any(quant.zero_point != 0):
        raise UnsupportedModel(
            "its filter has a zero point, and int8 weights are symmetric",
            tensor=tensor.name,
            remedy="Files of other converters: quantize the float model again",
        )
    if quant.scale.size > 1 and (quant.axis != axis or quant.scale.size != tensor.shape[axis]):
        raise UnsupportedModel(
            f"its filter has {quant.scale.size} scales along axis {quant.axis}, and "
            f"{tensor.shape[axis]} along axis {axis} are needed",
            tensor=tensor.name,
            remedy=_QUANTIZE,
        )
    return data


def bias(op: Op, index: int, channels: int) -> np.ndarray | None:
    """int32 bias values, one an output channel, or None where the op has no bias."""
    tensor = optional(op, index)
    if tensor is None:
        return None
    data = constant(tensor, "bias")
    if tensor.dtype != "int32" or data.size != channels:
        raise UnsupportedModel(
            f"its bias is {tensor.dtype} of {data.size} values, and {channels} of int32 are needed",
            tensor=tensor.name,
            remedy=_QUANTIZE,
        )
    return data.reshape(-1)
