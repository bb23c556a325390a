"""What code asks of an op's tensors: that they are there, constant, of a type, of a shape.

Each function returns what it looked for or refuses the model with a reason, a full sentence for
the user; who called adds which op it was.
"""

from __future__ import annotations

import numpy as np

from tflm_opt.errors import UnsupportedModel
from tflm_opt.graph.ir import Op, Tensor

_LIMITS = {
    "int8": (-128, 127),
    "uint8": (0, 255),
    "int16": (-32768, 32767),
    "int32": (-(2**31), 2**31 - 1),
}
CONVERT = "Convert the model with full int8 quantization"


def source(op: Op, index: int = 0) -> Tensor:
    """The op's input `index`, which must be there."""
    if index >= len(op.inputs) or (tensor := op.inputs[index]) is None:
        raise UnsupportedModel(
            f"{op.kind} wants an input {index}, and it is missing",
            remedy="Export the model again; the file is not what a converter writes",
        )
    return addressable(op, tensor)


def addressable(op: Op, tensor: Tensor) -> Tensor:
    """The tensor, if it has values, and few enough for the kernels' 32-bit offsets."""
    if min(tensor.shape, default=1) < 1 or not 0 < tensor.nbytes < 1 << 31:
        raise UnsupportedModel(
            f"{op.kind} of {tensor.nbytes} bytes: kernels take 1 to {(1 << 31) - 1}",
            tensor=tensor.name,
        )
    return tensor


def constant(op: Op, index: int, role: str, length: int | None = None) -> list[int]:
    """The integers of a constant input, flat: paddings, axes, sizes.

    Args:
        role: what it is, for the error.
        length: how many there must be; any number if None.
    """
    tensor = source(op, index)
    if tensor.data is None:
        raise UnsupportedModel(
            f"the {role} of {op.kind} must be constant",
            tensor=tensor.name,
            remedy="Compute it outside the model",
        )
    if tensor.data.dtype.kind not in "iu":
        raise UnsupportedModel(
            f"the {role} of {op.kind} must be integers, not {tensor.dtype}", tensor=tensor.name
        )
    values = [int(value) for value in tensor.data.ravel()]
    if length is not None and len(values) != length:
        raise UnsupportedModel(
            f"the {role} of {op.kind} must be {length} numbers, and it is {len(values)}",
            tensor=tensor.name,
        )
    return values


def of_type(op: Op, tensor: Tensor, *allowed: str) -> Tensor:
    """The tensor, if its dtype is one that TFLM's kernel takes."""
    if tensor.dtype not in allowed:
        raise UnsupportedModel(
            f"{op.kind} of {tensor.dtype} is not supported; {', '.join(allowed)} are",
            tensor=tensor.name,
            remedy=CONVERT if "int8" in allowed else None,
        )
    return tensor


def moved(op: Op, index: int, *allowed: str, rank: int | None = None) -> Tensor:
    """The input of an op that moves values: of a type that TFLM moves, with outputs of the same.

    Args:
        rank: the most axes that TFLM takes.
    """
    tensor = of_type(op, source(op, index), *allowed)
    if rank is not None and len(tensor.shape) > rank:
        raise UnsupportedModel(
            f"{op.kind} takes at most {rank} axes, and this has {len(tensor.shape)}",
            tensor=tensor.name,
            remedy="Reshape around the op",
        )
    for output in op.outputs:
        if addressable(op, output).dtype != tensor.dtype:
            raise UnsupportedModel(
                f"{op.kind} cannot turn {tensor.dtype} into {output.dtype}", tensor=output.name
            )
    return tensor


def per_tensor(op: Op, tensor: Tensor) -> Tensor:
    """The tensor, if it has one positive scale and one zero point that its dtype can hold."""
    if tensor.quant is None or tensor.quant.scale.size != 1:
        raise UnsupportedModel(
            f"{op.kind} wants one scale for the whole tensor", tensor=tensor.name, remedy=CONVERT
        )
    scale, zero_point = tensor.scale, tensor.zero_point
    low, high = _LIMITS.get(tensor.dtype, (1, 0))
    if not (np.isfinite(scale) and scale > 0) or not low <= zero_point <= high:
        raise UnsupportedModel(
            f"a scale of {scale} and a zero point of {zero_point} are not possible for "
            f"{tensor.dtype}",
            tensor=tensor.name,
            remedy=CONVERT,
        )
    return tensor


def int8(op: Op, tensor: Tensor) -> Tensor:
    """The tensor, if it has int8 values quantized per tensor."""
    return per_tensor(op, of_type(op, addressable(op, tensor), "int8"))


def of_rank(op: Op, tensor: Tensor, *ranks: int) -> Tensor:
    """The tensor, if it has one of these numbers of axes."""
    if len(tensor.shape) not in ranks:
        wanted = " or ".join(map(str, ranks))
        raise UnsupportedModel(
            f"{op.kind} takes {wanted} axes here, and the shape is {list(tensor.shape)}",
            tensor=tensor.name,
        )
    return tensor


def weights(op: Op, index: int, axis: int, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """(int8 values, scales) of a constant filter: symmetric, one scale or one a slice of `axis`.

    Returns:
        Values of `rank` axes; float32 scales, one or as many as the filter has along `axis`.
    """
    tensor = of_rank(op, of_type(op, source(op, index), "int8", "int4"), rank)
    quant = tensor.quant
    if tensor.data is None:
        raise UnsupportedModel(
            f"the filter of {op.kind} is computed at run time, and must be constant",
            tensor=tensor.name,
            remedy="Make it a constant of the model",
        )
    if quant is None:
        raise UnsupportedModel(
            f"the filter of {op.kind} is not quantized", tensor=tensor.name, remedy=CONVERT
        )
    if not np.all(np.isfinite(quant.scale)) or np.any(quant.scale < 0):
        raise UnsupportedModel(
            f"the filter of {op.kind} has a scale that is no number", tensor=tensor.name
        )
    if np.any(quant.zero_point != 0):
        raise UnsupportedModel(
            f"the filter of {op.kind} has a zero point, and int8 weights are symmetric",
            tensor=tensor.name,
            remedy="Files of other converters: quantize the float model again",
        )
    if quant.scale.size > 1 and (quant.axis != axis or quant.scale.size != tensor.shape[axis]):
        raise UnsupportedModel(
            f"the filter of {op.kind} has {quant.scale.size} scales along axis {quant.axis}, and "
            f"{tensor.shape[axis]} along axis {axis} are needed",
            tensor=tensor.name,
            remedy=CONVERT,
        )
    return tensor.data, quant.scale


def bias(op: Op, index: int, channels: int) -> np.ndarray | None:
    """int32 bias values, one an output channel, or None where the op has no bias."""
    if index >= len(op.inputs) or op.inputs[index] is None:
        return None
    tensor = of_type(op, source(op, index), "int32")
    if tensor.data is None or tensor.elements != channels:
        raise UnsupportedModel(
            f"the bias of {op.kind} must be {channels} constants",
            tensor=tensor.name,
            remedy=CONVERT,
        )
    return tensor.data.reshape(-1)


def axis_of(op: Op, axis: int, rank: int) -> int:
    """An axis counted from the front.

    >>> axis_of(op, -1, 4)
    3
    """
    if not -rank <= axis < rank:
        raise UnsupportedModel(
            f"{op.kind} has axis {axis} of a tensor with {rank} axes", tensor=op.outputs[0].name
        )
    return axis % rank


def has_shape(op: Op, tensor: Tensor, shape: tuple[int, ...]) -> None:
    """Refuse a tensor whose shape is not what the op makes."""
    if tensor.shape != shape:
        raise UnsupportedModel(
            f"{op.kind} makes {list(shape)} here, and the file says {list(tensor.shape)}",
            tensor=tensor.name,
            remedy="Export the model again with fixed shapes",
        )


def product(sizes: tuple[int, ...]) -> int:
    """Elements of a shape; 1 for a scalar."""
    return int(np.prod(sizes, dtype=np.int64))
